//! A form as browsers post it: `token`, then `file`. What comes after the file is not read.

use super::Door;
use super::answer::Refusal;
use super::body::Pieces;
use crate::objects::sign::TokenError;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use kaiwa_common::limits::OBJECT_TOKEN_BYTES;
use multer::{Constraints, Field, Multipart, SizeLimit};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

pub(super) async fn post_form(State(door): State<Door>, request: Request) -> Response {
    match take_form(&door, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn take_form(door: &Door, request: Request) -> Result<Response, Refusal> {
    let length = super::length_of(request.headers())?;
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary = content_type.and_then(|text| multer::parse_boundary(text).ok());
    let boundary = boundary.ok_or_else(|| wrong("it is no multipart/form-data"))?;
    let _place = door.places.try_acquire().map_err(|_| Refusal::Busy)?;
    let pieces = Shared(Arc::new(Mutex::new(
        door.patience().stream(request.into_body()),
    )));
    let limits = SizeLimit::new().for_field("token", OBJECT_TOKEN_BYTES as u64);
    let constraints = Constraints::new()
        .allowed_fields(vec!["token", "file"])
        .size_limit(limits);
    let mut form = Multipart::with_constraints(pieces.clone(), boundary, constraints);
    let token = named(&mut form, "token", &pieces)
        .await?
        .ok_or(Refusal::Token(TokenError::Invalid))?;
    let token = token.text().await.map_err(|error| pieces.refusal(&error))?;
    let claim = door.objects.keys().open_form(&token, door.objects.now())?;
    if length > claim.max.saturating_add(FRAME_BYTES) {
        return Err(Refusal::TooLarge);
    }
    let file = named(&mut form, "file", &pieces)
        .await?
        .ok_or_else(|| wrong("there is no file"))?;
    let mut size = 0_u64;
    let mut is_large = false;
    let mut bytes = file.map(|piece| {
        let piece = piece.map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        size += piece.len() as u64;
        is_large = size > claim.max;
        Ok(piece)
    });
    let stored = door
        .objects
        .store(&claim.key, &claim.content_type, &mut bytes, (0, claim.max))
        .await;
    drop(bytes);
    if is_large {
        return Err(Refusal::TooLarge);
    }
    let info = stored.map_err(|error| pieces.lock(|pieces| pieces.refusal(error)))?;
    let etag = format!("\"{}\"", info.etag);
    Ok((StatusCode::NO_CONTENT, [(ETAG, etag)], Body::empty()).into_response())
}

/// The next field, which has to be this one.
async fn named<'a>(
    form: &mut Multipart<'a>,
    name: &str,
    pieces: &Shared,
) -> Result<Option<Field<'a>>, Refusal> {
    let field = form
        .next_field()
        .await
        .map_err(|error| pieces.refusal(&error))?;
    Ok(field.filter(|field| field.name() == Some(name)))
}

/// A form around a file: boundaries, field headers, the token.
const FRAME_BYTES: u64 = 8 * 1024;

fn wrong(what: &str) -> Refusal {
    Refusal::Wrong(what.to_owned())
}

/// The body, which the form's parser owns and which says afterwards whether it was slow.
#[derive(Clone)]
struct Shared(Arc<Mutex<Pieces>>);

impl Shared {
    fn lock<T>(&self, look: impl FnOnce(&mut Pieces) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn refusal(&self, error: &multer::Error) -> Refusal {
        let what = format!("the form cannot be read: {error}");
        let refusal = self.lock(|pieces| pieces.refusal(crate::ports::ObjectError::Mismatch(what)));
        if matches!(error, multer::Error::FieldSizeExceeded { .. }) {
            return Refusal::TooLarge;
        }
        refusal
    }
}

impl Stream for Shared {
    type Item = io::Result<bytes::Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lock(|pieces| pieces.poll_next_unpin(cx))
    }
}
