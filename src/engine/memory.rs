//! How much memory is free.

/// Bytes that this process may still take: what the system says is available, within the limit of its group. None where
/// the system does not say.
pub fn free() -> Option<u64> {
    let system = system_free()?;
    Some(group_free().map_or(system, |group| group.min(system)))
}

#[cfg(target_os = "linux")]
fn system_free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(not(target_os = "linux"))]
fn system_free() -> Option<u64> {
    None
}

/// What the control group (version 2) leaves, as containers have one.
fn group_free() -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse::<u64>().ok();
    // Without a limit the file says `max`, which is no number.
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}
