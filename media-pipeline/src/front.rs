//! What both forms of the API share: who asks, until when, which call, and what becomes of it.

mod calls;
mod deadline;
mod watches;

pub use calls::{AdminCall, Call};
pub use watches::{WatchBounds, Watching};

use crate::admin::ClipsAdmin;
use crate::api::{ApiError, Caller, Clips, Watch};
use crate::authz::{Operation, Tokens, Who};
use crate::refusal::{Reason, Refusal};
use crate::{replay, wire};
use http::HeaderMap;
use kaiwa_common::limits::CLIP_CALL;
use kaiwa_platform::clock::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

/// Names the call: taken from it or made, and in every answer.
pub(crate) const REQUEST_ID: &str = "x-request-id";
/// In an answer that was given before.
pub(crate) const REPLAY: &str = "x-idempotent-replay";

/// The API without its form.
pub struct Front {
    clips: Arc<dyn Clips>,
    admin: Arc<dyn ClipsAdmin>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    watches: Arc<watches::Watches>,
    bounds: WatchBounds,
    drain: CancellationToken,
}

/// A call that may go on.
pub(crate) struct Entered {
    pub(crate) caller: Caller,
    who: Who,
    /// Until when it is worked on: the caller's deadline without the way back.
    budget: Duration,
    /// The caller named a deadline.
    is_bounded: bool,
}

/// What became of a call.
pub(crate) struct Done<T> {
    pub(crate) answer: Result<T, Refusal>,
    /// It is the first answer again.
    pub(crate) is_replay: bool,
}

impl Front {
    /// Serves these clips to who has these tokens, until `drain` is cancelled: then watches end.
    #[must_use]
    pub fn new(
        clips: Arc<dyn Clips>,
        admin: Arc<dyn ClipsAdmin>,
        tokens: Tokens,
        clock: Arc<dyn Clock>,
        drain: CancellationToken,
    ) -> Self {
        Self {
            clips,
            admin,
            tokens,
            clock,
            watches: Arc::default(),
            bounds: WatchBounds::default(),
            drain,
        }
    }

    /// With other bounds of watches.
    #[must_use]
    pub fn with_watch_bounds(mut self, bounds: WatchBounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Who asks and until when, or why not.
    pub(crate) fn enter(
        &self,
        headers: &HeaderMap,
        operation: Operation,
        key: &str,
        otherwise: Duration,
    ) -> Result<Entered, Refusal> {
        let now = self.clock.now();
        let who = self.tokens.authenticate(headers, operation, now)?;
        let named = deadline::named(headers)?;
        let budget = deadline::budget(named, otherwise)?;
        let request_id = wire::optional_key(key)?;
        Ok(Entered {
            caller: Caller {
                user: who.user.clone(),
                role: who.role,
                service: who.service.clone(),
                deadline: Some(now.plus(budget)),
                request_id,
            },
            who,
            budget,
            is_bounded: named.is_some(),
        })
    }

    /// Carries out one call about clips.
    pub(crate) async fn call<C: Call>(&self, headers: &HeaderMap, call: C) -> Done<C::Answer> {
        let entered = match self.enter(headers, C::OPERATION, call.key(), C::WAITS) {
            Ok(entered) => entered,
            Err(refusal) => return refused(refusal),
        };
        let work = call.run(self.clips.as_ref(), &entered.caller);
        within(entered.budget, work).await
    }

    /// Carries out one call of an operator.
    pub(crate) async fn admin_call<C: AdminCall>(
        &self,
        headers: &HeaderMap,
        call: C,
    ) -> Done<C::Answer> {
        let entered = match self.enter(headers, Operation::Admin, call.key(), CLIP_CALL) {
            Ok(entered) => entered,
            Err(refusal) => return refused(refusal),
        };
        let work = call.run(self.admin.as_ref(), &entered.caller);
        within(entered.budget, work).await
    }

    /// Begins a watch.
    pub(crate) async fn watch(
        &self,
        headers: &HeaderMap,
        what: Result<Watch, ApiError>,
        after: Option<u64>,
    ) -> Result<Watching, Refusal> {
        let entered = self.enter(headers, Operation::Watch, "", CLIP_CALL)?;
        let what = what?;
        let place = self.watches.take(&entered.who, self.bounds)?;
        let items = self.clips.watch(&entered.caller, what, after);
        let items = within(entered.budget, items).await.answer?;
        // A watch ends with the token that it began with, and with its caller's deadline.
        let mut age = self.bounds.age;
        age = age.min(entered.who.expires.since(self.clock.now()));
        if entered.is_bounded {
            age = age.min(entered.budget);
        }
        Ok(Watching::new(
            items,
            after.unwrap_or(0),
            (self.bounds.heartbeat, age),
            place,
            self.drain.clone(),
        ))
    }
}

fn refused<T>(refusal: Refusal) -> Done<T> {
    Done {
        answer: Err(refusal),
        is_replay: false,
    }
}

/// Does the work within this time. What has begun when it is over may be done nevertheless.
async fn within<T>(budget: Duration, work: impl Future<Output = Result<T, ApiError>>) -> Done<T> {
    let work = replay::noticed(work).in_current_span();
    match tokio::time::timeout(budget, work).await {
        Ok((answer, is_replay)) => Done {
            answer: answer.map_err(Refusal::from),
            is_replay,
        },
        Err(_) => refused(ApiError::Deadline.into()),
    }
}

/// The call's name: the caller's, if it is a decent one.
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let named = headers.get(REQUEST_ID).and_then(|name| name.to_str().ok());
    let named = named.filter(|n| (1..=64).contains(&n.len()) && n.bytes().all(allowed));
    named.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// What a call was refused for goes to the log without anything that the caller sent.
pub(crate) fn log(operation: &'static str, request: &str, refusal: Option<&Refusal>) {
    match refusal {
        None => tracing::debug!(operation, request, "a call about clips"),
        Some(refusal) if refusal.reason == Reason::Unavailable => {
            tracing::warn!(operation, request, message = %refusal.message, "clips are not available");
        }
        Some(refusal) => {
            let reason = refusal.reason.text();
            tracing::debug!(operation, request, reason, "a call about clips is refused");
        }
    }
}
