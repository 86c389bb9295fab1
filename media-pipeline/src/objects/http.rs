//! The embedded store's doors for clients: a signed part (`PUT`) and a signed form (`POST`).
//!
//! The token in the URL or form is the whole right, so any origin may use it: no cookie is looked at, and none is
//! allowed. Bodies are streamed; length, checksum, silence and time are bounded.

mod answer;
mod body;
mod form;

use self::answer::Refusal;
use self::body::Patience;
use crate::checksum::{Checksum, ChecksumKind};
use crate::objects::FolderObjects;
use crate::objects::sign::TokenError;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_LENGTH, ETAG};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{options, post, put};
use kaiwa_common::limits::{OBJECT_REQUEST, OBJECT_SILENCE, OBJECT_WRITES, OBJECT_WRITES_PERSON};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// `PUT {PART_PATH}?t={token}`
pub const PART_PATH: &str = "/objects/part";

/// `POST {FORM_PATH}`, `multipart/form-data` with the fields `token` and, last, `file`.
pub const FORM_PATH: &str = "/objects/form";

/// The body's checksum in base64, as S3 calls it: a SHA-256 or a CRC-32C (big-endian), never both.
pub const CHECKSUMS: [(ChecksumKind, HeaderName); 2] = [
    (
        ChecksumKind::Sha256,
        HeaderName::from_static(ChecksumKind::Sha256.header()),
    ),
    (
        ChecksumKind::Crc32c,
        HeaderName::from_static(ChecksumKind::Crc32c.header()),
    ),
];

/// How long clients are waited for, and how many at once.
#[derive(Debug, Clone, Copy)]
pub struct HttpOptions {
    /// Between two pieces of a body.
    pub silence: Duration,
    /// For the whole request.
    pub request: Duration,
    /// Requests at once; another gets 503.
    pub at_once: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            silence: OBJECT_SILENCE,
            request: OBJECT_REQUEST,
            at_once: OBJECT_WRITES,
        }
    }
}

#[derive(Clone)]
struct Door {
    objects: FolderObjects,
    options: HttpOptions,
    places: Arc<Semaphore>,
    people: People,
}

/// Requests of each person that are under way.
type People = Arc<Mutex<BTreeMap<String, usize>>>;

/// One request's place among all, and among those of its person.
struct Place<'a> {
    person: String,
    people: &'a People,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = people.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                people.remove(&self.person);
            }
        }
    }
}

/// The two doors.
pub fn router(objects: FolderObjects, http: HttpOptions) -> Router {
    let door = Door {
        objects,
        options: http,
        places: Arc::new(Semaphore::new(http.at_once)),
        people: People::default(),
    };
    Router::new()
        .route(
            PART_PATH,
            put(put_part)
                .merge(options(preflight))
                .fallback(async || wrong_method("PUT, OPTIONS")),
        )
        .route(
            FORM_PATH,
            post(form::post_form)
                .merge(options(preflight))
                .fallback(async || wrong_method("POST, OPTIONS")),
        )
        .layer(axum::middleware::map_response(answer::for_any_origin))
        .with_state(door)
}

async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// RFC 9110, section 15.5.6.
fn wrong_method(allow: &'static str) -> Response {
    let mut response = Refusal::Method.into_response();
    let allow = HeaderValue::from_static(allow);
    response.headers_mut().insert(ALLOW, allow);
    response
}

async fn put_part(State(door): State<Door>, request: Request) -> Response {
    match take_part(&door, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn take_part(door: &Door, request: Request) -> Result<Response, Refusal> {
    let token = token_of(request.uri().query())?;
    let claim = door.objects.keys().open_part(token, door.objects.now())?;
    let length = length_of(request.headers())?;
    if length > claim.part.size {
        return Err(Refusal::TooLarge);
    }
    if length < claim.part.size {
        return Err(Refusal::Wrong(
            "the length is not the one that was signed".to_owned(),
        ));
    }
    let mut plan = claim.part.clone();
    if let Some(declared) = checksum_of(request.headers())? {
        if plan.checksum.is_some_and(|signed| signed != declared) {
            return Err(Refusal::Wrong(
                "the checksum is not the one that was signed".to_owned(),
            ));
        }
        plan.checksum = Some(declared);
    }
    let _place = door.place(&claim.key)?;
    let mut bytes = door.patience().stream(request.into_body());
    let part = door
        .objects
        .put_part(&claim.key, &claim.upload, &plan, &mut bytes)
        .await;
    let part = part.map_err(|error| bytes.refusal(error))?;
    let etag = format!("\"{}\"", part.etag);
    let mut response = (StatusCode::OK, [(ETAG, etag)], Body::empty()).into_response();
    if let Some(sum) = part.checksum
        && let Ok(value) = HeaderValue::try_from(sum.base64())
    {
        let name = HeaderName::from_static(sum.kind().header());
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

impl Door {
    /// A place, of which one person does not take all: the key's second part says whose it is.
    fn place(&self, key: &str) -> Result<Place<'_>, Refusal> {
        let permit = self.places.try_acquire().map_err(|_| Refusal::Busy)?;
        let person = key.split('/').nth(1).unwrap_or_default().to_owned();
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        let count = people.entry(person.clone()).or_default();
        if *count >= OBJECT_WRITES_PERSON {
            return Err(Refusal::Busy);
        }
        *count += 1;
        Ok(Place {
            person,
            people: &self.people,
            _permit: permit,
        })
    }

    fn patience(&self) -> Patience {
        Patience {
            silence: self.options.silence,
            request: self.options.request,
        }
    }
}

/// The token of a query that is nothing else.
fn token_of(query: Option<&str>) -> Result<&str, Refusal> {
    let token = query.and_then(|query| query.strip_prefix("t="));
    token.ok_or(Refusal::Token(TokenError::Invalid))
}

/// A body without a length is refused before it is read: what is signed is a length.
fn length_of(headers: &HeaderMap) -> Result<u64, Refusal> {
    let length = headers.get(CONTENT_LENGTH).ok_or(Refusal::NoLength)?;
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    length.ok_or(Refusal::Wrong("the length is no number".to_owned()))
}

fn checksum_of(headers: &HeaderMap) -> Result<Option<Checksum>, Refusal> {
    let kinds = CHECKSUMS;
    let mut given = kinds
        .iter()
        .filter_map(|(kind, name)| Some((kind, headers.get(name)?)));
    let Some((kind, value)) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(Refusal::Wrong(
            "a part has one checksum, not two".to_owned(),
        ));
    }
    let sum = kind.of_base64(value.as_bytes());
    let wrong = || format!("the checksum is no {} in base64", kind.name());
    sum.map(Some).ok_or_else(|| Refusal::Wrong(wrong()))
}
