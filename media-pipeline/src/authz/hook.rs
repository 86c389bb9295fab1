//! The external permission hook (seed 000): another system is asked whether somebody may, after the room's rules.
//!
//! `GET` of a configured address, with the permission in its path and person and room in its query; the answer is the
//! status: 200 or 204 yes, 401 or 403 no, 404 not to be known of. Everything else, silence too, is no answer, and
//! without one nobody may.

mod playing;

use crate::ports::{Action, Answer, Asker, RoomAuthz, StoreError, Verdict};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, StatusCode};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{CLIP_HOOK, CLIP_HOOK_ANSWERS, CLIP_HOOK_CACHE};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_platform::clock::Clock;
use kaiwa_platform::outbound::Outbound;
use playing::Playing;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where the hook is.
#[derive(Debug)]
pub struct HookConfig {
    /// Such as `https://lms.example.org/shield/authed/permissions/{permission}`; the permissions are `clips.upload`,
    /// `clips.view` and `clips.moderate`.
    pub url: String,
    /// Goes as `Authorization: Bearer …`.
    pub secret: Option<Secret<String>>,
}

/// The hook's configuration can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHook {
    /// `{permission}` has to stand in it, and no query.
    #[error("the hook's URL needs `{{permission}}` in its path, and no `?`")]
    Url,
    /// The secret can't be a header.
    #[error("the hook's secret has characters that no header has")]
    Secret,
}

/// Makes the call: [`Outbound`], or a test.
pub trait AskHook: Send + Sync + 'static {
    /// The answer's status, or why there is none.
    fn ask(&self, request: Request<Bytes>) -> Asked<'_>;
}

/// An answer's status to come.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Result<StatusCode, String>> + Send + 'a>>;

impl AskHook for Outbound {
    fn ask(&self, request: Request<Bytes>) -> Asked<'_> {
        Box::pin(async move {
            let answer = self.send(request).await.map_err(|e| e.to_string())?;
            Ok(answer.status())
        })
    }
}

type Question = (UserId, RoomId, Action);

/// The hook.
pub struct PermissionHook {
    url: String,
    authorization: Option<HeaderValue>,
    ask: Arc<dyn AskHook>,
    clock: Arc<dyn Clock>,
    answers: Mutex<BTreeMap<Question, (Verdict, UnixMs)>>,
    playing: Mutex<Playing>,
}

