//! The first command of a connection: who it is, and whether a session goes on.

use super::core::LinkNo;
use super::core::outbox::ResumeRefused;
use super::dispatch::token_refusal;
use super::follow::follow;
use super::{Context, Session, wire as edge};
use crate::codec::Codec;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Actor, User};
use kaiwa_common::close::CloseCode;
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::{DeviceId, RoomId, SessionId};
use kaiwa_common::limits::{CONNECT_ROOMS, PING_INTERVAL, RESUME};
use kaiwa_common::position::Position;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{CallGrant, Identity, TokenError};
use kaiwa_proto::client::v1 as wire;
use kaiwa_proto::client::v1::reply::Result as ReplyResult;
use std::ops::Not as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Why a connection doesn't begin: what the reply says, and how it ends.
#[derive(Debug)]
pub struct NotConnected {
    /// What the reply says.
    pub refusal: Refusal,
    /// How the connection ends; `None` lets the client try again.
    pub close: Option<CloseCode>,
    /// What is wrong with the token, if it is that.
    pub token: Option<TokenError>,
}

/// A connection that begins: its session, and what is left to be done before the reply.
pub struct Begun {
    /// The session, attached.
    pub session: Arc<Session>,
    /// Its link.
    pub link: LinkNo,
    resumed: Result<(), Option<ResumeRefused>>,
    rooms: Vec<(RoomId, Option<Position>)>,
    expires: UnixMs,
}

/// Authenticates a client and finds or makes its session.
///
/// # Errors
/// [`NotConnected`], with what to tell.
pub fn begin(
    context: &Context,
    codec: Codec,
    connect: &wire::Connect,
    now: Instant,
) -> Result<Begun, NotConnected> {
    if context.draining.load(Ordering::SeqCst) {
        let refusal = Refusal::new(ErrorCode::Draining, "the server is about to stop");
        return Err(NotConnected {
            refusal,
            close: Some(CloseCode::Drain),
            token: None,
        });
    }
    let wall = (context.now)();
    let identity = context
        .tokens
        .verify(&connect.token, wall)
        .map_err(|error| {
            let refusal = token_refusal(&error);
            let expired = refusal.code == ErrorCode::TokenExpired;
            let close = if expired {
                CloseCode::TokenExpired
            } else {
                CloseCode::Unauthorized
            };
            NotConnected {
                refusal,
                close: Some(close),
                token: Some(error),
            }
        })?;
    let rooms = check(connect).map_err(|refusal| NotConnected {
        refusal,
        close: None,
        token: None,
    })?;
    let token_until = now + identity.expires.since(wall);
    let expires = identity.expires;
    let resume = connect
        .resume
        .as_ref()
        .filter(|resume| !resume.session.is_empty());
    let resumed = resume.map(|r| attach(context, r, codec, &identity, (token_until, now)));
    let (session, link, resumed) = match resumed {
        Some(Ok((session, link))) => (session, link, Ok(())),
        None => fresh(context, codec, identity, (token_until, now), None),
        Some(Err(why)) => fresh(context, codec, identity, (token_until, now), Some(why)),
    };
    Ok(Begun {
        session,
        link,
        resumed,
        rooms,
        expires,
    })
}

type Found = (Arc<Session>, LinkNo, Result<(), Option<ResumeRefused>>);

fn fresh(
    context: &Context,
    codec: Codec,
    identity: Identity,
    (token_until, now): (Instant, Instant),
    why: Option<ResumeRefused>,
) -> Found {
    let (actor, grant) = actor(identity);
    let identity = (Arc::new(actor), grant);
    let (session, evicted) = context.sessions.begin(identity, codec, token_until, now);
    if let Some(evicted) = evicted {
        end(context, &evicted);
    }
    let link = session.core().link_no();
    (session, link, Err(why))
}

