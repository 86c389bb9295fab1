//! A second opinion: one participant of a run on the ordinary, async `webrtc` crate, which shares no code with the
//! light ones but the check of payloads. With the feature `ordinary`; without it there is none.

#[cfg(feature = "ordinary")]
mod ordinary;

use super::count::Totals;
use super::peer::Plan;
use super::stage::person::Seat;
use anyhow::Result;
use std::future::Future;
use std::pin::Pin;

/// Done when the witness has left.
pub type Left<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// What a second opinion has to say.
pub trait Witness: Send + Sync {
    /// The count so far, and the last counter that came.
    fn count(&self) -> (Totals, u32);

    /// Leaves the call.
    fn leave(&self) -> Left<'_>;
}

/// A witness enters, if there are any; with the profile and the feedback of the others.
///
/// # Errors
/// When the server refuses, or does not connect.
#[cfg(feature = "ordinary")]
pub async fn enter(seat: Seat, like: &Plan) -> Result<Option<Box<dyn Witness>>> {
    let ordinary = Box::pin(ordinary::Ordinary::enter(seat, like)).await?;
    Ok(Some(Box::new(ordinary)))
}

/// Nobody enters.
///
/// # Errors
/// Never.
#[cfg(not(feature = "ordinary"))]
#[expect(clippy::unused_async, reason = "the same as with witnesses")]
pub async fn enter(_seat: Seat, _like: &Plan) -> Result<Option<Box<dyn Witness>>> {
    Ok(None)
}
