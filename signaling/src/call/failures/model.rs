//! What is remembered of a join that failed, and what its client says of it.

use crate::call::causes::{Cause, Facts, Hint};
use crate::call::whence::Whence;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_sfu::control::ParticipantId;
use kaiwa_sfu::control::trace::{Handshake, JoinTrace, Pair};
use std::sync::Arc;
use std::time::Duration;

/// How far a join came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// To the token.
    Token,
    /// To the call.
    Join,
    /// To its offer.
    Offer,
    /// To ICE.
    Ice,
    /// To DTLS.
    Dtls,
    /// To media.
    Media,
}

impl Stage {
    /// How far this came.
    #[must_use]
    pub fn of(trace: &JoinTrace) -> Self {
        match trace.handshake {
            _ if trace.was_connected => Self::Media,
            // DTLS' own time runs out, whether anybody could begin it or not.
            Handshake::Awaited => Self::Ice,
            _ if !trace.is_reached() => Self::Ice,
            Handshake::Begun | Handshake::Failed(_) | Handshake::Closed | Handshake::Done => {
                Self::Dtls
            }
        }
    }

    /// The word for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Join => "join",
            Self::Offer => "offer",
            Self::Ice => "ice",
            Self::Dtls => "dtls",
            Self::Media => "media",
        }
    }
}

/// A pair as a client reports it. Shown, and trusted in nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPair {
    /// `udp` or `tcp`.
    pub protocol: String,
    /// `host`, `srflx`, `prflx`, `relay`.
    pub local_type: String,
    /// Its address; browsers hide some.
    pub local: String,
    /// As `local_type`.
    pub remote_type: String,
    /// Ours, as it was told.
    pub remote: String,
    /// `succeeded`, `failed`, `in-progress` …
    pub state: String,
    /// Checks that it sent.
    pub sent: u64,
    /// Answers that it got.
    pub received: u64,
}

/// What a client says of a join that failed or works badly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Its participant, if it had one.
    pub participant: Option<ParticipantId>,
    /// Its clock.
    pub clock: Option<UnixMs>,
    /// Its ICE found a pair that works.
    pub is_ice_connected: bool,
    /// Its ICE has given up.
    pub has_ice_failed: bool,
    /// What it tried.
    pub pairs: Vec<ClientPair>,
}

impl Report {
    pub(super) fn hint(&self, now: UnixMs) -> Hint {
        Hint {
            skew_ms: self.clock.map(|clock| clock.0.saturating_sub(now.0)),
            is_ice_connected: self.is_ice_connected,
            has_ice_failed: self.has_ice_failed,
        }
    }
}

/// A join that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When it was known.
    pub at: UnixMs,
    /// Which room's call; not known where a token was refused before.
    pub room: Option<RoomId>,
    /// Whose; nobody's where the token was not ours.
    pub user: Option<UserId>,
    /// Which participant, once there was one.
    pub participant: Option<ParticipantId>,
    /// From where, and by which door.
    pub whence: Arc<Whence>,
    /// How far it came.
    pub stage: Stage,
    /// Why.
    pub cause: Cause,
    /// What the SFU has seen: the pairs, and since when.
    pub pairs: Vec<SeenPair>,
    /// What the client has seen.
    pub client_pairs: Vec<ClientPair>,
    pub(super) facts: Facts,
}

/// A pair as the SFU has seen it, by the wall clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenPair {
    /// The pair.
    pub pair: Pair,
    /// When its first check came.
    pub first: UnixMs,
    /// When its last check came.
    pub last: UnixMs,
}

impl SeenPair {
    /// The pairs of a trace that was taken now.
    #[must_use]
    pub fn of(trace: &JoinTrace, now: UnixMs) -> Vec<Self> {
        let back = |since: Duration| {
            let ago = trace.waited.saturating_sub(since);
            UnixMs(
                now.0
                    .saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX)),
            )
        };
        let pairs = trace.pairs.iter();
        let seen = pairs.map(|pair| Self {
            first: back(pair.first),
            last: back(pair.last),
            pair: pair.clone(),
        });
        seen.collect()
    }
}
