//! The process, under the names that every Prometheus client uses. They are written beside the recorder's: its counters are whole numbers,
//! and seconds on a processor are not. Linux tells them in `/proc` (proc(5)); elsewhere there are none.

use std::fmt::Write;

use super::catalogue;

/// What the system says of this process now.
struct Process {
    cpu_seconds: f64,
    threads: f64,
    start_time: f64,
    virtual_memory: f64,
    resident_memory: f64,
    open_fds: f64,
    max_fds: f64,
}

/// Adds what can be read.
pub(super) fn write(text: &mut String) {
    let Some(process) = Process::read() else { return };
    for (name, value) in [
        ("process_cpu_seconds_total", process.cpu_seconds),
        ("process_threads", process.threads),
        ("process_start_time_seconds", process.start_time),
        ("process_virtual_memory_bytes", process.virtual_memory),
        ("process_resident_memory_bytes", process.resident_memory),
        ("process_open_fds", process.open_fds),
        ("process_max_fds", process.max_fds),
    ] {
        let Some(metric) = catalogue::named(name) else { continue };
        // A `String` takes everything.
        let _ = writeln!(
            text,
            "# HELP {name} {}\n# TYPE {name} {}\n{name} {value}\n",
            metric.help,
            metric.kind.as_str()
        );
    }
}

#[cfg(target_os = "linux")]
impl Process {
    fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in brackets and may hold anything; the third is the first after it.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        #[expect(clippy::cast_precision_loss, reason = "a hundred ticks, some KiB")]
        let (ticks, page) =
            (rustix::param::clock_ticks_per_second() as f64, rustix::param::page_size() as f64);
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            start_time: boot_time()? + field(22)? / ticks,
            virtual_memory: field(23)?,
            resident_memory: field(24)? * page,
            open_fds: open_fds()?,
            max_fds: max_fds()?,
        })
    }
}

#[cfg(not(target_os = "linux"))]
impl Process {
    fn read() -> Option<Self> {
        None
    }
}

/// When the machine was started, in seconds since 1970.
#[cfg(target_os = "linux")]
fn boot_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(target_os = "linux")]
fn open_fds() -> Option<f64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The listing's own is among them.
    u32::try_from(listed.saturating_sub(1)).ok().map(f64::from)
}

/// The soft limit.
#[cfg(target_os = "linux")]
fn max_fds() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let limit =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next())?;
    if limit == "unlimited" { Some(f64::INFINITY) } else { limit.parse().ok() }
}
