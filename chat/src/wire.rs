//! Between the domain and the client protocol's wire types ([`kaiwa_proto::client::v1`]).
//!
//! Towards the wire everything converts with `From`. From the wire only what a store has written
//! comes back ([`stored`]); commands of clients are validated where they arrive.

mod clip;
mod enums;
mod event;
pub mod notify;
mod room;
pub mod stored;

pub use clip::clip_progress;
pub use enums::{clip_kind, membership, role, room_kind, visibility};
pub use event::InvalidEvent;
pub use room::{
    event_page, history_page, marked, member_page, reset_reason, room_page, room_state,
};

#[cfg(test)]
mod tests;
