//! The operators' calls: what waits in the notification queues, what died there and why, and why somebody
//! was told of something or was not.
//!
//! All of it is behind one gate: a bearer token whose server role is `admin`. Whoever has none learns
//! nothing, not even which calls there are.

pub mod wire;

use super::Edge;
use super::address::Peer;
use super::api::{bearer, not_found, throttle};
use super::problem::{Problem, invalid};
use crate::push::admin::{AdminError, NotifyAdmin, Pick};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Json, Router};
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::id::UserId;
use kaiwa_common::limits::{ADMIN_BATCH, ADMIN_BODY_BYTES, ADMIN_ID_BYTES, ADMIN_IDS, ADMIN_PAGE};
use kaiwa_common::token::ServerRole;
use std::sync::Arc;
use uuid::Uuid;

/// Who asks.
#[derive(Debug, Clone)]
struct Operator(UserId);

type Answered<T> = Result<Json<T>, Problem>;

/// The calls below `/api/v1/notifications`.
pub(super) fn router(edge: Arc<Edge>) -> Router<Arc<Edge>> {
    Router::new()
        .route("/queues", get(queues))
        .route("/dead", get(dead))
        .route("/dead/{id}", get(dead_letter))
        .route("/dead/redrive", post(redrive))
        .route("/dead/drop", post(discard))
        .route("/decisions", get(decisions))
        // Not a fallback: those are outside of the gate.
        .route("/{*rest}", any(|| std::future::ready(not_found())))
        .layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES))
        .layer(from_fn_with_state(edge, operators_only))
}

