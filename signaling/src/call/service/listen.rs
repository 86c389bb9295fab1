//! Those who come into a call without a connection of their own, such as WHIP's sessions: they command like
//! everybody, and are told in types.

use super::{Calls, Guest, Shared, Waiting, asking};
use crate::call::command::Command;
use crate::call::core::effect::{
    CallError, Caller, Joined, Push, Reply, Roster, SessionNo, Signal,
};
use crate::call::whence::Whence;
use crate::session::lock;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::Actor;
use kaiwa_common::error::Refusal;
use kaiwa_common::id::RoomId;
use kaiwa_common::token::{CallGrant, ServerRole};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Is told what a session would be pushed. Called by the calls' own task, which nobody may hold up: it
/// returns at once, and may command calls.
pub trait Listener: Send + Sync {
    /// What a client must not miss.
    fn push(&self, push: &Push);

    /// What it may.
    fn signal(&self, signal: &Signal);
}

impl Calls {
    /// Takes a command of somebody who listens. Those of one caller are taken in the order in which they are
    /// given. Dropping the future undoes nothing.
    ///
    /// # Errors
    /// As the command is refused over a connection.
    pub fn ask(
        &self,
        caller: Caller,
        command: Command,
    ) -> impl Future<Output = Result<Reply, CallError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let ticket = self.shared.ticket();
        self.shared.step(|state, at| {
            let guest = state.listeners.get(&caller.session);
            let whence = guest.map(|guest| Arc::clone(&guest.whence));
            let asking = asking(&caller, &command, || whence.unwrap_or_default());
            state.replies.insert(ticket, Waiting { reply, asking });
            state.core.handle_command(caller, command, ticket, at);
        });
        let metrics = self.shared.metrics.clone();
        async move {
            let result = answer.await.unwrap_or(Err(CallError::Unavailable));
            if let Err(error) = &result {
                metrics.call_refused(Refusal::from(error.clone()).code.reason());
            }
            result
        }
    }

    /// Enters a room's call; from now on the listener is told. Whatever comes of it, [`Self::gone`] has to be
    /// said in the end.
    ///
    /// # Errors
    /// As `call_join` is refused.
    pub fn enter(
        &self,
        caller: Caller,
        room: RoomId,
        (listener, whence): (Arc<dyn Listener>, Arc<Whence>),
    ) -> impl Future<Output = Result<Joined, CallError>> + Send + use<> {
        let no = caller.session;
        self.shared.step(|state, _| {
            state.listeners.insert(no, Guest { listener, whence });
        });
        let answer = self.ask(
            caller,
            Command::Join {
                room,
                video_codecs: Vec::new(),
            },
        );
        async move {
            match answer.await? {
                Reply::Joined(joined) => Ok(*joined),
                Reply::Done | Reply::Answer { .. } => Err(CallError::Unavailable),
            }
        }
    }

    /// Somebody who listened is gone, for good.
    pub fn gone(&self, no: SessionNo) {
        self.shared.step(|state, at| {
            state.listeners.remove(&no);
            state.core.handle_session_ended(no, at);
        });
    }

    /// Somebody who listens has another token.
    pub fn identity_renewed(&self, no: SessionNo, role: ServerRole, grant: CallGrant) {
        self.shared
            .step(|state, _| state.core.handle_identity(no, role, grant));
    }

    /// Who is in a room's call, for somebody who is in it.
    pub(crate) fn snapshot(&self, room: &RoomId) -> Roster {
        lock(&self.shared.state).core.roster(room, self.shared.at())
    }

    /// Who is in a room's call, for somebody who may read the room.
    ///
    /// # Errors
    /// When they may not.
    pub async fn roster(&self, actor: &Actor, room: &RoomId) -> Result<Roster, ChatError> {
        let chat = &self.shared.chat;
        let mut answers = chat.authorize_read(actor, vec![room.clone()]).await;
        answers.pop().expect("one answer for one room")?;
        Ok(self.snapshot(room))
    }
}

impl Shared {
    /// Tells those of these who listen.
    pub(super) fn listeners(&self, to: &[SessionNo], tell: impl Fn(&dyn Listener)) {
        let listening: Vec<Arc<dyn Listener>> = {
            let state = lock(&self.state);
            if state.listeners.is_empty() {
                return;
            }
            let known = to.iter().filter_map(|no| state.listeners.get(no));
            known.map(|guest| Arc::clone(&guest.listener)).collect()
        };
        listening.iter().for_each(|listener| tell(&**listener));
    }
}
