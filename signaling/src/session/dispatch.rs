//! Commands of connected clients, handed to whoever does them.

use super::core::outbox::Reliable;
use super::follow::{event_page, follow};
use super::wire::{Read, Request, error};
use super::{Context, Session};
use crate::call::command::Command;
use crate::codec::EncodedOnce;
use crate::push::command::{Command as PushCommand, perform as perform_push};
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Actor, Page, RoomInfo, Write, Written};
use kaiwa_chat::ports::Announcement;
use kaiwa_chat::wire::marked as wire_marked;
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::PAGE_BYTES;
use kaiwa_common::position::Position;
use kaiwa_common::token::TokenError;
use kaiwa_proto::client::v1 as wire;
use kaiwa_proto::client::v1::push::Push;
use kaiwa_proto::client::v1::reply::Result as ReplyResult;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// A command that is being done.
pub type Work = Pin<Box<dyn Future<Output = ReplyResult> + Send>>;

/// What became of a command at once.
pub enum Dispatched {
    /// It is done.
    Done(Box<ReplyResult>),
    /// It is being done. Dropping it undoes nothing.
    Started(Work),
    /// It reads a page, which is being done.
    Reading(Work),
    /// It needs no answer.
    Silent,
}

/// Begins a command. Writes are handed over before this returns, so that they keep their order.
pub fn dispatch(
    context: &Arc<Context>,
    session: &Arc<Session>,
    request: Request,
    now: Instant,
) -> Dispatched {
    match request {
        Request::Write(write) => Dispatched::Started(submit(context, session, write)),
        Request::Read(read) => {
            let (context, actor) = (Arc::clone(context), session.actor());
            Dispatched::Reading(Box::pin(async move {
                perform(&context, &actor, read)
                    .await
                    .unwrap_or_else(|e| refused(e.into()))
            }))
        }
        Request::Refresh(token) => Dispatched::Done(Box::new(
            refresh(context, session, &token, now).unwrap_or_else(refused),
        )),
        Request::Subscribe(room, after) => {
            let (context, session) = (Arc::clone(context), Arc::clone(session));
            Dispatched::Reading(Box::pin(async move {
                let mut answers = follow(&context, &session, vec![(room, after)]).await;
                match answers.pop() {
                    Some(wire::Subscribed {
                        outcome: Some(wire::subscribed::Outcome::Error(error)),
                        ..
                    }) => ReplyResult::Error(error),
                    Some(answer) => ReplyResult::Subscribed(answer),
                    None => unreachable!("one answer for one room"),
                }
            }))
        }
        Request::Unsubscribe(room) => {
            context.hub.unfollow(&room, session);
            Dispatched::Done(Box::new(ReplyResult::Done(wire::Done {})))
        }
        Request::Call(command) => call(context, session, command),
        Request::CallGet(room) => {
            let Some(calls) = context.calls.clone() else {
                return calls_off();
            };
            let actor = session.actor();
            Dispatched::Reading(Box::pin(async move {
                match calls.get(&actor, &room).await {
                    Ok(roster) => ReplyResult::CallRoster(roster),
                    Err(error) => refused(error.into()),
                }
            }))
        }
        Request::Mark(room, to) => Dispatched::Started(mark(context, session, room, to)),
        Request::Push(command) => push(context, session, command, now),
        Request::Pong(count) => {
            session.core().handle_pong(count);
            session.note_acknowledged();
            Dispatched::Silent
        }
        Request::Ack(count, is_visible) => {
            session.core().handle_ack(count, is_visible);
            session.note_acknowledged();
            Dispatched::Silent
        }
    }
}

/// Marks a room as read, and tells the person's other sessions and devices.
fn mark(context: &Arc<Context>, session: &Arc<Session>, room: RoomId, to: Position) -> Work {
    let (context, session) = (Arc::clone(context), Arc::clone(session));
    Box::pin(async move {
        let actor = session.actor();
        let marked = match context.chat.mark(&actor, &room, to).await {
            Ok(marked) => marked,
            Err(error) => return refused(error.into()),
        };
        let told = wire_marked(&room, &marked);
        if marked.has_moved {
            let push = EncodedOnce::new(Push::Marked(told.clone()));
            let others = context.sessions.of(&session.user.id);
            for other in others.iter().filter(|other| other.no != session.no) {
                if !other.core().knows_ack() {
                    continue;
                }
                other.push(Reliable {
                    room: None,
                    frame: push.frame(other.codec()).clone(),
                    pushes: 1,
                });
            }
            if let Some(announce) = &context.announce {
                let to = Position {
                    epoch: marked.head.epoch,
                    seq: marked.unread.read,
                };
                let user = session.user.id.clone();
                announce.announce(Announcement::Read { user, room, to });
            }
        }
        ReplyResult::Marked(told)
    })
}

fn call(context: &Context, session: &Arc<Session>, command: Command) -> Dispatched {
    let Some(calls) = &context.calls else {
        return calls_off();
    };
    let is_draining = context.draining.load(Ordering::SeqCst);
    if is_draining && matches!(command, Command::Join { .. }) {
        return Dispatched::Done(Box::new(refused(ChatError::Draining.into())));
    }
    Dispatched::Started(Box::pin(calls.submit(session, command)))
}

fn calls_off() -> Dispatched {
    let refusal = Refusal::new(ErrorCode::CallsOff, "this server has no calls");
    Dispatched::Done(Box::new(refused(refusal)))
}

