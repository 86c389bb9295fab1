//! Waiting for what is to come, on the real clock; only a failure waits to the end.

use super::client::Client;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

struct Thread(std::thread::Thread);

impl Wake for Thread {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Lets clients take what comes until it is `done`.
pub(crate) fn pump(clients: &mut [&mut Client], mut done: impl FnMut(&mut [&mut Client]) -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done(clients) {
        assert!(Instant::now() < until, "it never came about");
        clients.iter_mut().for_each(|client| client.pump());
    }
}
