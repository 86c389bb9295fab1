//! What operators ask of clips: what hangs, and what the consumers gave up on.

use crate::api::{Answer, Caller};
use crate::model::Clip;
use std::collections::BTreeMap;
use std::time::Duration;

/// Operators' calls.
pub trait ClipsAdmin: Send + Sync + 'static {
    /// Clips whose `due` has passed, the longest overdue first, with how long ago.
    fn stuck<'a>(&'a self, caller: &'a Caller, limit: usize) -> Answer<'a, Vec<(Clip, Duration)>>;

    /// Dead letters of one queue, or of all; with one reason, or with any.
    fn dead_letters<'a>(
        &'a self,
        caller: &'a Caller,
        queue: Option<String>,
        reason: Option<String>,
        limit: usize,
    ) -> Answer<'a, Letters>;

    /// Sends them back to where they came from.
    fn redrive<'a>(&'a self, caller: &'a Caller, queue: String, pick: Pick)
    -> Answer<'a, Redriven>;
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pick {
    /// All of the queue.
    All,
    /// Those of these ids; at most 100.
    Ids(Vec<String>),
    /// Those with this reason.
    Reason(String),
}

/// A page of dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Letters {
    /// The oldest first.
    pub letters: Vec<Letter>,
    /// There are more.
    pub more: bool,
}

/// A message that a consumer gave up on; without its body, which may name objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Letter {
    /// Where it came from.
    pub queue: String,
    /// Its name.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Which part gave up.
    pub component: String,
    /// When it was first seen, in ms since the Unix epoch.
    pub first_seen_ms: i64,
    /// Of the trace that it belongs to.
    pub trace_id: Option<String>,
}

/// What became of a redrive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redriven {
    /// How many went back.
    pub done: u32,
    /// Which did not, and why.
    pub failed: BTreeMap<String, String>,
    /// There are more.
    pub more: bool,
}
