//! What goes into the core and what comes out of it, besides commands and the SFU's events.

use super::noted::Noted;
use crate::call::whence::Way;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Actor, User};
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::CallGrant;
use kaiwa_sfu::control::{
    Answer, Join, Mute, Offer, ParticipantId, Prefer, Publication, Quality, Rights, SfuError, Slot,
    Speaker, Wanted,
};
use kaiwa_sfu::unit::Mid;
use std::time::{Duration, Instant};

/// A session's number on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionNo(pub u64);

/// A command that waits for its reply, or a look-up for its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// The time of an input, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct At {
    /// For deadlines.
    pub now: Instant,
    /// For telling people.
    pub wall: UnixMs,
}

/// Who commands, over which session.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The session.
    pub session: SessionNo,
    /// Who, and what they may do on the whole server.
    pub actor: Actor,
    /// What their token lets them do in calls.
    pub grant: CallGrant,
    /// By which door they come.
    pub way: Way,
}

/// What the shell has to do, in this order.
#[derive(Debug)]
pub enum Effect {
    /// Ask chat, and give the result back with the ticket.
    LookUp {
        /// Names the question.
        ticket: Ticket,
        /// The question.
        what: LookUp,
    },
    /// Command the SFU, and give the result back.
    Sfu(SfuCommand),
    /// Answer a command.
    Reply {
        /// Which.
        ticket: Ticket,
        /// With this.
        result: Result<Reply, CallError>,
    },
    /// Push to these sessions, reliably.
    Push {
        /// To whom.
        to: Vec<SessionNo>,
        /// What.
        push: Push,
    },
    /// Push to every session of a person, reliably.
    PushUser {
        /// To whom.
        user: UserId,
        /// But not to this session of theirs.
        except: Option<SessionNo>,
        /// What.
        push: Push,
    },
    /// Signal to these sessions; the latest of a kind replaces older ones.
    Signal {
        /// To whom.
        to: Vec<SessionNo>,
        /// What.
        signal: Signal,
    },
    /// Note what came or went.
    Note(Noted),
    /// Tell whoever follows the room that its call began, changed its size or ended.
    Notice {
        /// Which room.
        room: RoomId,
        /// How it is now.
        summary: Summary,
        /// Who gets rosters and needs no notice, by ascending number.
        except: Vec<SessionNo>,
    },
}

/// A question to chat.
#[derive(Debug)]
pub enum LookUp {
    /// How somebody stands to a room.
    Standing {
        /// Who.
        actor: Actor,
        /// To which room.
        room: RoomId,
    },
    /// Whether all of these are in the room.
    Members {
        /// In which room.
        room: RoomId,
        /// Who.
        users: Vec<UserId>,
    },
}

/// A command to the SFU. Its result comes back by the `handle_*` of the same name; that of `Leave` is
/// not wanted.
#[derive(Debug)]
pub enum SfuCommand {
    /// See [`kaiwa_sfu::control::SfuControl::join`].
    Join(Join),
    /// See [`kaiwa_sfu::control::SfuControl::set_rights`].
    SetRights(ParticipantId, Rights),
    /// See [`kaiwa_sfu::control::SfuControl::leave`].
    Leave(ParticipantId),
    /// See [`kaiwa_sfu::control::SfuControl::offer`].
    Offer {
        /// Who asked.
        ticket: Ticket,
        /// What.
        offer: Offer,
        /// Tracks that were left out, since the right to publish them is missing.
        refused: Vec<Mid>,
    },
    /// See [`kaiwa_sfu::control::SfuControl::prefer`].
    Prefer {
        /// Who asked.
        ticket: Ticket,
        /// What.
        prefer: Prefer,
    },
    /// See [`kaiwa_sfu::control::SfuControl::mute`].
    Mute {
        /// Who asked.
        ticket: Ticket,
        /// What.
        mute: Mute,
    },
}

