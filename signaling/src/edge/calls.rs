//! The call inspector over HTTP: which calls there are, and how the media of each participant was, second by second.
//!
//! A bearer token says who asks. Administrators see all calls; owners and moderators of a room all of its call; its
//! other members their own part of it. Whoever may see nothing of a room learns nothing, not even whether it is.

mod wire;

use super::Edge;
use super::address::Peer;
use super::api::{bearer, throttle};
use super::path::{InPath, named};
use super::problem::Problem;
use super::reports::wire::Failure;
use crate::call::people::PeopleRates;
use crate::call::service::Calls;
use crate::call::service::inspect::Scope;
use crate::session::connect::actor;
use crate::session::lock;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::Actor;
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{CALL_LOOK_BURST, CALL_LOOKS_PER_S};
use kaiwa_common::token::ServerRole;
use kaiwa_sfu::control::{ParticipantId, SfuError};
use kaiwa_sfu::inspect::SAMPLES_MAX;
use std::sync::{Arc, Mutex};
use std::time::Instant;

type Answered<T> = Result<Json<T>, Problem>;

/// The calls at `/api/v1/calls` and below.
pub(super) fn router(edge: Arc<Edge>) -> Router<Arc<Edge>> {
    Router::new()
        .route("/api/v1/calls", get(calls))
        .route("/api/v1/calls/{room}", get(room))
        .route_layer(from_fn_with_state(Arc::new(Door::new(edge)), known))
}

/// Who is let in, and how often.
struct Door {
    edge: Arc<Edge>,
    looks: Mutex<PeopleRates>,
}

impl Door {
    fn new(edge: Arc<Edge>) -> Self {
        let looks = Mutex::new(PeopleRates::new(CALL_LOOKS_PER_S, CALL_LOOK_BURST));
        Self { edge, looks }
    }

    fn admit(&self, request: &Request) -> Result<Actor, Problem> {
        let identity = bearer(&self.edge, request.headers())
            .map_err(|refusal| Problem(StatusCode::UNAUTHORIZED, refusal))?;
        let asker = actor(identity).0;
        // Each look is work of the thread that carries the call.
        if asker.role != ServerRole::Admin {
            let taken = lock(&self.looks).take(&asker.user.id, Instant::now());
            taken.map_err(|wait| {
                let text = "too many questions about calls: ask once a second";
                let refusal = Refusal::new(ErrorCode::RateLimited, text).retry_after(wait);
                Problem(StatusCode::TOO_MANY_REQUESTS, refusal)
            })?;
        }
        Ok(asker)
    }
}

/// Lets those through who have a token.
async fn known(
    State(door): State<Arc<Door>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    // Guessing tokens is slow.
    if let Err(refused) = throttle(&door.edge, peer) {
        return *refused;
    }
    let mut response = match door.admit(&request) {
        Ok(asker) => {
            request.extensions_mut().insert(asker);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn calls(
    State(edge): State<Arc<Edge>>,
    Extension(asker): Extension<Actor>,
) -> Answered<wire::Calls> {
    std::future::ready(answer_calls(&edge, &asker)).await
}

fn answer_calls(edge: &Edge, asker: &Actor) -> Answered<wire::Calls> {
    if asker.role != ServerRole::Admin {
        let text = "a list of all calls is for operators: a token with the role `admin` is needed";
        let refusal = Refusal::new(ErrorCode::Forbidden, text).with("needs", "admin");
        return Err(Problem(StatusCode::FORBIDDEN, refusal));
    }
    let calls = service(edge)?;
    let failed = calls.failures().all();
    let failures = failed
        .iter()
        .map(|failure| Failure::new(failure, calls.failures().told(), true));
    Ok(Json(wire::calls(
        edge.now(),
        calls.summaries(),
        failures.collect(),
    )))
}

async fn room(
    State(edge): State<Arc<Edge>>,
    Extension(asker): Extension<Actor>,
    path: InPath<String>,
    query: Result<Query<wire::RoomQuery>, QueryRejection>,
) -> Answered<wire::Room> {
    let Query(query) = query?;
    let seconds = seconds(query.seconds)?;
    let after = query.after.as_deref().map(participant).transpose()?;
    let calls = service(&edge)?;
    let room = RoomId::parse(&named(path)).map_err(|_| not_yours())?;
    let scope = calls.scope(&asker, &room).await?;
    let inspected = calls.inspect(&room, &scope, after, seconds).await?;
    let failed = calls.failed(&room, &scope);
    let told = calls.failures().told();
    let failures = failed.iter().map(|failure| {
        let user = failure.user.as_ref();
        let shows_addresses = match user {
            Some(user) => scope.shows_addresses(user),
            None => scope == Scope::Server,
        };
        Failure::new(failure, told, shows_addresses)
    });
    Ok(Json(wire::room(
        &scope,
        inspected,
        told,
        failures.collect(),
    )))
}

fn service(edge: &Edge) -> Result<&Calls, Problem> {
    edge.context.calls.as_ref().ok_or_else(|| {
        let refusal = Refusal::new(ErrorCode::CallsOff, "this server has no calls");
        Problem(StatusCode::NOT_FOUND, refusal)
    })
}

fn seconds(asked: Option<u64>) -> Result<u8, Problem> {
    let seconds = asked.map_or(Ok(SAMPLES_MAX), u8::try_from).unwrap_or(0);
    if (1..=SAMPLES_MAX).contains(&seconds) {
        return Ok(seconds);
    }
    let rule = format!("1 to {SAMPLES_MAX}");
    Err(Problem::unprocessable("seconds", &rule))
}

fn participant(id: &str) -> Result<ParticipantId, Problem> {
    let number = id.strip_prefix("p_");
    let number = number.and_then(|number| u64::from_str_radix(number, 16).ok());
    let rule = "the id of a participant, such as the `next` of another answer";
    let number = number.ok_or_else(|| Problem::unprocessable("after", rule))?;
    Ok(ParticipantId(number))
}

/// The same for a room that is not there and one that is not open to whoever asks.
fn not_yours() -> Problem {
    let text = "there is no such room, or it is not open to you";
    Problem(
        StatusCode::FORBIDDEN,
        Refusal::new(ErrorCode::Forbidden, text),
    )
}

impl From<ChatError> for Problem {
    fn from(error: ChatError) -> Self {
        if error == ChatError::RoomNotFound {
            return not_yours();
        }
        Self(StatusCode::SERVICE_UNAVAILABLE, error.into())
    }
}

impl From<SfuError> for Problem {
    fn from(_: SfuError) -> Self {
        let text = "the call can't be looked into now, try again";
        let refusal = Refusal::new(ErrorCode::CallsUnavailable, text);
        Self(StatusCode::SERVICE_UNAVAILABLE, refusal)
    }
}
