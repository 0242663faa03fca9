//! Runs the binary: a cleared environment, a time limit, everything it gave.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_chainrun");

/// A folder of its own for one trial, removed when dropped.
pub struct TempDir(PathBuf);

static NEXT: AtomicU32 = AtomicU32::new(0);

impl TempDir {
    /// A new, empty folder.
    pub fn new() -> std::io::Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("chainrun-suite-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it, folders included.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> std::io::Result<PathBuf> {
        let path = self.0.join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, bytes)?;
        Ok(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A call to make.
pub struct Call {
    command: Command,
    stdin: Option<Vec<u8>>,
    limit: Duration,
    _home: TempDir,
}

/// What a call gave.
#[derive(Debug)]
pub struct Done {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What stood on standard output.
    pub stdout: Vec<u8>,
    /// What stood on standard error.
    pub stderr: Vec<u8>,
    /// Wall time.
    pub took: Duration,
    /// The largest resident size that was seen, in KiB; 0 where the system does not tell.
    pub peak_kib: u64,
}

impl Done {
    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

impl Call {
    /// A call of the binary in a folder, with nothing in its environment but `PATH` and an empty `HOME`.
    pub fn new(cwd: &Path) -> std::io::Result<Self> {
        Self::of(BINARY, cwd)
    }

    /// The same of another program.
    pub fn of(program: &str, cwd: &Path) -> std::io::Result<Self> {
        let home = TempDir::new()?;
        let mut command = Command::new(program);
        command.env_clear().current_dir(cwd).env("HOME", home.path());
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        Ok(Self { command, stdin: None, limit: Duration::from_secs(60), _home: home })
    }

    /// Arguments.
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// One more argument.
    pub fn arg(self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.args([arg])
    }

    /// A variable of the environment.
    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The caller's own `HOME` and where it keeps models, for what needs weights.
    pub fn with_models(mut self) -> Self {
        for name in ["HOME", "USERPROFILE", "XDG_DATA_HOME", "XDG_CACHE_HOME", "CHAINRUN_HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                self.command.env(name, value);
            }
        }
        for (name, value) in std::env::vars_os() {
            // What the user's pip needs to reach its index.
            let text = name.to_string_lossy();
            if text.starts_with("PIP_") || text.starts_with("PYENV_") || text.to_lowercase().ends_with("_proxy") {
                self.command.env(&name, value);
            }
        }
        self
    }

    /// Standard input; none is an empty one.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// The longest wall time.
    pub fn limit(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Makes the call.
    pub fn run(mut self) -> Result<Done, String> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        let started = Instant::now();
        let mut child = self.command.spawn().map_err(|e| format!("cannot start: {e}"))?;
        if let (Some(bytes), Some(mut pipe)) = (self.stdin.take(), child.stdin.take()) {
            // A program that ends without reading its input is no fault.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let mut peak_kib = 0;
        let mut pause = 1;
        let status = loop {
            peak_kib = peak_kib.max(resident_peak(child.id()));
            if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
                break status;
            }
            if started.elapsed() > self.limit {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no end within {} s; stderr: {}", self.limit.as_secs(), short(&stderr.join())));
            }
            std::thread::sleep(Duration::from_millis(pause));
            pause = (pause + 1).min(10);
        };
        let took = started.elapsed();
        Ok(Done { code: status.code(), stdout: stdout.join(), stderr: stderr.join(), took, peak_kib })
    }
}

struct Drain(std::thread::JoinHandle<Vec<u8>>);

impl Drain {
    fn join(self) -> Vec<u8> {
        self.0.join().unwrap_or_default()
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> Drain {
    Drain(std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    }))
}

fn resident_peak(pid: u32) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { return 0 };
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// The beginning of some bytes, for a message.
pub fn short(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let cut: String = text.chars().take(2000).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// The first line in which two texts differ, for a message.
pub fn difference(wanted: &str, got: &str) -> String {
    let line = wanted.lines().zip(got.lines()).take_while(|(a, b)| a == b).count();
    let at = |text: &str| text.lines().nth(line).map_or("(the end)".to_owned(), |l| format!("{l:?}"));
    let ends = if wanted.lines().eq(got.lines()) { " (they differ in line ends)" } else { "" };
    format!(
        "line {}{ends}\n  expected {}\n  got      {}\n--- got, whole ---\n{}",
        line + 1,
        at(wanted),
        at(got),
        short(got.as_bytes())
    )
}
