//! What a child and all that its runs have started are to the system: a process
//! group, which the child leads. A signal that ends a run goes to all of it, as
//! in billiard's `pool.py`.
//!
//! A process that has left the group (`setsid`, `setpgid`) is out of reach: it
//! was meant to outlive the run.

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