/// Goes on with a session of this person.
fn attach(
    context: &Context,
    resume: &wire::Resume,
    codec: Codec,
    identity: &Identity,
    (token_until, now): (Instant, Instant),
) -> Result<(Arc<Session>, LinkNo), ResumeRefused> {
    let id = SessionId::parse(&resume.session).map_err(|_| ResumeRefused::Unknown)?;
    let session = context.sessions.get(&id).ok_or(ResumeRefused::Unknown)?;
    if session.user.id != identity.user {
        return Err(ResumeRefused::OtherIdentity);
    }
    let attached = session.core().attach(resume.count, codec, token_until, now);
    // The link before, if there is one, has to see that it was replaced.
    session.waker.wake();
    let link = attached.inspect_err(|_| end(context, &session))?;
    // What its client has counted, it has.
    session.note_acknowledged();
    session
        .follows()
        .iter()
        .for_each(|(_, follow)| follow.forget_told());
    let (actor, grant) = actor(identity.clone());
    session.set_identity(context, actor, grant);
    if let Some(calls) = &context.calls {
        calls.link_changed(&session);
    }
    context.metrics.resumed.increment(1);
    Ok((session, link))
}

pub(crate) fn actor(identity: Identity) -> (Actor, CallGrant) {
    let user = User {
        id: identity.user,
        name: identity.name,
    };
    let role = identity.role;
    (Actor { user, role }, identity.call)
}

/// Ends a session for good: nobody can resume it, and nothing is kept.
pub fn end(context: &Context, session: &Session) {
    session.end();
    context.hub.unfollow_all(session);
    context.sessions.remove(session);
    if let Some(calls) = &context.calls {
        calls.session_ended(session);
    }
}

fn check(connect: &wire::Connect) -> Result<Vec<(RoomId, Option<Position>)>, Refusal> {
    let invalid = |field: &'static str, rule: &str| {
        Refusal::new(ErrorCode::InvalidArgument, format!("{field}: {rule}")).with("field", field)
    };
    DeviceId::parse(&connect.device).map_err(|error| invalid("device", error.rule))?;
    if connect.client.len() > 64 {
        return Err(invalid("client", "at most 64 bytes"));
    }
    if connect.rooms.len() > CONNECT_ROOMS {
        let refusal = Refusal::new(ErrorCode::LimitReached, "too many rooms at once");
        return Err(refusal.with("limit", CONNECT_ROOMS));
    }
    let mut rooms = connect
        .rooms
        .iter()
        .map(edge::position)
        .collect::<Result<Vec<_>, _>>()?;
    rooms.sort_by(|a, b| a.0.cmp(&b.0));
    rooms.dedup_by(|a, b| a.0 == b.0);
    Ok(rooms)
}

impl Begun {
    /// Remembers the person, follows the rooms, and makes the reply.
    pub async fn complete(self, context: &Context) -> ReplyResult {
        let session = &self.session;
        let actor = session.actor();
        if let Err(error) = context.chat.seen(&actor).await {
            return unavailable(error);
        }
        let resumed = self.resumed.is_ok();
        if let Some(calls) = context.calls.as_ref().filter(|_| !resumed) {
            calls.session_begun(session);
        }
        let rooms = if resumed {
            self.not_followed()
        } else {
            self.rooms
        };
        let rooms = if rooms.is_empty() {
            Vec::new()
        } else {
            follow(context, session, rooms).await
        };
        let refused = self.resumed.err().flatten();
        let limits = &context.limits;
        ReplyResult::Connected(wire::Connected {
            session: session.id.to_string(),
            resumed,
            resume_refused: refused.map(|why| why.to_string()).unwrap_or_default(),
            count: session.core().count(),
            user: Some((&actor.user).into()),
            expires_ms: self.expires.0,
            time_ms: (context.now)().0,
            ping_ms: u32::try_from(PING_INTERVAL.as_millis()).expect("seconds"),
            resume_ms: u32::try_from(RESUME.as_millis()).expect("minutes"),
            limits: Some(wire::Limits {
                frame_bytes: limits.frame_bytes,
                text_bytes: limits.text_bytes,
                clip_bytes: limits.clip_bytes,
                subscriptions: limits.subscriptions,
                in_flight: limits.in_flight,
                page: limits.page,
            }),
            rooms,
            node: context.node.clone(),
        })
    }

    fn not_followed(&self) -> Vec<(RoomId, Option<Position>)> {
        let follows = self.session.follows();
        let is_new = |room: &RoomId| {
            // One that was cut off before it became active has to be followed again.
            let at = follows.binary_search_by(|(r, _)| r.cmp(room));
            at.is_ok_and(|at| follows[at].1.is_active()).not()
        };
        self.rooms
            .iter()
            .filter(|(room, _)| is_new(room))
            .cloned()
            .collect()
    }
}

fn unavailable(error: ChatError) -> ReplyResult {
    super::dispatch::refused(error.into())
}
