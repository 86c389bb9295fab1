//! Which clips a query is about, for stores that look at rows themselves.

use crate::core::mark::is_over;
use crate::model::{Clip, ClipState};
use crate::ports::Query;
use kaiwa_common::id::RoomId;
use std::collections::BTreeMap;

/// How many of these clips are in each state that is not over.
pub(super) fn counted<'a>(clips: impl Iterator<Item = &'a Clip>) -> BTreeMap<ClipState, usize> {
    let mut counts = BTreeMap::new();
    for clip in clips.filter(|clip| !is_over(clip.state)) {
        *counts.entry(clip.state).or_default() += 1;
    }
    counts
}

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
