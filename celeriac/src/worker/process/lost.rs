//! What is said of a child that died.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

use crate::task::Failure;

/// How a process ended, as billiard's `human_status` says it.
pub(super) fn human(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(number), _) => match Signal::try_from(number) {
            Ok(signal) => format!("signal {number} ({signal})"),
            Err(_) => format!("signal {number}"),
        },
        (None, code) => format!("exitcode {}", code.unwrap_or_default()),
    }
}

/// What the task of a child that died fails with. `job`: the number of its run.
pub(super) fn failure(status: Option<ExitStatus>, job: u64) -> Failure {
    let how = status.map_or_else(|| "unknown".to_owned(), human);
    let text = format!("Worker exited prematurely: {how} Job: {job}.");
    Failure::new("billiard.exceptions.WorkerLostError", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn said_as_billiard_says_it() {
        let said = |raw| human(ExitStatus::from_raw(raw));
        assert_eq!(said(9), "signal 9 (SIGKILL)");
        assert_eq!(said(11), "signal 11 (SIGSEGV)");
        assert_eq!(said(3 << 8), "exitcode 3");
    }
}
