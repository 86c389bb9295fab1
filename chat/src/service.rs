//! The chat service: takes commands in order, keeps the rooms' logs, tells the bus.

use crate::error::ChatError;
use crate::model::{
    Actor, CatchUp, HistoryFrom, HistoryPage, Member, Page, RoomInfo, Write, Written,
};
use kaiwa_common::id::RoomId;
use kaiwa_common::position::Position;

/// A handle to the chat service; cheap to clone.
#[derive(Clone)]
pub struct Chat {}

impl Chat {
    /// Takes a write. Writes that one caller submits one after the other are taken in that order.
    /// Returns at once; the result comes from the future, which may be dropped without undoing it.
    pub fn submit(
        &self,
        actor: &Actor,
        write: Write,
    ) -> impl Future<Output = Result<Written, ChatError>> + Send + use<> {
        let _ = (actor, write);
        std::future::ready(Err(ChatError::Draining))
    }

    /// Remembers a person's name; called when they connect.
    ///
    /// # Errors
    /// [`ChatError::Unavailable`] when the store fails.
    pub async fn seen(&self, actor: &Actor) -> Result<(), ChatError> {
        let _ = actor;
        std::future::ready(()).await;
        Err(ChatError::Draining)
    }

    /// May this person read these rooms? In the order asked, with each room's head.
    pub async fn authorize_read(
        &self,
        actor: &Actor,
        rooms: Vec<RoomId>,
    ) -> Vec<Result<Position, ChatError>> {
        let _ = (actor, rooms);
        std::future::ready(Vec::new()).await
    }

    /// What was missed after these positions, at most `max_events` over all of them.
    pub async fn catch_up(
        &self,
        actor: &Actor,
        after: Vec<(RoomId, Position)>,
        max_events: usize,
    ) -> Vec<Result<CatchUp, ChatError>> {
        let _ = (actor, after, max_events);
        std::future::ready(Vec::new()).await
    }

    /// A page of messages as they are now.
    ///
    /// # Errors
    /// When the room can't be read.
    pub async fn history(
        &self,
        actor: &Actor,
        room: &RoomId,
        from: HistoryFrom,
        limit: usize,
    ) -> Result<HistoryPage, ChatError> {
        let _ = (actor, room, from, limit);
        std::future::ready(Err(ChatError::Draining)).await
    }

    /// A room as this person sees it.
    ///
    /// # Errors
    /// When it does not exist for them.
    pub async fn room(&self, actor: &Actor, room: &RoomId) -> Result<RoomInfo, ChatError> {
        let _ = (actor, room);
        std::future::ready(Err(ChatError::Draining)).await
    }

    /// The person's rooms and invitations.
    ///
    /// # Errors
    /// A cursor that was not given out, or a store that fails.
    pub async fn rooms(
        &self,
        actor: &Actor,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<RoomInfo>, ChatError> {
        let _ = (actor, cursor, limit);
        std::future::ready(Err(ChatError::Draining)).await
    }

    /// Public rooms.
    ///
    /// # Errors
    /// A cursor that was not given out, or a store that fails.
    pub async fn browse(
        &self,
        actor: &Actor,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<RoomInfo>, ChatError> {
        let _ = (actor, cursor, limit);
        std::future::ready(Err(ChatError::Draining)).await
    }

    /// A room's members.
    ///
    /// # Errors
    /// When the room can't be read.
    pub async fn members(
        &self,
        actor: &Actor,
        room: &RoomId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, ChatError> {
        let _ = (actor, room, cursor, limit);
        std::future::ready(Err(ChatError::Draining)).await
    }

    /// Takes no more writes, and returns when those taken are answered.
    pub async fn drain(&self) {
        std::future::ready(()).await;
    }
}
