//! The operators' calls as JSON. docs/operations.md is their specification.

use crate::push::admin;
use crate::push::{Attempt, Decision};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `GET …/dead?…`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadQuery {
    pub(super) queue: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) limit: Option<usize>,
}

/// `GET …/dead/{id}?…`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LetterQuery {
    pub(super) queue: Option<String>,
}

/// `GET …/decisions?…`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DecisionQuery {
    pub(super) event: Option<String>,
    pub(super) user: Option<String>,
    pub(super) limit: Option<usize>,
}

/// `POST …/dead/redrive` and `…/drop`: one of `ids`, `reason` and `all`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PickRequest {
    /// Whose dead letters.
    pub queue: String,
    /// Those of these ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
    /// Those with this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// All.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// Every queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Queues {
    /// In the order in which a notification passes them.
    pub queues: Vec<Queue>,
}

/// One queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Could be received now.
    pub visible: u64,
    /// Received, and not done with.
    pub in_flight: u64,
    /// Not to be seen yet.
    pub delayed: u64,
    /// When the oldest was sent; `null` where that is not known.
    pub oldest_ms: Option<i64>,
    /// Dead letters.
    pub dead: u64,
    /// Providers that are not well.
    pub breakers: Vec<Breaker>,
}

/// A provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Breaker {
    /// Whose.
    pub provider: String,
    /// `closed`, `half_open`, `open`, `unauthorized`.
    pub state: String,
    /// When it is tried next.
    pub until_ms: Option<i64>,
    /// Why.
    pub why: String,
}

/// Some dead letters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetters {
    /// In no order that can be relied on.
    pub letters: Vec<DeadLetter>,
    /// There may be more.
    pub more: bool,
}

/// One dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its name.
    pub id: String,
    /// Whose.
    pub queue: String,
    /// Why, as a word.
    pub reason: String,
    /// Who said so.
    pub component: String,
    /// When it was sent first.
    pub first_seen_ms: i64,
    /// The trace it belongs to.
    pub trace: Option<String>,
    /// Of what it tells.
    pub event: Option<String>,
    /// Whom.
    pub user: Option<String>,
    /// Its size.
    pub body_bytes: usize,
    /// What else is known.
    pub facts: BTreeMap<String, String>,
}

/// What became of those that were picked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Done {
    /// Redriven or dropped.
    pub done: usize,
    /// Those for which it was not done.
    pub failed: Vec<Failed>,
    /// There may be more: call again.
    pub more: bool,
    /// Why it ended early.
    pub stopped: Option<String>,
}

/// One for which it was not done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failed {
    /// Which.
    pub id: String,
    /// Why.
    pub why: String,
}

/// Decisions, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decisions {
    /// They.
    pub decisions: Vec<Decided>,
}

/// One decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decided {
    /// Of what.
    pub event: String,
    /// About whom.
    pub user: String,
    /// When.
    pub time_ms: i64,
    /// Where it happened.
    pub room: Option<String>,
    /// The message.
    pub seq: Option<u64>,
    /// Something was sent, or still is to be.
    pub sent: bool,
    /// A stable word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Rules, in the order in which they were asked.
    pub steps: Vec<Step>,
    /// Of each device that a push was made for.
    pub attempts: Vec<Tried>,
}

/// A rule and what it found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    /// Which.
    pub rule: String,
    /// What.
    pub ruling: String,
}

/// What became of a push to one device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tried {
    /// Which.
    pub device: String,
    /// When.
    pub time_ms: i64,
    /// The provider took it.
    pub accepted: bool,
    /// Its word, or ours.
    pub code: String,
}

impl From<admin::QueueState> for Queue {
    fn from(queue: admin::QueueState) -> Self {
        let breakers = queue.breakers.into_iter().map(|breaker| Breaker {
            provider: breaker.provider,
            state: breaker.state.name().to_owned(),
            until_ms: breaker.until.map(|time| time.0),
            why: breaker.why,
        });
        Self {
            name: queue.name,
            visible: queue.visible,
            in_flight: queue.in_flight,
            delayed: queue.delayed,
            oldest_ms: queue.oldest.map(|time| time.0),
            dead: queue.dead,
            breakers: breakers.collect(),
        }
    }
}

impl From<admin::DeadPage> for DeadLetters {
    fn from(page: admin::DeadPage) -> Self {
        Self {
            letters: page.letters.into_iter().map(Into::into).collect(),
            more: page.has_more,
        }
    }
}

impl From<admin::DeadLetter> for DeadLetter {
    fn from(letter: admin::DeadLetter) -> Self {
        Self {
            id: letter.id,
            queue: letter.queue,
            reason: letter.reason,
            component: letter.component,
            first_seen_ms: letter.first_seen.0,
            trace: letter.trace,
            event: letter.event.map(|event| event.to_string()),
            user: letter.user.map(|user| user.to_string()),
            body_bytes: letter.body_bytes,
            facts: letter.facts,
        }
    }
}

impl From<admin::Done> for Done {
    fn from(done: admin::Done) -> Self {
        let failed = done.failed.into_iter();
        Self {
            done: done.done,
            failed: failed.map(|(id, why)| Failed { id, why }).collect(),
            more: done.has_more,
            stopped: done.stopped,
        }
    }
}

impl From<admin::Decided> for Decided {
    fn from(decided: admin::Decided) -> Self {
        let Decision {
            event,
            time,
            room,
            seq,
            is_sent,
            reason,
            message,
            attempts,
        } = decided.decision;
        let steps = decided.steps.into_iter().map(|step| Step {
            rule: step.rule.into_owned(),
            ruling: step.ruling.into_owned(),
        });
        Self {
            event: event.to_string(),
            user: decided.user.to_string(),
            time_ms: time.0,
            room: room.map(|room| room.to_string()),
            seq,
            sent: is_sent,
            reason: reason.into_owned(),
            message: message.into_owned(),
            steps: steps.collect(),
            attempts: attempts.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Attempt> for Tried {
    fn from(attempt: Attempt) -> Self {
        Self {
            device: attempt.device.0.to_string(),
            time_ms: attempt.time.0,
            accepted: attempt.is_accepted,
            code: attempt.code,
        }
    }
}
