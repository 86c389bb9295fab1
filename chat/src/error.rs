//! Why chat refuses.

use kaiwa_common::error::{ErrorCode, Refusal};
use std::time::Duration;

/// Why a command of chat is refused; it changed nothing, except where the variant says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChatError {
    /// No such room, or none for this person.
    #[error("there is no such room, or it is not open to you")]
    RoomNotFound,
    /// A public room that one could join.
    #[error("join the room first")]
    NotAMember,
    /// The role does not allow it.
    #[error("this needs {needs}")]
    Forbidden {
        /// What would be needed, in words.
        needs: &'static str,
    },
    /// No such message in the room.
    #[error("there is no such message in this room")]
    MessageNotFound,
    /// The message was deleted.
    #[error("the message was deleted")]
    MessageDeleted,
    /// The `cid` is too old (or too far ahead) to tell a retry from a new write.
    #[error("the cid's time is more than 7 days old or a day ahead: set the clock, make a new cid")]
    CidExpired,
    /// The `cid` named another kind of write before.
    #[error("this cid was used for another kind of write")]
    CidConflict,
    /// Nobody of that id has ever been here.
    #[error("nobody of this id has signed in yet")]
    UserNotFound,
    /// The room takes no more members.
    #[error("the room is full ({limit} members)")]
    RoomFull {
        /// The most it takes.
        limit: u32,
    },
    /// Somebody is in as many rooms as they may.
    #[error("no more than {limit} rooms for one person")]
    TooManyRooms {
        /// The most.
        limit: u32,
    },
    /// Not possible in a room of this kind.
    #[error("not possible in a room of this kind")]
    WrongRoomKind,
    /// The last owner cannot go.
    #[error("make somebody else an owner first")]
    LastOwner,
    /// A value out of its range.
    #[error("{field}: {rule}")]
    Invalid {
        /// Which field of the command.
        field: &'static str,
        /// What is allowed.
        rule: &'static str,
    },
    /// A queue is full; nothing happened.
    #[error("too much is waiting, try again")]
    Overloaded,
    /// The server is about to stop; nothing happened.
    #[error("the server is about to stop")]
    Draining,
    /// The store failed; the write may have happened: retry with the same `cid`.
    #[error("the store did not answer, try again")]
    Unavailable,
}

impl From<ChatError> for Refusal {
    fn from(error: ChatError) -> Self {
        let text = error.to_string();
        let of = |code| Self::new(code, text);
        match error {
            ChatError::RoomNotFound => of(ErrorCode::RoomNotFound),
            ChatError::NotAMember => of(ErrorCode::NotAMember),
            ChatError::Forbidden { needs } => of(ErrorCode::Forbidden).with("needs", needs),
            ChatError::MessageNotFound => of(ErrorCode::MessageNotFound),
            ChatError::MessageDeleted => of(ErrorCode::MessageDeleted),
            ChatError::CidExpired => of(ErrorCode::CidExpired),
            ChatError::CidConflict => of(ErrorCode::CidConflict),
            ChatError::UserNotFound => of(ErrorCode::UserNotFound),
            ChatError::RoomFull { limit } => of(ErrorCode::RoomFull).with("limit", limit),
            ChatError::TooManyRooms { limit } => of(ErrorCode::LimitReached).with("limit", limit),
            ChatError::WrongRoomKind => of(ErrorCode::WrongRoomKind),
            ChatError::LastOwner => of(ErrorCode::LastOwner),
            ChatError::Invalid { field, .. } => of(ErrorCode::InvalidArgument).with("field", field),
            ChatError::Overloaded => of(ErrorCode::Overloaded),
            ChatError::Draining => of(ErrorCode::Draining).retry_after(Duration::from_secs(2)),
            ChatError::Unavailable => of(ErrorCode::Unavailable),
        }
    }
}
