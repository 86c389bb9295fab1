//! Time as an argument: the operating system's, or a test's.

use kaiwa_common::time::UnixMs;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What tells the time and waits for it.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixMs;

    /// Ends when [`now`](Self::now) is `until` or later.
    fn sleep_until(&self, until: UnixMs) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The operating system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMs {
        UnixMs::now()
    }

    fn sleep_until(&self, until: UnixMs) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            loop {
                let left = until.since(UnixMs::now());
                if left.is_zero() {
                    return;
                }
                // In steps, since the wall clock may be set while this sleeps.
                tokio::time::sleep(left.min(STEP)).await;
            }
        })
    }
}

const STEP: Duration = Duration::from_secs(5);

/// A clock that stands until it is moved: for tests and simulations. Clones are the same clock.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<watch::Sender<UnixMs>>,
    asleep: Arc<watch::Sender<usize>>,
}

impl ManualClock {
    /// Stands at this time.
    #[must_use]
    pub fn at(now: UnixMs) -> Self {
        Self {
            now: Arc::new(watch::Sender::new(now)),
            asleep: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Moves it, and wakes who waited for that.
    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.plus(by));
    }

    /// Ends once that many wait for a later time.
    pub async fn asleep(&self, count: usize) {
        let mut asleep = self.asleep.subscribe();
        // The sender is this clock, so there always is one.
        let _ = asleep.wait_for(|asleep| *asleep >= count).await;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMs {
        *self.now.borrow()
    }

    fn sleep_until(&self, until: UnixMs) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (clock, mut now) = (self.clone(), self.now.subscribe());
        Box::pin(async move {
            let _asleep = Asleep::new(&clock.asleep);
            let _ = now.wait_for(|now| *now >= until).await;
        })
    }
}

/// Counted as asleep until it is dropped.
struct Asleep(Arc<watch::Sender<usize>>);

impl Asleep {
    fn new(count: &Arc<watch::Sender<usize>>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(Arc::clone(count))
    }
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
