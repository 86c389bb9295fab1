//! Senders: one for each channel, behind one trait.
//!
//! A sender makes the provider's request of a push, sends it once, and maps the answer to an [`Outcome`] by
//! a table of its own, which is a pure function. [`address`] checks what a device registers.

pub mod address;
mod answer;
pub mod apns;
pub mod fcm;
mod jws;
mod payload;
pub mod slack;
#[cfg(feature = "aws")]
pub mod sns;
pub mod web_push;

use crate::model::{Outcome, Push, Target};
use kaiwa_common::time::UnixMs;
use std::future::Future;
use std::pin::Pin;
use uuid::Uuid;

/// An outcome to come.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Hands pushes to a provider. Retrying is the consumer's: a sender tries once.
pub trait PushSender: Send + Sync + 'static {
    /// Sends to one device. Dropping the answer may leave it sent.
    fn send<'a>(&'a self, target: &'a Target, push: &'a Push) -> Sending<'a>;
}

/// The clock of a sender: [`UnixMs::now`], except in tests.
pub type Clock = fn() -> UnixMs;

/// A key or setting that a sender can't be made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// A private key is not of the kind asked for.
    #[error("not a private key for {0}")]
    Key(&'static str),
    /// A setting can't be used.
    #[error("the setting can't be used: {0}")]
    Setting(&'static str),
    /// The operating system has no randomness, or the key can't sign.
    #[error("signing failed")]
    Signing,
}

/// The id by which a device and a provider know a repeat: UUIDv5 of the event and the device.
#[must_use]
pub fn push_id(target: &Target, push: &Push) -> Uuid {
    Uuid::new_v5(&push.event.0, target.device.0.as_bytes())
}

/// Whole seconds that a push has still to live; `None` when it is over.
fn seconds_left(push: &Push, now: UnixMs) -> Option<u64> {
    (push.expires > now).then(|| push.expires.since(now).as_secs())
}

/// Too late to be sent.
fn expired() -> Outcome {
    Outcome::Rejected {
        code: "expired".to_owned(),
    }
}

/// A device of another channel was given to a sender.
fn wrong_channel() -> Outcome {
    Outcome::Rejected {
        code: "wrong_channel".to_owned(),
    }
}

#[cfg(test)]
mod fixtures;
