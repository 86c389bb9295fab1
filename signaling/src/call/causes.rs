//! Why a join failed, or works badly: from what is known to at most one cause, by pure functions.
//!
//! What a client reports is a hint and no more. It may tell two causes apart that look alike from here, and
//! its clock may be compared; it never makes a failure of what was none here.

mod media;
mod quality;

#[cfg(test)]
mod tests;

use super::core::effect::CallError;
use super::whence::Origin;
use kaiwa_chat::error::ChatError;
use kaiwa_common::limits::TOKEN_LEEWAY;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{Dated, TokenError};
use kaiwa_sfu::control::GoneReason;
use kaiwa_sfu::control::trace::{JoinTrace, Protocol, Told};
use std::time::Duration;

pub use quality::{of_participant, of_publication};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What is wrong, as a stable word for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

kinds! {
    /// Nothing ever came to the addresses that were told, and those are not where the person reaches us.
    WrongAddress = "wrong_address";
    /// In the call by TCP, and nothing ever came by UDP.
    UdpBlocked = "udp_blocked";
    /// The addresses are right, and nothing gets through, or nothing back.
    MediaBlocked = "media_blocked";
    /// The token is no good.
    TokenInvalid = "token_invalid";
    /// The token's time is over.
    TokenExpired = "token_expired";
    /// The clocks of server, issuer and client don't agree.
    ClockOff = "clock_off";
    /// A bound of the call or of the server.
    RoomFull = "room_full";
    /// Nothing that the client sends or takes is forwarded here.
    NoCommonCodec = "no_common_codec";
    /// The offer can't be answered for another reason.
    BadOffer = "bad_offer";
    /// A certificate of DTLS is not the one that was described.
    FingerprintMismatch = "fingerprint_mismatch";
    /// DTLS ended otherwise.
    HandshakeFailed = "handshake_failed";
    /// Checks came with a password that is not the answer's.
    IceCredentials = "ice_credentials";
    /// Media was there, and then nothing was heard any more.
    ConsentLost = "consent_lost";
    /// A publisher sends pictures and no key frame, however often it is asked.
    NoKeyframes = "no_keyframes";
    /// The subscriber's path carries less than the smallest layers that they want.
    Starved = "starved";
    /// Packets are lost on one link.
    Loss = "loss";
    /// The right is missing.
    Forbidden = "forbidden";
    /// Out again before anything could be said of the network.
    LeftEarly = "left_early";
    /// The fault is ours.
    Server = "server";
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// For programs.
    pub kind: Kind,
    /// What is wrong, with the facts.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

impl Cause {
    pub(super) fn new(kind: Kind, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            remedy: remedy.into(),
        }
    }
}

/// What is known on our side of a join that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Facts {
    /// The token was refused.
    Token {
        /// Why.
        error: TokenError,
        /// What it says of time, when it is ours.
        dated: Option<Dated>,
        /// When it was refused.
        at: UnixMs,
    },
    /// A join or an offer was refused.
    Refused(CallError),
    /// A right was missing; this says which.
    Forbidden(String),
    /// There was no place; this says where.
    Full(String),
    /// M-lines were left out of an answer: none of their codecs is forwarded.
    WithoutCodec,
    /// Media did not come up, or not any more.
    Media {
        /// What was seen.
        trace: JoinTrace,
        /// How it ended; `None` while it goes on.
        end: Option<GoneReason>,
        /// How the person reaches us.
        origin: Origin,
    },
}

/// What a client says of its side, as far as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hint {
    /// Its clock less ours, in ms.
    pub skew_ms: Option<i64>,
    /// Its ICE found a pair that works.
    pub is_ice_connected: bool,
    /// Its ICE has given up.
    pub has_ice_failed: bool,
}

/// The cause of a failed join; `None` where nothing is wrong, or nothing that would be a failure.
#[must_use]
pub fn of_join(facts: &Facts, told: &[Told], hint: Hint) -> Option<Cause> {
    match facts {
        Facts::Token { error, dated, at } => Some(of_token(*error, dated.as_ref(), *at, hint)),
        Facts::Refused(error) => of_refusal(error),
        Facts::Forbidden(needs) => Some(forbidden(needs)),
        Facts::Full(text) => Some(full(text)),
        Facts::WithoutCodec => Some(no_common_codec()),
        Facts::Media { trace, end, origin } => media::of_media(trace, *end, *origin, told, hint),
    }
}

