//! Why a request is not done, as both forms of the API say it: one table of reasons, codes and statuses.
//!
//! Reasons are API. They stand in `media.proto`'s comment, in the OpenAPI document and here; tests compare.

use crate::api::{ApiError, Violation};
use crate::model::ClipState;
use std::time::Duration;
use tonic::Code;

/// The domain of `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "media.kaiwa";

/// When something that does not answer is asked again, if nobody says better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident, $text:literal, $code:ident, $status:literal, $help:literal;)*) => {
        /// Why. What a client decides by.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// As it stands in answers.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The code of gRPC.
            #[must_use]
            pub const fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)* }
            }

            /// The status of HTTP.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// For people: what to do.
            #[must_use]
            pub const fn help(self) -> &'static str {
                match self { $(Self::$name => $help,)* }
            }
        }
    };
}

reasons! {
    /// No token, or one that is not valid.
    Unauthenticated, "UNAUTHENTICATED", Unauthenticated, 401, "Send `authorization: Bearer TOKEN` with a valid token.";
    /// The token's time is over.
    TokenExpired, "TOKEN_EXPIRED", Unauthenticated, 401, "Get a new token and ask again.";
    /// The room's rules or the permission hook say no.
    PermissionDenied, "PERMISSION_DENIED", PermissionDenied, 403, "Ask a moderator of the room, or an administrator.";
    /// They know the room and are not in it.
    NotRoomMember, "NOT_ROOM_MEMBER", PermissionDenied, 403, "Join the room first.";
    /// It is somebody else's clip.
    NotUploader, "NOT_UPLOADER", PermissionDenied, 403, "Only who brought the clip may do this (moderators of its room may stop and delete it); others' clips are listed by room.";
    /// The token's role does not cover it.
    RoleTooLow, "ROLE_TOO_LOW", PermissionDenied, 403, "Viewers only watch: this takes the role `creator`, operators' calls `admin`.";
    /// The service was not given the scope.
    ScopeMissing, "SCOPE_MISSING", PermissionDenied, 403, "Give the service this scope in the server's configuration.";
    /// `x-acting-user` from somebody who may not send it, or missing.
    ActingUserRefused, "ACTING_USER_REFUSED", PermissionDenied, 403, "Only services that the configuration allows name a person with `x-acting-user`, and they have to.";
    /// Not there, or not to be known of.
    NotFound, "NOT_FOUND", NotFound, 404, "Check the id, and that the caller may see the room.";
    /// HTTP alone: there is something, and it takes other methods.
    MethodNotAllowed, "METHOD_NOT_ALLOWED", Unimplemented, 405, "Use one of the methods in the answer's `Allow`.";
    /// The request is wrong.
    InvalidArgument, "INVALID_ARGUMENT", InvalidArgument, 422, "Correct the fields that are named.";
    /// The key was used for another request.
    KeyReused, "IDEMPOTENCY_KEY_REUSED", InvalidArgument, 422, "Make a new UUID for each new request.";
    /// Not in this state.
    ClipState, "CLIP_STATE", FailedPrecondition, 409, "Read the clip: its state does not allow this.";
    /// Changed at the same time.
    ClipChanged, "CLIP_CHANGED", Aborted, 409, "Read the clip again, and ask again if it still applies.";
    /// That revision is not known any more.
    Compacted, "RESUME_REVISION_COMPACTED", OutOfRange, 410, "Watch without a revision: it begins with a snapshot.";
    /// A body above the bound.
    TooLarge, "REQUEST_TOO_LARGE", InvalidArgument, 413, "Send less at once.";
    /// Too much.
    Quota, "QUOTA_EXCEEDED", ResourceExhausted, 429, "Wait as long as the answer says.";
    /// Too many watches at once.
    StreamLimit, "STREAM_LIMIT", ResourceExhausted, 429, "End other watches, or watch a room instead of each clip.";
    /// Something behind does not answer.
    Unavailable, "UNAVAILABLE", Unavailable, 503, "Ask again after the time that the answer says.";
    /// Nothing was begun.
    DeadlineTooShort, "DEADLINE_TOO_SHORT", DeadlineExceeded, 504, "Give the call more time: 50 ms at least.";
    /// It may have been done.
    Deadline, "DEADLINE_EXCEEDED", DeadlineExceeded, 504, "Read the clip, or repeat the request with the same request id.";
    /// Not what was promised.
    Corrupt, "UPLOAD_CORRUPT", DataLoss, 422, "Upload the file again.";
}

/// A request that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// Which fields, and what is allowed in them.
    pub violations: Vec<Violation>,
    /// The state that stands in the way.
    pub state: Option<ClipState>,
    /// Of what there is too much.
    pub quota: Option<&'static str>,
    /// When to ask again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// With this reason and message.
    #[must_use]
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            violations: Vec::new(),
            state: None,
            quota: None,
            retry_after: None,
        }
    }

    /// One field is wrong.
    #[must_use]
    pub fn field(field: &'static str, description: impl Into<String>) -> Self {
        ApiError::Invalid(vec![Violation {
            field,
            description: description.into(),
        }])
        .into()
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let message = error.to_string();
        let with = |reason| Self::new(reason, message.clone());
        match error {
            ApiError::NotFound => with(Reason::NotFound),
            ApiError::Denied(why) => denied(why),
            ApiError::Invalid(violations) => Self {
                violations,
                ..with(Reason::InvalidArgument)
            },
            ApiError::KeyReused => with(Reason::KeyReused),
            ApiError::State(state) => Self {
                state: Some(state),
                ..with(Reason::ClipState)
            },
            ApiError::Conflict => with(Reason::ClipChanged),
            ApiError::Quota { what, retry_after } => Self {
                quota: Some(what),
                retry_after: Some(retry_after.unwrap_or(RETRY_AFTER)),
                ..with(Reason::Quota)
            },
            ApiError::Unavailable(_) => Self {
                retry_after: Some(RETRY_AFTER),
                ..with(Reason::Unavailable)
            },
            ApiError::Deadline => with(Reason::Deadline),
            ApiError::Compacted => with(Reason::Compacted),
            ApiError::Corrupt(_) => with(Reason::Corrupt),
        }
    }
}

/// A denial's text is one of the reasons, or a text for people.
fn denied(why: &'static str) -> Refusal {
    let mut named = Reason::ALL.iter().copied();
    let named = named.find(|r| r.text() == why && r.code() == Code::PermissionDenied);
    match named {
        Some(reason) => Refusal::new(reason, "not allowed"),
        None => Refusal::new(Reason::PermissionDenied, format!("not allowed: {why}")),
    }
}
