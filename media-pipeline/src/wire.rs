//! Between the messages of `media.proto` and ours. What comes in is checked here, and nowhere behind.

mod answers;
mod requests;

pub(crate) use answers::{
    clip, event, grant, letters, page, parts, playback, redriven, state, stuck,
};
pub(crate) use requests::{
    captions, clip_id, clip_ids, new_clip, optional_key, pick, query, room_id, uploaded_parts,
    want_grant, want_letters, want_size, watch_after,
};
