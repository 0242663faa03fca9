//! Processes that are started beside the run: how one ended, and how all that it started is stopped.

use std::cell::Cell;
use std::process::ExitStatus;

/// A process and whatever it started in its group. Dropping it ends them all.
pub struct ProcessGroup {
    id: Cell<Option<u32>>,
}

impl ProcessGroup {
    /// The group of a process that was started in one of its own.
    pub fn of(id: Option<u32>) -> Self {
        Self { id: Cell::new(id) }
    }

    /// Ends the process and all that it left running.
    pub fn kill(&self) {
        let Some(id) = self.id.take() else { return };
        #[cfg(unix)]
        if let Ok(id) = i32::try_from(id) {
            // SAFETY: `kill` takes two numbers and touches no memory. The group is the child's own: it was made for it.
            #[allow(unsafe_code, reason = "the standard library sends no signal to a group")]
            unsafe {
                libc::kill(-id, libc::SIGKILL);
            }
        }
        #[cfg(not(unix))]
        let _ = id;
    }

    /// Leaves the group to itself: what its process left running goes on.
    pub fn leave(&self) {
        self.id.take();
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a process ended, as the end of a sentence.
pub fn how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was ended by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("failed with exit code {code}"),
        None => "failed".to_owned(),
    }
}
