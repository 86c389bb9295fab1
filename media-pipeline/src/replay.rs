//! Whether an answer is the first one again: what `x-idempotent-replay` says.
//!
//! The trait's answers have no room for it, so it travels beside them: whoever carries out [`Clips`](crate::api::Clips)
//! calls [`mark`] in the task of the call when it gives a stored answer, and the form that asked [`noticed`] it.

use std::cell::Cell;

tokio::task_local! {
    static REPLAYED: Cell<bool>;
}

/// This call's answer is the one that its request id got before. Outside of [`noticed`] it does nothing.
pub fn mark() {
    let _ = REPLAYED.try_with(|replayed| replayed.set(true));
}

/// Does the work, and tells whether it called [`mark`].
pub async fn noticed<T>(work: impl Future<Output = T>) -> (T, bool) {
    let work = async {
        let done = work.await;
        (done, REPLAYED.with(Cell::get))
    };
    REPLAYED.scope(Cell::new(false), work).await
}