impl PermissionHook {
    /// A hook that has asked nobody yet.
    ///
    /// # Errors
    /// [`InvalidHook`]: the configuration can't be used.
    pub fn new(
        config: &HookConfig,
        ask: Arc<dyn AskHook>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, InvalidHook> {
        if !config.url.contains("{permission}") || config.url.contains('?') {
            return Err(InvalidHook::Url);
        }
        let authorization = config.secret.as_ref().map(|secret| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", secret.expose()))
                .map_err(|_| InvalidHook::Secret)?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self {
            url: config.url.clone(),
            authorization: authorization.transpose()?,
            ask,
            clock,
            answers: Mutex::default(),
            playing: Mutex::default(),
        })
    }

    async fn check(&self, question: Question) -> Result<Verdict, StoreError> {
        if let Some(verdict) = self.known(&question) {
            return Ok(verdict);
        }
        self.ask(question).await
    }

    /// Asks, and remembers what was said.
    async fn ask(&self, question: Question) -> Result<Verdict, StoreError> {
        let request = self.request(&question)?;
        let answer = tokio::time::timeout(CLIP_HOOK, self.ask.ask(request)).await;
        let silent = |why: &str| {
            tracing::warn!(why, "the permission hook gives no answer");
            StoreError::Unavailable("the permission hook gives no answer".to_owned())
        };
        let status = answer.map_err(|_| silent("it took too long"))?;
        let status = status.map_err(|why| silent(&why))?;
        let verdict = match status.as_u16() {
            200 | 204 => Verdict::Allowed,
            401 | 403 => Verdict::Denied("PERMISSION_DENIED"),
            404 => Verdict::Hidden,
            _ => return Err(silent(status.as_str())),
        };
        if question.2 == Action::View {
            let is_allowed = verdict == Verdict::Allowed;
            self.playing().said(&question, is_allowed, self.clock.now());
        }
        self.remember(question, verdict.clone());
        Ok(verdict)
    }

    /// Whether who plays still may: asked again each [`CLIP_HOOK_PLAYING`], by one of those who want to know; the others go
    /// by what was said before. While nothing is said, a yes counts for [`CLIP_HOOK_SILENT`].
    async fn still(&self, user: &UserId, room: &RoomId) -> Result<bool, StoreError> {
        let question = (user.clone(), room.clone(), Action::View);
        let known = self.playing().known(&question, self.clock.now());
        if let Some(is_allowed) = known {
            return Ok(is_allowed);
        }
        match self.ask(question.clone()).await {
            Ok(verdict) => Ok(verdict == Verdict::Allowed),
            Err(error) => {
                let said = self.playing().last(&question, self.clock.now());
                said.ok_or(error)
            }
        }
    }

    fn playing(&self) -> MutexGuard<'_, Playing> {
        self.playing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, question: &Question) -> Option<Verdict> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdict, until) = answers.get(question)?;
        let now = self.clock.now();
        // A clock that went back makes no answer older than it may get.
        (*until > now && *until <= now.plus(CLIP_HOOK_CACHE)).then(|| verdict.clone())
    }

    fn remember(&self, question: Question, verdict: Verdict) {
        let now = self.clock.now();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= CLIP_HOOK_ANSWERS {
            answers.retain(|_, (_, until)| *until > now);
        }
        if answers.len() >= CLIP_HOOK_ANSWERS {
            answers.clear();
        }
        answers.insert(question, (verdict, now.plus(CLIP_HOOK_CACHE)));
    }

    fn request(&self, (user, room, action): &Question) -> Result<Request<Bytes>, StoreError> {
        let permission = match action {
            Action::Upload => "clips.upload",
            Action::View => "clips.view",
            Action::Moderate => "clips.moderate",
        };
        let url = self.url.replace("{permission}", permission);
        let (user, room) = (escaped(user.as_str()), escaped(room.as_str()));
        let mut request = Request::get(format!("{url}?user={user}&room={room}"));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(Bytes::new());
        request.map_err(|_| StoreError::Broken("the permission hook's address".to_owned()))
    }
}

/// Percent-encoded, all but RFC 3986's unreserved characters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The room's rules, and the hook after them: it can only take away.
pub struct HookedRooms {
    rooms: Arc<dyn RoomAuthz>,
    hook: PermissionHook,
}

impl HookedRooms {
    /// These rules, then this hook.
    #[must_use]
    pub fn new(rooms: Arc<dyn RoomAuthz>, hook: PermissionHook) -> Self {
        Self { rooms, hook }
    }
}

impl RoomAuthz for HookedRooms {
    fn check<'a>(
        &'a self,
        who: Asker<'a>,
        room: &'a RoomId,
        action: Action,
    ) -> Answer<'a, Verdict, StoreError> {
        Box::pin(async move {
            match self.rooms.check(who, room, action).await? {
                Verdict::Allowed => {
                    self.hook
                        .check((who.user.clone(), room.clone(), action))
                        .await
                }
                no @ (Verdict::Denied(_) | Verdict::Hidden) => Ok(no),
            }
        })
    }

    fn still<'a>(
        &'a self,
        user: Option<&'a UserId>,
        room: &'a RoomId,
    ) -> Answer<'a, bool, StoreError> {
        Box::pin(async move {
            match user {
                Some(user) => self.hook.still(user, room).await,
                // From before there was a hook: nobody can be asked about it. A new right costs one call.
                None => Ok(false),
            }
        })
    }

    fn epoch<'a>(&'a self, room: &'a RoomId) -> Answer<'a, u64, StoreError> {
        self.rooms.epoch(room)
    }
}
