//! The shell of WHIP and WHEP: sessions enter calls, are told of them, and end with them.
//!
//! A session ends by a DELETE, when its participant is out of the call (removed, no longer a member, media lost for
//! too long, a fault), when it has no right left to what it is for, with its token, and when the server stops.

mod place;

use super::core::viewer::{Pick, Viewer};
use super::core::{Change, Named, NoPlace, NotChanged, Opening, Restart, Table, Verdict};
use crate::call::command::Command;
use crate::call::core::effect::{CallError, Caller, Reply, SessionNo};
use crate::call::service::Calls;
use crate::call::whence::Whence;
use crate::session::connect::actor;
use crate::session::{Context, lock};
use kaiwa_chat::error::ChatError;
use kaiwa_common::id::{RoomId, SessionId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::token::Identity;
use kaiwa_sfu::control::{Answer, Rights, Source, Track};
use kaiwa_sfu::exchange::{Answered, Offered, Unacceptable, Way};
use kaiwa_sfu::unit::{MediaKind, Mid};
use place::Place;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;
use tokio::sync::Notify;

/// What a session is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// An encoder publishes these.
    Publish {
        /// Its sound is.
        audio: Source,
        /// Its picture is.
        video: Source,
    },
    /// A player watches.
    Watch {
        /// Whom.
        pick: Pick,
        /// Only when there is something to watch.
        must_be_live: bool,
    },
}

/// Somebody who wants to begin a session.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who.
    pub identity: Identity,
    /// In which room's call.
    pub room: RoomId,
    /// For what.
    pub purpose: Purpose,
    /// With what.
    pub offered: Offered,
    /// From where.
    pub whence: Arc<Whence>,
}

/// A session that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The end of its URL.
    pub id: SessionId,
    /// Of its ICE session.
    pub etag: String,
    /// The answer.
    pub sdp: Redacted<String>,
}

