//! The memory of this process.

/// The memory that the process has in use, if the system tells.
pub(crate) fn resident_bytes() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size())
}

fn page_size() -> f64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    size.ok().flatten().unwrap_or(4096) as f64
}
