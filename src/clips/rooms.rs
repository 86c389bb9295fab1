//! Chat's rules, as clips ask for them.

use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Actor, Rights, User};
use kaiwa_chat::service::Chat;
use kaiwa_common::id::RoomId;
use kaiwa_common::redact::Redacted;
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::ports::{Action, Answer, Asker, RoomAuthz, StoreError, Verdict};

/// Who may do what with a room's clips: members see them, who may write brings them, who moderates the room deletes
/// others'. A server's administrator sees and deletes everywhere, and brings clips where they are a member.
pub(super) struct Rooms(pub(super) Chat);

impl Rooms {
    /// Why not: they may know of the room, or they may not.
    async fn refused(&self, actor: &Actor, room: &RoomId) -> Result<Verdict, StoreError> {
        match self.0.room(actor, room).await {
            Ok(_) | Err(ChatError::NotAMember) => Ok(Verdict::Denied("NOT_ROOM_MEMBER")),
            Err(ChatError::RoomNotFound) => Ok(Verdict::Hidden),
            Err(error) => Err(unavailable(&error)),
        }
    }
}

impl RoomAuthz for Rooms {
    fn check<'a>(
        &'a self,
        who: Asker<'a>,
        room: &'a RoomId,
        action: Action,
    ) -> Answer<'a, Verdict, StoreError> {
        Box::pin(async move {
            let actor = Actor {
                user: User {
                    id: who.user.clone(),
                    name: Redacted::default(),
                },
                role: who.role,
            };
            let rights = self.0.standing(&actor, room).await;
            let rights = rights.map_err(|error| unavailable(&error))?;
            let is_everywhere = who.role == ServerRole::Admin && action != Action::Upload;
            let needed = match action {
                Action::View => Rights::Read,
                Action::Upload => Rights::Write,
                Action::Moderate => Rights::Moderate,
            };
            if rights >= needed {
                return Ok(Verdict::Allowed);
            }
            match self.refused(&actor, room).await? {
                Verdict::Denied(_) if is_everywhere => Ok(Verdict::Allowed),
                Verdict::Denied(_) if rights >= Rights::Read => {
                    Ok(Verdict::Denied("PERMISSION_DENIED"))
                }
                verdict @ (Verdict::Allowed | Verdict::Denied(_) | Verdict::Hidden) => Ok(verdict),
            }
        })
    }

    fn epoch<'a>(&'a self, room: &'a RoomId) -> Answer<'a, u64, StoreError> {
        Box::pin(async move {
            match self.0.revocation(room).await {
                Ok(seq) => Ok(seq),
                // Nobody is in a room that is not there; no token is made for it.
                Err(ChatError::RoomNotFound) => Ok(u64::MAX),
                Err(error) => Err(unavailable(&error)),
            }
        })
    }
}

/// Chat can't tell now.
pub(super) fn unavailable(error: &ChatError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