fn of_token(error: TokenError, dated: Option<&Dated>, at: UnixMs, hint: Hint) -> Cause {
    let ahead = |dated: &&Dated| dated.starts.is_some_and(|s| s > at.plus(TOKEN_LEEWAY));
    if let Some(starts) = dated.filter(ahead).and_then(|dated| dated.starts) {
        let by = whole(starts.since(at));
        return Cause::new(
            Kind::ClockOff,
            format!("the token begins to be good in {by}, by this server's clock"),
            "compare the clocks of whoever issues tokens and of this server, and have both follow NTP: up to \
             30 s are taken for granted",
        );
    }
    if error != TokenError::Expired {
        return Cause::new(
            Kind::TokenInvalid,
            error.to_string(),
            "have it issued with the secret, audience and issuer of this server's settings (auth.*)",
        );
    }
    let since = dated.map(|dated| at.since(dated.expires));
    // Good by the client's clock: it has no reason to get another.
    let behind = hint.skew_ms.filter(|skew| *skew < 0).map(i64::unsigned_abs);
    let behind = behind.map(Duration::from_millis);
    if let (Some(since), Some(behind)) = (since, behind.filter(|behind| *behind > TOKEN_LEEWAY))
        && since < behind
    {
        let by = whole(behind);
        return Cause::new(
            Kind::ClockOff,
            format!(
                "the token has expired {} ago by this server's clock, and is good by the client's, which is {by} \
                 behind",
                whole(since)
            ),
            "set the clock that is wrong, and have both machines follow NTP",
        );
    }
    let ago = since.map_or_else(String::new, |since| format!(" {} ago", whole(since)));
    Cause::new(
        Kind::TokenExpired,
        format!("the token has expired{ago}"),
        "get a new token, and refresh it before it ends",
    )
}

fn of_refusal(error: &CallError) -> Option<Cause> {
    let text = error.to_string();
    Some(match error {
        CallError::Full { .. } => full(&text),
        CallError::NoCommonCodec => no_common_codec(),
        CallError::BadOffer(_) | CallError::Invalid { .. } => Cause::new(
            Kind::BadOffer,
            text,
            "report it with the client's name and version: it describes its media as this server does not \
             understand it",
        ),
        CallError::Forbidden(_) => forbidden(&text),
        CallError::Chat(
            ChatError::RoomNotFound | ChatError::NotAMember | ChatError::Forbidden { .. },
        ) => forbidden(&text),
        CallError::Unavailable
        | CallError::Chat(ChatError::Unavailable | ChatError::Overloaded | ChatError::Draining) => {
            server(&text)
        }
        // Nothing that anybody would look for.
        CallError::NotInCall
        | CallError::ParticipantNotFound
        | CallError::PublicationNotFound
        | CallError::AlreadyCalled(_)
        | CallError::NotRingable(_)
        | CallError::TooSoon(_)
        | CallError::RungLately { .. }
        | CallError::Chat(_) => return None,
    })
}

fn full(text: &str) -> Cause {
    let remedy = "wait until somebody leaves, or raise limits.call_participants";
    Cause::new(Kind::RoomFull, text, remedy)
}

fn forbidden(needs: &str) -> Cause {
    Cause::new(
        Kind::Forbidden,
        needs,
        "ask an owner of the room for the right, or for a token that gives it",
    )
}

fn no_common_codec() -> Cause {
    Cause::new(
        Kind::NoCommonCodec,
        "none of the codecs of the offer is forwarded here",
        "have the client offer Opus, and VP8 or another of calls.video_codecs",
    )
}

pub(super) fn server(text: &str) -> Cause {
    let remedy = "try again; if it stays so, look into the server's log and at /readyz";
    Cause::new(Kind::Server, text, remedy)
}

/// Addresses for people.
pub(super) fn list(told: &[Told]) -> String {
    let one = |told: &Told| format!("{} {}", told.protocol.as_str(), told.address);
    let texts: Vec<String> = told.iter().map(one).collect();
    texts.join(", ")
}

/// Whether clients are told of this way at all.
pub(super) fn tells(told: &[Told], protocol: Protocol) -> bool {
    told.iter().any(|told| told.protocol == protocol)
}

/// A duration for people.
fn whole(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
