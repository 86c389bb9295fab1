//! Senders: one for each channel, behind one trait.

use crate::model::{Outcome, Push, Target};
use std::future::Future;
use std::pin::Pin;

/// Hands pushes to a provider. Retrying is the consumer's: a sender tries once.
pub trait PushSender: Send + Sync + 'static {
    /// Sends to one device. Dropping the answer may leave it sent.
    fn send<'a>(
        &'a self,
        target: &'a Target,
        push: &'a Push,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;
}
