//! Following rooms: rights, the live stream, and what was missed, without a hole between them.
//!
//! The order matters. First the hub knows of the follower (inactive), so that a removal that is
//! committed from now on takes it out again; then the right to read is checked; then pushes begin;
//! then the log is read. What is committed between the last two comes twice, which `seq` tells.

use super::wire::error;
use super::{Context, Session};
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Actor, CatchUp, ResetReason};
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::CONNECT_EVENTS;
use kaiwa_common::position::Position;
use kaiwa_proto::client::v1 as wire;
use std::sync::Arc;

/// Follows rooms, each from a position or from its head; the answers are in the order asked.
pub async fn follow(
    context: &Context,
    session: &Arc<Session>,
    rooms: Vec<(RoomId, Option<Position>)>,
) -> Vec<wire::Subscribed> {
    let actor = session.actor();
    let ids: Vec<RoomId> = rooms.iter().map(|(room, _)| room.clone()).collect();
    let mut opened = Vec::with_capacity(rooms.len());
    for room in &ids {
        opened.push(register(context, session, room));
    }
    let heads = context.chat.authorize_read(&actor, ids.clone()).await;
    for ((room, opened), head) in ids.iter().zip(&mut opened).zip(heads) {
        if opened.is_ok() {
            *opened = begin(context, session, room, head);
        }
    }
    let wanted: Vec<(RoomId, Position)> = rooms
        .iter()
        .zip(&opened)
        .filter(|(_, opened)| opened.is_ok())
        .filter_map(|((room, after), _)| after.map(|after| (room.clone(), after)))
        .collect();
    let mut missed = read_missed(context, &actor, wanted).await.into_iter();
    if session.core().is_ended() {
        context.hub.unfollow_all(session);
    }
    let answer = |((room, after), opened): ((RoomId, Option<Position>), _)| match opened {
        Err(refusal) => failed(&room, &refusal),
        Ok(head) => with_call(
            context,
            &room,
            match after.and_then(|_| missed.next()) {
                Some(result) => caught_up(&room, head, result),
                None => Subscribed::at(&room, head, None),
            },
        ),
    };
    rooms.into_iter().zip(opened).map(answer).collect()
}

/// What goes on in the room besides. Notices of it are pushed already, so none is missed.
fn with_call(context: &Context, room: &RoomId, subscribed: Subscribed) -> Subscribed {
    let calls = context.calls.as_ref();
    Subscribed {
        call: calls.and_then(|calls| calls.summary(room)),
        ..subscribed
    }
}

async fn read_missed(
    context: &Context,
    actor: &Actor,
    wanted: Vec<(RoomId, Position)>,
) -> Vec<Result<CatchUp, ChatError>> {
    if wanted.is_empty() {
        return Vec::new();
    }
    context.chat.catch_up(actor, wanted, CONNECT_EVENTS).await
}

/// Lets the hub know, within the bound. (The position is replaced once the right is checked.)
fn register(context: &Context, session: &Arc<Session>, room: &RoomId) -> Result<Position, Refusal> {
    let limit = context.limits.subscriptions;
    let mut follows = session.follows();
    let at = match follows.binary_search_by(|(r, _)| r.cmp(room)) {
        Ok(_) => return Ok(ANY),
        Err(_) if follows.len() >= limit as usize => {
            let text = "too many rooms: unsubscribe from some";
            return Err(Refusal::new(ErrorCode::LimitReached, text).with("limit", limit));
        }
        Err(at) => at,
    };
    let follow = context.hub.follow(room, session);
    follows.insert(at, (room.clone(), follow));
    Ok(ANY)
}

const ANY: Position = Position {
    epoch: kaiwa_common::position::Epoch(0),
    seq: kaiwa_common::position::Seq::ZERO,
};

fn begin(
    context: &Context,
    session: &Session,
    room: &RoomId,
    head: Result<Position, ChatError>,
) -> Result<Position, Refusal> {
    match head {
        Ok(head) if context.hub.activate(room, session, head) => Ok(head),
        // Taken out while the right was looked at: it may be given again by now, so ask again.
        Ok(_) => {
            context.hub.unfollow(room, session);
            Err(ChatError::Overloaded.into())
        }
        Err(error) => {
            context.hub.unfollow(room, session);
            Err(error.into())
        }
    }
}

use wire::Subscribed;
use wire::subscribed::Outcome;

trait At {
    fn at(room: &RoomId, head: Position, outcome: Option<Outcome>) -> Self;
}

impl At for Subscribed {
    fn at(room: &RoomId, head: Position, outcome: Option<Outcome>) -> Self {
        Self {
            room: room.to_string(),
            epoch: head.epoch.0,
            head: head.seq.0,
            outcome,
            call: None,
        }
    }
}

fn failed(room: &RoomId, refusal: &Refusal) -> Subscribed {
    Subscribed {
        room: room.to_string(),
        outcome: Some(Outcome::Error(error(refusal))),
        ..Subscribed::default()
    }
}

fn caught_up(room: &RoomId, head: Position, result: Result<CatchUp, ChatError>) -> Subscribed {
    match result {
        Err(error) => failed(room, &error.into()),
        Ok(caught_up) => {
            let page = event_page(room, caught_up);
            let head = Position {
                epoch: kaiwa_common::position::Epoch(page.epoch),
                seq: kaiwa_common::position::Seq(page.head.max(head.seq.0)),
            };
            let outcome = match &page.reset {
                Some(reset) => Outcome::Reset(reset.clone()),
                None => Outcome::Events(page),
            };
            Subscribed::at(room, head, Some(outcome))
        }
    }
}

/// A stretch of a room's log as the wire has it.
#[must_use]
pub fn event_page(room: &RoomId, caught_up: CatchUp) -> wire::EventPage {
    match caught_up {
        CatchUp::Events(page) => wire::EventPage {
            room: room.to_string(),
            epoch: page.head.epoch.0,
            events: page.events.iter().map(wire::Event::from).collect(),
            head: page.head.seq.0,
            more: page.more,
            reset: None,
        },
        CatchUp::Reset { head, reason } => {
            let reason = match reason {
                ResetReason::Epoch => "epoch",
                ResetReason::Ahead => "ahead",
                ResetReason::TooFarBehind => "too_far_behind",
            };
            wire::EventPage {
                room: room.to_string(),
                epoch: head.epoch.0,
                head: head.seq.0,
                reset: Some(wire::Reset {
                    reason: reason.to_owned(),
                }),
                ..wire::EventPage::default()
            }
        }
    }
}
