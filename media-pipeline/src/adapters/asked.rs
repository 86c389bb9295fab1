//! Which clips a query is about, for stores that look at rows themselves.

use crate::model::{Clip, ClipState};
use crate::ports::Query;
use kaiwa_common::id::RoomId;

/// Whether this clip is on one of the query's pages from there on.
pub(super) fn is_asked_for(clip: &Clip, query: &Query) -> bool {
    let in_room = |room: &RoomId| clip.room == *room || clip.chores.rooms.contains_key(room);
    let of_state = if query.states.is_empty() {
        clip.state != ClipState::Deleted
    } else {
        query.states.contains(&clip.state)
    };
    query.room.as_ref().is_none_or(in_room)
        && query.uploader.as_ref().is_none_or(|u| clip.uploader == *u)
        && query.before.is_none_or(|before| clip.id < before)
        && of_state
}
