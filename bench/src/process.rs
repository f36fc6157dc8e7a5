//! The processor time and the memory of a process (Linux).

use std::{collections::BTreeMap, fs, time::Duration};

use crate::Failure;

/// The processor time of every thread of a process at one moment.
#[derive(Debug, Clone)]
pub struct Cpu(BTreeMap<String, Duration>);

impl Cpu {
    /// The process's, now. It is exact to the nanosecond, where `/proc/<pid>/stat` counts hundredths of a second.
    pub fn of(process: u32) -> Result<Self, Failure> {
        let mut threads = BTreeMap::new();
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = thread?;
            // A thread that has ended in between is none.
            let Ok(text) = fs::read_to_string(thread.path().join("schedstat")) else { continue };
            let nanoseconds = text.split(' ').next().unwrap_or_default().parse()?;
            threads
                .insert(thread.file_name().to_string_lossy().into_owned(), Duration::from_nanos(nanoseconds));
        }
        Ok(Self(threads))
    }

    /// What was used since `earlier`. What a thread used that has ended meanwhile is not in it.
    pub fn since(&self, earlier: &Self) -> Duration {
        let used = |(thread, now): (&String, &Duration)| {
            now.saturating_sub(earlier.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(used).sum()
    }
}

/// The memory that a process holds, in bytes.
pub fn resident(process: u32) -> Result<u64, Failure> {
    memory(process, "VmRSS:")
}

/// The most memory that a process held since it began, or since [`reset_peak`], in bytes.
pub fn peak(process: u32) -> Result<u64, Failure> {
    memory(process, "VmHWM:")
}

/// Lets [`peak`] begin anew.
pub fn reset_peak(process: u32) -> Result<(), Failure> {
    Ok(fs::write(format!("/proc/{process}/clear_refs"), "5")?)
}

fn memory(process: u32, field: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("the process has no memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}
