//! Port: where committed events go.

use crate::model::{ClipProgress, Event, RoomInfo};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::position::Seq;

/// Takes what was committed to everybody who follows it. Implemented by the session layer's hub.
///
/// Called once per commit of a room, in the order of `seq`, after the store has it. It may lose:
/// whoever misses an event sees the hole and reads the log.
pub trait Bus: Send + Sync + 'static {
    /// Takes one room's newly committed events. Must not block.
    fn publish(&self, published: Published);

    /// Tells those who follow a room how far a clip is; the latest is all that counts. Must not block.
    fn clip_progress(&self, progress: ClipProgress);
}

/// One room's newly committed events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Which room.
    pub room: RoomId,
    /// In order, without holes; not empty.
    pub events: Vec<Event>,
    /// People whose part in the room these events changed, in their order.
    pub changes: Vec<MemberChange>,
}

/// Somebody's part in a room changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberChange {
    /// Whose.
    pub user: UserId,
    /// The room as they see it now. Unless its `membership` is `Joined`, their subscriptions end
    /// after these events.
    pub info: RoomInfo,
    /// The event that changed it.
    pub version: Seq,
}