/// A command's good end.
#[derive(Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// In the call.
    Joined(Box<Joined>),
    /// The SFU's answer, and the tracks that it was not even shown.
    Answer {
        /// Which room's call.
        room: RoomId,
        /// The answer.
        answer: Answer,
        /// Tracks without the right to publish them.
        refused: Vec<Mid>,
    },
}

/// What somebody who joined is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Their own id.
    pub participant: ParticipantId,
    /// What they may do with media.
    pub rights: Rights,
    /// Whether they mute and remove others.
    pub may_moderate: bool,
    /// Everybody, themselves included.
    pub roster: Roster,
}

/// A call in three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Grows with each change of the room's calls.
    pub version: u64,
    /// Participants; 0 when there is no call.
    pub count: u32,
    /// When it began; 0 when there is none.
    pub started: UnixMs,
}

/// Who is in a call, or what changed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Which room's.
    pub room: RoomId,
    /// In three numbers.
    pub summary: Summary,
    /// Everybody is named.
    pub is_full: bool,
    /// Those who changed, as they are now.
    pub entries: Vec<Entry>,
    /// Those who are gone.
    pub gone: Vec<(ParticipantId, EndReason)>,
}

/// A participant as others see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which.
    pub participant: ParticipantId,
    /// Who.
    pub user: User,
    /// Since when.
    pub joined: UnixMs,
    /// What they publish.
    pub publications: Vec<Publication>,
    /// Their session or media is away.
    pub is_interrupted: bool,
}

/// A reliable push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Push {
    /// Who is in the call.
    Roster(Roster),
    /// What one's receiving m-lines carry.
    Slots {
        /// Which room's call.
        room: RoomId,
        /// Each slot, and whose publication it carries.
        slots: Vec<(Slot, Option<ParticipantId>)>,
        /// M-lines to add.
        wanted: Wanted,
    },
    /// Somebody calls, or does so no more.
    Ringing(Ringing),
    /// What one may do.
    Rights {
        /// Which room's call.
        room: RoomId,
        /// One's id in it.
        participant: ParticipantId,
        /// With media.
        rights: Rights,
        /// Whether one mutes and removes others.
        may_moderate: bool,
    },
    /// One's own part is over.
    Ended {
        /// Which room's call.
        room: RoomId,
        /// One's id in it.
        participant: ParticipantId,
        /// Why.
        reason: EndReason,
    },
}

/// Somebody calls, or does so no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ringing {
    /// To which room's call.
    pub room: RoomId,
    /// Who calls.
    pub from: User,
    /// When it is over by itself. With room and caller it names the ring.
    pub until: UnixMs,
    /// How it stands.
    pub state: RingState,
}

impl Ringing {
    /// Whether this is its beginning.
    #[must_use]
    pub fn is_ringing(&self) -> bool {
        matches!(self.state, RingState::Rings(_))
    }
}

/// How a ring stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RingState {
    /// It rings until then.
    Rings(UnixMs),
    /// It is over; the caller is told who was rung.
    Over(RingOutcome, Option<User>),
}

/// How a ring ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingOutcome {
    /// The person joined.
    Answered,
    /// They said no.
    Declined,
    /// The caller left, or the person is no longer a member.
    Cancelled,
    /// Nobody answered.
    TimedOut,
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Who speaks.
    Speakers {
        /// In which room's call.
        room: RoomId,
        /// The loudest first.
        speakers: Vec<Speaker>,
        /// Who has the floor.
        active: Option<ParticipantId>,
    },
    /// How well media gets through, where it is not well or was not shortly before.
    Quality {
        /// In which room's call.
        room: RoomId,
        /// The worst first.
        qualities: Vec<(ParticipantId, Quality)>,
    },
}

/// Why a participant is no longer in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// They left, or their session ended.
    Left,
    /// A moderator removed them.
    Removed,
    /// They are no longer a member of the room.
    NotAMember,
    /// Their session or media was away for too long.
    TimedOut,
    /// Their media never came up.
    Failed,
    /// A fault of the server.
    Server,
    /// Their session joined another call.
    Replaced,
}

