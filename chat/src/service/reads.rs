//! Reading: asks the store, then the rules.

use super::refusal;
use crate::core::access::{self, Door, Viewer};
use crate::error::ChatError;
use crate::model::{
    Actor, CatchUp, EventPage, HistoryFrom, HistoryPage, Marked, Member, Membership, Page,
    ResetReason, Rights, RoomInfo,
};
use crate::ports::{LogRange, LogSlice, PageOf, Part, RoomList, Standing, Store};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::CATCH_UP;
use kaiwa_common::position::{Epoch, Position, Seq};

/// Where the room ends, if this person may read it.
fn readable(actor: &Actor, standing: Option<Standing>) -> Result<Position, ChatError> {
    let standing = standing.ok_or(ChatError::RoomNotFound)?;
    let viewer = Viewer {
        server: actor.role,
        part: standing.part,
    };
    access::may_read(viewer, standing.visibility)?;
    Ok(standing.head)
}

pub(super) async fn authorize(
    store: &dyn Store,
    actor: &Actor,
    rooms: Vec<RoomId>,
) -> Vec<Result<Position, ChatError>> {
    let count = rooms.len();
    match store.standings(&actor.user.id, rooms).await {
        Ok(standings) => standings
            .into_iter()
            .map(|standing| readable(actor, standing))
            .collect(),
        Err(error) => vec![Err(refusal(error)); count],
    }
}

/// What this person may do in the room.
pub(super) async fn rights(
    store: &dyn Store,
    actor: &Actor,
    room: &RoomId,
) -> Result<Rights, ChatError> {
    let rooms = vec![room.clone()];
    let found = store.standings(&actor.user.id, rooms).await;
    let standing = found.map_err(refusal)?.pop().flatten();
    Ok(standing.map_or(Rights::Nothing, |standing| {
        let viewer = Viewer {
            server: actor.role,
            part: standing.part,
        };
        let door = Door {
            kind: standing.kind,
            visibility: standing.visibility,
        };
        access::rights(viewer, door)
    }))
}

pub(super) async fn catch_up(
    store: &dyn Store,
    actor: &Actor,
    after: Vec<(RoomId, Position)>,
    max_events: usize,
) -> Vec<Result<CatchUp, ChatError>> {
    let count = after.len();
    let user = &actor.user.id;
    let rooms = after.iter().map(|(room, _)| room.clone()).collect();
    let standings = match store.standings(user, rooms).await {
        Ok(standings) => standings,
        Err(error) => return vec![Err(refusal(error)); count],
    };
    // Heads only grow, so what is read afterwards is at least as much as what is planned here.
    let mut left = max_events;
    let ranges = after
        .iter()
        .zip(&standings)
        .map(|((room, position), standing)| {
            let limit = match readable(actor, *standing) {
                Ok(head) if reset(*position, head).is_none() && position.epoch != NOTHING => {
                    usize::try_from(head.seq.0.saturating_sub(position.seq.0))
                        .unwrap_or(usize::MAX)
                        .min(left)
                }
                Ok(_) | Err(_) => 0,
            };
            left -= limit;
            LogRange {
                room: room.clone(),
                after: position.seq,
                limit,
            }
        })
        .collect();
    match store.read_logs(user, ranges).await {
        Ok(slices) => after
            .iter()
            .zip(slices)
            .map(|((_, position), slice)| caught_up(actor, *position, slice))
            .collect(),
        Err(error) => vec![Err(refusal(error)); count],
    }
}

/// The epoch of a position that knows nothing.
const NOTHING: Epoch = Epoch(0);

fn caught_up(actor: &Actor, after: Position, slice: LogSlice) -> Result<CatchUp, ChatError> {
    let head = readable(actor, slice.standing)?;
    if let Some(reason) = reset(after, head) {
        return Ok(CatchUp::Reset { head, reason });
    }
    if after.epoch == NOTHING {
        return Ok(CatchUp::Events(EventPage {
            head,
            events: Vec::new(),
            more: false,
        }));
    }
    let events = slice.events;
    let last = events.last().map_or(after.seq, |event| event.position.seq);
    Ok(CatchUp::Events(EventPage {
        head,
        events,
        more: last < head.seq,
    }))
}