fn push(context: &Context, session: &Session, command: PushCommand, now: Instant) -> Dispatched {
    let Some(push) = context.push.clone() else {
        let refusal = Refusal::new(ErrorCode::PushOff, "this server sends no notifications");
        return Dispatched::Done(Box::new(refused(refusal)));
    };
    if command.is_rated()
        && let Err(wait) = session.user.take_push_change(now)
    {
        context.metrics.rate_limited.increment(1);
        let text = "too many changes of devices and settings, or questions why: slow down";
        let refusal = Refusal::new(ErrorCode::RateLimited, text).retry_after(wait);
        return Dispatched::Done(Box::new(refused(refusal)));
    }
    let is_change = command.is_change();
    let (chat, actor) = (context.chat.clone(), session.actor());
    let work: Work = Box::pin(async move {
        if let Some(room) = command.needs_room() {
            let mut answers = chat.authorize_read(&actor, vec![room.clone()]).await;
            if let Err(error) = answers.pop().expect("one answer for one room") {
                return refused(error.into());
            }
        }
        let user = actor.user.id.clone();
        perform_push(push, user, command)
            .await
            .unwrap_or_else(|error| refused(error.into()))
    });
    if is_change {
        Dispatched::Started(work)
    } else {
        Dispatched::Reading(work)
    }
}

/// A refusal as a reply.
#[must_use]
pub fn refused(refusal: Refusal) -> ReplyResult {
    ReplyResult::Error(error(&refusal))
}

fn submit(context: &Context, session: &Session, write: Write) -> Work {
    let result = context.chat.submit(&session.actor(), write);
    Box::pin(async move {
        match result.await {
            Ok(Written::Committed(committed)) => ReplyResult::Committed(wire::Committed {
                room: committed.room.to_string(),
                epoch: committed.position.epoch.0,
                seq: committed.position.seq.0,
                time_ms: committed.time.0,
                dup: committed.dup,
            }),
            Ok(Written::Room(info)) => ReplyResult::Room((&*info).into()),
            Err(error) => refused(error.into()),
        }
    })
}

async fn perform(context: &Context, actor: &Actor, read: Read) -> Result<ReplyResult, ChatError> {
    let chat = &context.chat;
    Ok(match read {
        Read::Events(room, after, limit) => {
            let mut answers = chat
                .catch_up(actor, vec![(room.clone(), after)], limit)
                .await;
            let caught_up = answers.pop().expect("one answer for one room")?;
            ReplyResult::Events(event_page(&room, caught_up))
        }
        Read::History(room, from, limit) => {
            let page = chat.history(actor, &room, from, limit).await?;
            ReplyResult::History(wire::HistoryPage {
                room: room.to_string(),
                epoch: page.epoch.0,
                messages: page.messages.iter().map(wire::Message::from).collect(),
                as_of: page.as_of.0,
                more: page.more,
            })
        }
        Read::Room(room) => ReplyResult::Room((&chat.room(actor, &room).await?).into()),
        Read::Rooms(cursor, limit) => {
            room_page(&chat.rooms(actor, cursor.as_deref(), limit).await?)
        }
        Read::Browse(cursor, limit) => {
            room_page(&chat.browse(actor, cursor.as_deref(), limit).await?)
        }
        Read::Members(room, cursor, limit) => {
            let page = chat.members(actor, &room, cursor.as_deref(), limit).await?;
            ReplyResult::Members(wire::MemberPage {
                room: room.to_string(),
                members: page.items.iter().map(wire::Member::from).collect(),
                next: page.next.unwrap_or_default(),
            })
        }
    })
}

/// Rooms with their newest messages. Those messages are shortened where they would exceed a page:
/// the list shows a line of each.
fn room_page(page: &Page<RoomInfo>) -> ReplyResult {
    let mut rooms: Vec<wire::RoomInfo> = page.items.iter().map(wire::RoomInfo::from).collect();
    let share = PAGE_BYTES / rooms.len().max(1);
    for last in rooms.iter_mut().filter_map(|room| room.last.as_mut()) {
        let end = (0..=share.min(last.text.len()))
            .rev()
            .find(|i| last.text.is_char_boundary(*i));
        last.text.truncate(end.unwrap_or(0));
    }
    ReplyResult::Rooms(wire::RoomPage {
        rooms,
        next: page.next.clone().unwrap_or_default(),
    })
}

fn refresh(
    context: &Context,
    session: &Session,
    token: &str,
    now: Instant,
) -> Result<ReplyResult, Refusal> {
    let wall = (context.now)();
    let identity = context
        .tokens
        .verify(token, wall)
        .map_err(|e| token_refusal(&e))?;
    if identity.user != session.user.id {
        let text = "the token is another person's: open a new connection for them";
        return Err(Refusal::new(ErrorCode::IdentityMismatch, text));
    }
    session
        .core()
        .handle_refreshed(now + identity.expires.since(wall));
    let expires_ms = identity.expires.0;
    let (actor, grant) = super::connect::actor(identity);
    session.set_identity(context, actor, grant);
    Ok(ReplyResult::Refreshed(wire::Refreshed { expires_ms }))
}

/// A token's fault as a refusal.
#[must_use]
pub fn token_refusal(error: &TokenError) -> Refusal {
    match error {
        TokenError::Expired => Refusal::new(
            ErrorCode::TokenExpired,
            "the token has expired: get a new one",
        ),
        TokenError::Invalid(cause) => Refusal::new(
            ErrorCode::TokenInvalid,
            format!("the token is refused: {cause}"),
        )
        .with("cause", cause),
    }
}
