//! CPU time, in two ways that must agree.

use crate::Outcome;
use kaiwa_sfu::net::affinity::thread_cpu_time;
use std::fs;
use std::time::Duration;

/// Time used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// On a core, all threads of the process, as the scheduler counts it.
    pub(crate) running: Duration,
    /// Ready to run while others had the core: the machine's noise.
    pub(crate) waiting: Duration,
    /// On a core, this thread, as its clock counts it.
    pub(crate) thread: Duration,
}

impl Usage {
    pub(crate) fn now() -> Outcome<Self> {
        let (mut running, mut waiting) = (0, 0);
        for task in fs::read_dir("/proc/self/task")? {
            // Nanoseconds on a core, nanoseconds in its queue, turns.
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let mut fields = text.split_whitespace();
            running += fields.next().ok_or("schedstat")?.parse::<u64>()?;
            waiting += fields.next().ok_or("schedstat")?.parse::<u64>()?;
        }
        Ok(Self {
            running: Duration::from_nanos(running),
            waiting: Duration::from_nanos(waiting),
            thread: thread_cpu_time()?,
        })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            running: self.running.saturating_sub(before.running),
            waiting: self.waiting.saturating_sub(before.waiting),
            thread: self.thread.saturating_sub(before.thread),
        }
    }
}