async fn operators_only(
    State(edge): State<Arc<Edge>>,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    // Guessing tokens is slow.
    if let Err(refused) = throttle(&edge, peer) {
        return *refused;
    }
    let mut response = match bearer(&edge, request.headers()) {
        Ok(identity) if identity.role == ServerRole::Admin => {
            request.extensions_mut().insert(Operator(identity.user));
            next.run(request).await
        }
        Ok(_) => {
            let text = "this is for operators: a token with the role `admin` is needed";
            let refusal = Refusal::new(ErrorCode::Forbidden, text).with("needs", "admin");
            Problem(StatusCode::FORBIDDEN, refusal).into_response()
        }
        Err(refusal) => Problem(StatusCode::UNAUTHORIZED, refusal).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn queues(State(edge): State<Arc<Edge>>) -> Answered<wire::Queues> {
    let queues = port(&edge)?.queues().await?;
    Ok(Json(wire::Queues {
        queues: queues.into_iter().map(Into::into).collect(),
    }))
}

async fn dead(
    State(edge): State<Arc<Edge>>,
    query: Result<Query<wire::DeadQuery>, QueryRejection>,
) -> Answered<wire::DeadLetters> {
    let Query(query) = query?;
    let queue = query.queue.map(|name| word("queue", name)).transpose()?;
    let reason = query
        .reason
        .map(|reason| word("reason", reason))
        .transpose()?;
    let page = port(&edge)?.dead(queue, reason, page(query.limit)).await?;
    Ok(Json(page.into()))
}

async fn dead_letter(
    State(edge): State<Arc<Edge>>,
    Path(id): Path<String>,
    query: Result<Query<wire::LetterQuery>, QueryRejection>,
) -> Answered<wire::DeadLetter> {
    let Query(query) = query?;
    let queue = query.queue.map(|name| word("queue", name)).transpose()?;
    let letter = port(&edge)?.dead_letter(queue, word("id", id)?).await?;
    let letter = letter.ok_or_else(|| {
        let text = "no dead letter of that id: it was redriven, dropped, or is being looked at";
        Problem(StatusCode::NOT_FOUND, invalid("id", text))
    })?;
    Ok(Json(letter.into()))
}

async fn redrive(
    State(edge): State<Arc<Edge>>,
    Extension(Operator(operator)): Extension<Operator>,
    body: Result<Json<wire::PickRequest>, JsonRejection>,
) -> Answered<wire::Done> {
    let (queue, pick) = picked(body?.0)?;
    let done = port(&edge)?
        .redrive(queue.clone(), pick, ADMIN_BATCH)
        .await?;
    tracing::info!(
        ?operator,
        queue,
        done = done.done,
        "dead letters were redriven"
    );
    Ok(Json(done.into()))
}

async fn discard(
    State(edge): State<Arc<Edge>>,
    Extension(Operator(operator)): Extension<Operator>,
    body: Result<Json<wire::PickRequest>, JsonRejection>,
) -> Answered<wire::Done> {
    let (queue, pick) = picked(body?.0)?;
    let done = port(&edge)?
        .discard(queue.clone(), pick, ADMIN_BATCH)
        .await?;
    tracing::info!(
        ?operator,
        queue,
        done = done.done,
        "dead letters were dropped"
    );
    Ok(Json(done.into()))
}

async fn decisions(
    State(edge): State<Arc<Edge>>,
    query: Result<Query<wire::DecisionQuery>, QueryRejection>,
) -> Answered<wire::Decisions> {
    let Query(query) = query?;
    let event = |text: String| {
        let uuid = Uuid::try_parse(&text);
        uuid.map_err(|_| Problem::unprocessable("event", "a UUID"))
    };
    let event = query.event.map(event).transpose()?;
    let user = |text: String| {
        let user = UserId::parse(&text);
        user.map_err(|error| Problem::unprocessable("user", error.rule))
    };
    let user = query.user.map(user).transpose()?;
    if event.is_none() && user.is_none() {
        return Err(Problem::unprocessable(
            "user",
            "an event, a user, or both are to be named",
        ));
    }
    let decided = port(&edge)?
        .decisions(event, user, page(query.limit))
        .await?;
    Ok(Json(wire::Decisions {
        decisions: decided.into_iter().map(Into::into).collect(),
    }))
}

fn port(edge: &Edge) -> Result<Arc<dyn NotifyAdmin>, Problem> {
    edge.notify_admin.clone().ok_or_else(|| {
        let text = "this server sends no notifications: ask one that does (push.enabled)";
        let refusal = Refusal::new(ErrorCode::PushOff, text);
        Problem(StatusCode::NOT_FOUND, refusal)
    })
}

/// Which letters of which queue; exactly one of the three ways to name them.
fn picked(request: wire::PickRequest) -> Result<(String, Pick), Problem> {
    let queue = word("queue", request.queue)?;
    let pick = match (request.ids, request.reason, request.all) {
        (Some(ids), None, false) => {
            if ids.is_empty() || ids.len() > ADMIN_IDS {
                let rule = format!("1 to {ADMIN_IDS} of them");
                return Err(Problem::unprocessable("ids", &rule));
            }
            let ids = ids.into_iter().map(|id| word("ids", id));
            Pick::Ids(ids.collect::<Result<_, _>>()?)
        }
        (None, Some(reason), false) => Pick::Reason(word("reason", reason)?),
        (None, None, true) => Pick::All,
        _ => {
            return Err(Problem::unprocessable(
                "ids",
                "ids, a reason, or all: one of them",
            ));
        }
    };
    Ok((queue, pick))
}

fn word(field: &'static str, text: String) -> Result<String, Problem> {
    let is_word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if is_word && text.len() <= ADMIN_ID_BYTES {
        return Ok(text);
    }
    let rule = format!("1 to {ADMIN_ID_BYTES} ASCII characters without spaces");
    Err(Problem::unprocessable(field, &rule))
}

fn page(limit: Option<usize>) -> usize {
    limit.map_or(ADMIN_PAGE, |limit| limit.clamp(1, ADMIN_PAGE))
}

impl From<AdminError> for Problem {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::QueueUnknown => Self(
                StatusCode::NOT_FOUND,
                invalid("queue", "there is none of that name: see `queues`"),
            ),
            AdminError::Unavailable(why) => Self(
                StatusCode::SERVICE_UNAVAILABLE,
                Refusal::new(ErrorCode::Unavailable, format!("try again: {why}")),
            ),
        }
    }
}
