//! What a child and all that its runs have started are to the system: a process
//! group, which the child leads. A signal that ends a run goes to all of it, as
//! in billiard's `pool.py`.
//!
//! A process that has left the group (`setsid`, `setpgid`) is out of reach: it
//! was meant to outlive the run.

use std::fs;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Signals the group that the process `pid` leads. That a part of it has ended
/// is no error; nor that all of it has: while one lives, no other process gets
/// the number.
pub(super) fn signal(pid: u32, signal: Signal) {
    let pid = pid.cast_signed();
    // 0 and 1 mean other processes than those of a group.
    if pid > 1 {
        let _ = killpg(Pid::from_raw(pid), signal);
    }
}

/// Whether nothing else lives in the group that the process `pid` leads. Where
/// the system does not tell, it is taken to be so.
pub(super) fn is_alone(pid: u32) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut others = processes.filter_map(|process| {
        let number: u32 = process.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        (number != pid).then(|| group(&stat)).flatten()
    });
    !others.any(|group| group == pid)
}

/// The group of a living process, by its line in `/proc/PID/stat`: the number,
/// the name in brackets, which may hold anything, the state, the parent, the group.
fn group(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let living = !matches!(state, "Z" | "X");
    living.then(|| fields.nth(1)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_whatever_the_name() {
        assert_eq!(group("7 (a) b (c)) S 1 42 7 0"), Some(42));
        assert_eq!(group("7 (a) Z 1 42 7 0"), None);
        assert_eq!(group(""), None);
    }

    #[test]
    fn a_leader_without_others_is_alone() {
        // No process leads a group of this number.
        assert!(is_alone(u32::MAX));
    }
}
