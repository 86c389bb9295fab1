//! What Linux says of a process: memory and CPU time, from `/proc`.

use anyhow::{Context as _, Result};
use std::fs;
use std::time::Duration;

/// Resident memory of a process, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Memory {
    /// All that is resident (`VmRSS`).
    pub rss: u64,
    /// Of it, what belongs to no file (`RssAnon`).
    pub anon: u64,
    /// The proportional share, pages used by several processes divided among them.
    pub pss: u64,
}

/// The memory of a process now.
///
/// # Errors
/// When there is no such process, or it isn't ours.
pub fn memory(pid: u32) -> Result<Memory> {
    let status = read(pid, "status")?;
    let pss = read(pid, "smaps_rollup").map_or(0, |text| kib(&text, "Pss:").unwrap_or(0));
    Ok(Memory {
        rss: kib(&status, "VmRSS:").context("no VmRSS")?,
        anon: kib(&status, "RssAnon:").context("no RssAnon")?,
        pss,
    })
}

/// CPU time of a process, all of its threads, those that ended included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Cpu {
    /// In user mode.
    pub user: Duration,
    /// In the kernel on its behalf.
    pub system: Duration,
}

impl Cpu {
    /// Both together: exact to a tick (10 ms), while their division is the kernel's estimate.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.system
    }

    /// What was used since an earlier reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// The CPU time that a process has used so far.
///
/// # Errors
/// When there is no such process.
pub fn cpu(pid: u32) -> Result<Cpu> {
    let stat = read(pid, "stat")?;
    // The second field is the program's name in parentheses, which may contain anything.
    let (_, rest) = stat.rsplit_once(')').context("no program name in stat")?;
    let ticks = |field: usize| -> Result<Duration> {
        let text = rest
            .split_whitespace()
            .nth(field - 3)
            .context("too few fields in stat")?;
        let ticks: u64 = text.parse()?;
        Ok(Duration::from_millis(
            ticks * 1000 / rustix::param::clock_ticks_per_second(),
        ))
    };
    Ok(Cpu {
        user: ticks(14)?,
        system: ticks(15)?,
    })
}

/// The time that a process's threads have run, exact to the nanosecond; without those that have ended.
///
/// # Errors
/// When there is no such process.
pub fn running(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = 0;
    for thread in fs::read_dir(&folder).with_context(|| folder.clone())? {
        // A thread may end while its name is read.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        let first = text
            .split_whitespace()
            .next()
            .and_then(|ns| ns.parse::<u64>().ok());
        sum += first.unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// How many threads and file descriptors a process has.
///
/// # Errors
/// When there is no such process, or it isn't ours.
pub fn threads_and_files(pid: u32) -> Result<(usize, usize)> {
    let count = |what: &str| -> Result<usize> {
        let path = format!("/proc/{pid}/{what}");
        Ok(fs::read_dir(&path).with_context(|| path.clone())?.count())
    };
    Ok((count("task")?, count("fd")?))
}

/// The machine, for the head of a report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Host {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub cpu: String,
    /// How many of them.
    pub cores: usize,
    /// Memory, in bytes.
    pub memory: u64,
}

/// Facts of this machine; what cannot be read is empty.
#[must_use]
pub fn host() -> Host {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = file("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    Host {
        kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
        cpu: model
            .unwrap_or_default()
            .trim_start_matches(['\t', ':', ' '])
            .to_owned(),
        // All of them, also when this process may run on some alone.
        cores: cpuinfo
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count()
            .max(1),
        memory: kib(&file("/proc/meminfo"), "MemTotal:").unwrap_or(0),
    }
}

fn read(pid: u32, what: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{what}");
    fs::read_to_string(&path).with_context(|| path)
}

/// The value of a `Name:   123 kB` line, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<u64>()
        .ok()
        .map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_uses_memory_and_time() {
        let pid = std::process::id();
        let before = cpu(pid).unwrap();
        let ran = running(pid).unwrap();
        let mut sum = 0_u64;
        // The two are kept by different clocks of the kernel's.
        while cpu(pid).unwrap().since(before).total() < Duration::from_millis(20)
            || running(pid).unwrap() == ran
        {
            sum = sum.wrapping_add(1);
        }
        let (threads, files) = threads_and_files(pid).unwrap();
        assert!(threads >= 1 && files >= 3);
        let memory = memory(pid).unwrap();
        assert!(
            memory.rss >= memory.anon && memory.anon > 0,
            "{memory:?} {sum}"
        );
    }
}