/// Why a session does not begin, or a restart is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no place.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// Nothing is on the air.
    #[error("nobody publishes in this call yet")]
    NotLive,
    /// A right is missing.
    #[error("this needs {0}")]
    Forbidden(&'static str),
    /// The offer can't be answered whole.
    #[error(transparent)]
    Unacceptable(#[from] Unacceptable),
    /// The request does not fit the session.
    #[error(transparent)]
    NotChanged(#[from] NotChanged),
    /// The call refuses.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl From<ChatError> for Refused {
    fn from(error: ChatError) -> Self {
        Self::Call(error.into())
    }
}

/// What came of a PATCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// Candidates were taken.
    Trickled,
    /// ICE began anew.
    Restarted {
        /// Of the new ICE session.
        etag: String,
        /// What the client has to know of it.
        fragment: Redacted<String>,
    },
}

/// The sessions of a node. Clones are the same.
#[derive(Clone)]
pub struct Whip {
    shared: Arc<Shared>,
}

struct Shared {
    context: Arc<Context>,
    calls: Calls,
    table: Mutex<Table>,
    /// The next end of a token may be another.
    rescheduled: Arc<Notify>,
}

impl Whip {
    /// Starts it, on a server with calls. Must be called within a tokio runtime; its task ends with the last clone.
    #[must_use]
    pub fn start(context: &Arc<Context>) -> Option<Self> {
        let shared = Arc::new(Shared {
            calls: context.calls.clone()?,
            context: Arc::clone(context),
            table: Mutex::default(),
            rescheduled: Arc::default(),
        });
        let rescheduled = Arc::clone(&shared.rescheduled);
        tokio::spawn(end_with_tokens(Arc::downgrade(&shared), rescheduled));
        Some(Self { shared })
    }

    /// Begins a session: its participant is in the call, and all of its offer is answered.
    ///
    /// # Errors
    /// [`Refused`]; then nothing is left of it.
    pub async fn begin(&self, request: Request) -> Result<Begun, Refused> {
        let shared = &self.shared;
        let Request {
            identity,
            room,
            purpose,
            offered,
            whence,
        } = request;
        let way = purpose.way();
        let opening = Opening {
            id: SessionId::generate(),
            no: SessionNo(shared.context.sessions.number()),
            user: identity.user.clone(),
            room: room.clone(),
            way,
            until: shared.until(&identity),
        };
        let (id, no) = (opening.id.clone(), opening.no);
        lock(&shared.table).open(opening, Instant::now())?;
        shared.context.metrics.whip_sessions.increment(1.0);
        shared.rescheduled.notify_one();
        // Whatever becomes of this future: it takes the session with it.
        let guard = Guard {
            shared: Arc::clone(shared),
            no,
            is_kept: false,
        };
        // Only now that it has its place: whoever stops the server ends those who have one, and the others see this.
        if shared.context.draining.load(Ordering::SeqCst) {
            return Err(ChatError::Draining.into());
        }
        let (actor, grant) = actor(identity);
        if let Purpose::Watch { pick, must_be_live } = &purpose
            && *must_be_live
            && !pick.is_live(&shared.calls.roster(&actor, &room).await?)
        {
            return Err(Refused::NotLive);
        }
        let caller = Caller {
            session: no,
            actor,
            grant,
            way: way.into(),
        };
        let tracks = purpose.tracks(&offered);
        let place = Arc::new(Place {
            shared: Arc::downgrade(shared),
            caller: caller.clone(),
            room: room.clone(),
            sources: tracks.iter().map(|track| track.source).collect(),
            viewer: Mutex::default(),
        });
        let entered = shared.calls.enter(
            caller.clone(),
            room.clone(),
            (Arc::clone(&place) as _, whence),
        );
        let joined = entered.await?;
        purpose.check(joined.rights, &tracks)?;
        let answered = shared.offer(caller, &room, &offered, &tracks).await?;
        if let Purpose::Watch { pick, .. } = purpose {
            place.watch(Viewer::new(joined.participant, pick));
        }
        let etag = lock(&shared.table).begin(&id, offered, tracks);
        // Out of the call again already.
        let etag = etag.ok_or(CallError::NotInCall)?;
        guard.keep();
        shared.context.metrics.whip_begun.increment(1);
        let sdp = answered.sdp;
        Ok(Begun { id, etag, sdp })
    }

    /// Whether there is such a session of the asker's.
    ///
    /// # Errors
    /// [`NotChanged::Unknown`].
    pub fn find(&self, named: Named<'_>) -> Result<(), NotChanged> {
        lock(&self.shared.table).find(named).map(|_| ())
    }

    /// Trickles or restarts. A later token of the same person than the one before lets the session go on with it.
    ///
    /// # Errors
    /// [`Refused`]; then the session goes on as it was.
    pub async fn change(
        &self,
        named: Named<'_>,
        identity: &Identity,
        change: Change,
    ) -> Result<Changed, Refused> {
        let shared = &self.shared;
        let until = shared.until(identity);
        let restarting = {
            let mut table = lock(&shared.table);
            let no = table.find(named)?;
            if table.renew(no, until) {
                let (role, grant) = (identity.role, identity.call);
                shared.calls.identity_renewed(no, role, grant);
                shared.rescheduled.notify_one();
            }
            match table.change(named, change, Instant::now())? {
                Verdict::Trickled => return Ok(Changed::Trickled),
                // Under the lock, so that restarts are offered in the order of their numbers.
                Verdict::Restart(restart) => {
                    let offer = shared.command(named, identity, &restart);
                    (restart, offer)
                }
            }
        };
        let (restart, offer) = restarting;
        let answer = match offer.await {
            Ok(Reply::Answer { answer, .. }) => answer,
            Ok(Reply::Done | Reply::Joined(_)) => return Err(CallError::Unavailable.into()),
            // It has ended meanwhile.
            Err(CallError::NotInCall) => return Err(NotChanged::Unknown.into()),
            Err(error) => return Err(error.into()),
        };
        let fragment = restart.offered.answered(&answer.sdp)?.fragment;
        let etag = lock(&shared.table).restarted(*restart);
        let etag = etag.ok_or(NotChanged::Unknown)?;
        Ok(Changed::Restarted { etag, fragment })
    }

    /// Ends a session: its participant is out of the call when this returns.
    ///
    /// # Errors
    /// [`NotChanged::Unknown`].
    pub fn end(&self, named: Named<'_>) -> Result<(), NotChanged> {
        let no = lock(&self.shared.table).find(named)?;
        self.shared.end(no);
        Ok(())
    }

    /// Ends all sessions: the server stops.
    pub fn drain(&self) {
        let all = lock(&self.shared.table).all();
        all.into_iter().for_each(|no| self.shared.end(no));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.shared.table).len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Shared {
    fn until(&self, identity: &Identity) -> Instant {
        Instant::now() + identity.expires.since((self.context.now)())
    }

    /// Ends a session, also one that has no place any more and may have come into the call since.
    fn end(&self, no: SessionNo) {
        if lock(&self.table).remove(no) {
            self.context.metrics.whip_sessions.decrement(1.0);
        }
        self.calls.gone(no);
    }

    async fn offer(
        &self,
        caller: Caller,
        room: &RoomId,
        offered: &Offered,
        tracks: &[Track],
    ) -> Result<Answered, Refused> {
        let command = Command::Offer {
            room: room.clone(),
            sdp: Redacted(offered.sdp().to_owned()),
            tracks: tracks.to_vec(),
        };
        let Reply::Answer {
            answer, refused, ..
        } = self.calls.ask(caller, command).await?
        else {
            return Err(CallError::Unavailable.into());
        };
        check_tracks(&answer, &refused)?;
        Ok(offered.answered(&answer.sdp)?)
    }

    fn command(
        &self,
        named: Named<'_>,
        identity: &Identity,
        restart: &Restart,
    ) -> impl Future<Output = Result<Reply, CallError>> + Send + use<> {
        let (actor, grant) = actor(identity.clone());
        let caller = Caller {
            session: restart.no,
            actor,
            grant,
            way: named.way.into(),
        };
        let command = Command::Offer {
            room: named.room.clone(),
            sdp: Redacted(restart.offered.sdp().to_owned()),
            tracks: restart.tracks.clone(),
        };
        self.calls.ask(caller, command)
    }
}

/// All tracks are published, or none (RFC 9725, section 4.4.3).
fn check_tracks(answer: &Answer, refused: &[Mid]) -> Result<(), Refused> {
    if !refused.is_empty() {
        return Err(Refused::Forbidden("the right to publish this"));
    }
    let mut outcomes = answer.tracks.iter();
    match outcomes.find_map(|(_, outcome)| outcome.as_ref().err()) {
        Some(error) => Err(CallError::from(error.clone()).into()),
        None => Ok(()),
    }
}

impl Purpose {
    /// Which way its media goes.
    #[must_use]
    pub fn way(&self) -> Way {
        match self {
            Self::Publish { .. } => Way::In,
            Self::Watch { .. } => Way::Out,
        }
    }

    fn source(&self, kind: MediaKind) -> Option<Source> {
        match self {
            Self::Publish { audio, .. } if kind == MediaKind::Audio => Some(*audio),
            Self::Publish { video, .. } => Some(*video),
            Self::Watch { .. } => None,
        }
    }

    fn tracks(&self, offered: &Offered) -> Vec<Track> {
        let track = |(mid, kind): &(Mid, MediaKind)| {
            Some(Track {
                mid: *mid,
                source: self.source(*kind)?,
                is_muted: false,
            })
        };
        offered.media().iter().filter_map(track).collect()
    }

    /// Whether these rights are enough for all of it.
    fn check(&self, rights: Rights, tracks: &[Track]) -> Result<(), Refused> {
        if self.way() == Way::Out && !rights.subscribe {
            return Err(Refused::Forbidden(
                "the right to watch and hear (`subscribe`)",
            ));
        }
        let mut sources = tracks.iter().map(|track| track.source);
        let needs = match sources.find(|source| !rights.may_publish(*source)) {
            None => return Ok(()),
            Some(Source::Microphone) => "the right to publish a microphone: offer no sound",
            Some(Source::Camera) => "the right to publish a camera: offer no picture",
            Some(Source::Screen | Source::ScreenAudio) => "the right to publish a screen",
        };
        Err(Refused::Forbidden(needs))
    }
}

/// A session that has not begun: it ends when this is dropped.
struct Guard {
    shared: Arc<Shared>,
    no: SessionNo,
    is_kept: bool,
}

impl Guard {
    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_kept {
            self.shared.end(self.no);
        }
    }
}

/// Ends sessions with their tokens, until nobody has the service any more.
async fn end_with_tokens(shared: Weak<Shared>, rescheduled: Arc<Notify>) {
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let ended = lock(&shared.table).ended(Instant::now());
            ended.into_iter().for_each(|no| shared.end(no));
            lock(&shared.table).poll_timeout()
        };
        match next {
            Some(next) => {
                let _ = tokio::time::timeout_at(next.into(), rescheduled.notified()).await;
            }
            None => rescheduled.notified().await,
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.rescheduled.notify_one();
    }
}