/// Why calls refuse; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The session is not in this room's call, or is no longer.
    #[error("join the call first")]
    NotInCall,
    /// Nobody of that id in the call.
    #[error("there is no such participant in this call")]
    ParticipantNotFound,
    /// No such publication in the call.
    #[error("there is no such publication in this call")]
    PublicationNotFound,
    /// A bound of the call, or of the node.
    #[error("at most {limit} {what}")]
    Full {
        /// Of what, in the plural.
        what: &'static str,
        /// How many.
        limit: u32,
    },
    /// The description can't be answered.
    #[error("the offer can't be answered: {0}")]
    BadOffer(String),
    /// None of the codecs of what is published is forwarded here.
    #[error("the offer can't be answered: no codec in common")]
    NoCommonCodec,
    /// Somebody who is to be rung is rung already, or in the call.
    #[error("{0} is rung already, or in the call")]
    AlreadyCalled(UserId),
    /// Somebody who is to be rung is not in the room.
    #[error("{0} is not in the room")]
    NotRingable(UserId),
    /// The right is missing.
    #[error("this needs {0}")]
    Forbidden(&'static str),
    /// Too soon.
    #[error("too soon: slow down")]
    TooSoon(Duration),
    /// Somebody who is to be rung declined or did not answer a moment ago.
    #[error("too soon to ring {user} again")]
    RungLately {
        /// Who it is.
        user: UserId,
        /// They can be rung after that.
        wait: Duration,
    },
    /// A value that is not possible here.
    #[error("{field}: {rule}")]
    Invalid {
        /// Which field of the command.
        field: &'static str,
        /// What is allowed.
        rule: &'static str,
    },
    /// The SFU takes no commands now.
    #[error("calls are not possible now, try again")]
    Unavailable,
    /// Chat refuses.
    #[error(transparent)]
    Chat(#[from] ChatError),
}

impl From<SfuError> for CallError {
    fn from(error: SfuError) -> Self {
        match error {
            SfuError::BadOffer(rule) => Self::BadOffer(rule),
            SfuError::NoCommonCodec => Self::NoCommonCodec,
            SfuError::Forbidden => Self::Forbidden("the right to publish this source"),
            SfuError::NoSuchParticipant => Self::NotInCall,
            SfuError::NoSuchPublication => Self::PublicationNotFound,
            SfuError::LimitReached { what, limit } => Self::Full { what, limit },
            SfuError::Unavailable => Self::Unavailable,
        }
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        let of = |code| Self::new(code, text);
        match error {
            CallError::NotInCall => of(ErrorCode::NotInCall),
            CallError::ParticipantNotFound => of(ErrorCode::ParticipantNotFound),
            CallError::PublicationNotFound => of(ErrorCode::PublicationNotFound),
            CallError::Full { limit, .. } => of(ErrorCode::CallFull).with("limit", limit),
            CallError::BadOffer(rule) => of(ErrorCode::BadOffer).with("rule", rule),
            CallError::NoCommonCodec => of(ErrorCode::BadOffer).with("rule", "no codec in common"),
            CallError::AlreadyCalled(user) => of(ErrorCode::AlreadyCalled).with("user", user),
            CallError::NotRingable(user) => of(ErrorCode::InvalidArgument)
                .with("field", "users")
                .with("user", user),
            CallError::Forbidden(needs) => of(ErrorCode::Forbidden).with("needs", needs),
            CallError::TooSoon(wait) => of(ErrorCode::RateLimited).retry_after(wait),
            CallError::RungLately { user, wait } => of(ErrorCode::RateLimited)
                .with("user", user)
                .retry_after(wait),
            CallError::Invalid { field, .. } => of(ErrorCode::InvalidArgument).with("field", field),
            CallError::Unavailable => of(ErrorCode::CallsUnavailable),
            CallError::Chat(error) => error.into(),
        }
    }
}