/// Why reading cannot go on from here, if it cannot.
fn reset(after: Position, head: Position) -> Option<ResetReason> {
    if after.epoch == NOTHING && after.seq == Seq::ZERO {
        None
    } else if after.epoch != head.epoch {
        Some(ResetReason::Epoch)
    } else if after.seq > head.seq {
        Some(ResetReason::Ahead)
    } else if head.seq.0 - after.seq.0 > CATCH_UP {
        Some(ResetReason::TooFarBehind)
    } else {
        None
    }
}

pub(super) async fn history(
    store: &dyn Store,
    actor: &Actor,
    room: &RoomId,
    from: HistoryFrom,
    limit: usize,
) -> Result<HistoryPage, ChatError> {
    let found = store
        .history(&actor.user.id, room, from, limit)
        .await
        .map_err(refusal)?;
    let (standing, page) = found.ok_or(ChatError::RoomNotFound)?;
    readable(actor, Some(standing))?;
    Ok(page)
}

pub(super) async fn room(
    store: &dyn Store,
    actor: &Actor,
    room: &RoomId,
) -> Result<RoomInfo, ChatError> {
    let found = store.view(&actor.user.id, room).await.map_err(refusal)?;
    let info = found.ok_or(ChatError::RoomNotFound)?;
    let part = match info.membership {
        Membership::Left => None,
        membership @ (Membership::Invited | Membership::Joined) => Some(Part {
            membership,
            role: info.role,
        }),
    };
    access::may_see(
        Viewer {
            server: actor.role,
            part,
        },
        info.visibility,
    )?;
    Ok(info)
}

pub(super) async fn rooms(
    store: &dyn Store,
    actor: &Actor,
    list: RoomList,
    page: PageOf,
) -> Result<Page<RoomInfo>, ChatError> {
    store
        .rooms(&actor.user.id, list, page)
        .await
        .map_err(refusal)
}

pub(super) async fn members(
    store: &dyn Store,
    actor: &Actor,
    room: &RoomId,
    page: PageOf,
) -> Result<Page<Member>, ChatError> {
    let found = store
        .members(&actor.user.id, room, page)
        .await
        .map_err(refusal)?;
    let (standing, page) = found.ok_or(ChatError::RoomNotFound)?;
    readable(actor, Some(standing))?;
    Ok(page)
}

pub(super) async fn mark(
    store: &dyn Store,
    actor: &Actor,
    room: &RoomId,
    to: Position,
) -> Result<Marked, ChatError> {
    let found = store
        .mark(&actor.user.id, room, to)
        .await
        .map_err(refusal)?;
    let (standing, marked) = found.ok_or(ChatError::RoomNotFound)?;
    let head = readable(actor, Some(standing))?;
    let field = if to.epoch == head.epoch {
        "seq"
    } else {
        "epoch"
    };
    marked.ok_or(ChatError::Invalid {
        field,
        rule: "an event of the room",
    })
}

const NOT_A_CURSOR: ChatError = ChatError::Invalid {
    field: "cursor",
    rule: "`next` of a page",
};

/// A page of rooms; cursors are the store's room numbers.
pub(super) fn room_page(cursor: Option<&str>, limit: usize) -> Result<PageOf, ChatError> {
    if cursor.is_some_and(|cursor| cursor.parse::<i64>().is_err()) {
        return Err(NOT_A_CURSOR);
    }
    Ok(PageOf {
        after: cursor.map(str::to_owned),
        limit,
    })
}

/// A page of members; cursors are user ids.
pub(super) fn member_page(cursor: Option<&str>, limit: usize) -> Result<PageOf, ChatError> {
    if cursor.is_some_and(|cursor| UserId::parse(cursor).is_err()) {
        return Err(NOT_A_CURSOR);
    }
    Ok(PageOf {
        after: cursor.map(str::to_owned),
        limit,
    })
}
