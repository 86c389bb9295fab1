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
    let pieces = Shared::new(door.patience().stream(request.into_body()));
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
    // Only now: a place is for who may upload.
    let _place = door.place(&claim.key)?;
    pieces.lock(|held| held.is_open = true);
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
        .store_new(&claim.key, &claim.content_type, &mut bytes, (0, claim.max))
        .await;
    drop(bytes);
    if is_large {
        return Err(Refusal::TooLarge);
    }
    let info = stored.map_err(|error| pieces.lock(|held| held.pieces.refusal(error)))?;
    let info = info.ok_or(Refusal::Exists)?;
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

/// Bytes that are read before the token is known to be good; and at most one piece more.
const HEAD_BYTES: usize = 8 * 1024;

/// Times that the parser may ask for more than that: it asks before each field, its headers and its end.
const ASKED: u32 = 64;

/// The body, which the form's parser owns and which says afterwards whether it was slow.
#[derive(Clone)]
struct Shared(Arc<Mutex<Held>>);

struct Held {
    pieces: Pieces,
    given: usize,
    /// How often more was asked for than a token takes.
    asked: u32,
    /// Its token is good: the file may come.
    is_open: bool,
    /// The last answer was a piece.
    has_given: bool,
}

impl Shared {
    fn new(pieces: Pieces) -> Self {
        Self(Arc::new(Mutex::new(Held {
            pieces,
            given: 0,
            asked: 0,
            is_open: false,
            has_given: false,
        })))
    }

    fn lock<T>(&self, look: impl FnOnce(&mut Held) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn refusal(&self, error: &multer::Error) -> Refusal {
        let what = format!("the form cannot be read: {error}");
        let what = crate::ports::ObjectError::Mismatch(what);
        let refusal = self.lock(|held| held.pieces.refusal(what));
        if matches!(error, multer::Error::FieldSizeExceeded { .. }) {
            return Refusal::TooLarge;
        }
        refusal
    }
}

impl Stream for Shared {
    type Item = io::Result<bytes::Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lock(|held| {
            // The parser takes whatever is ready before it gives any of it: with one piece each time it is asked, it
            // holds no more than the disk is behind.
            if std::mem::take(&mut held.has_given) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !held.is_open && held.given > HEAD_BYTES {
                // What it asks for may be in what it holds; if it keeps asking, it is not.
                held.asked += 1;
                if held.asked > ASKED {
                    return Poll::Ready(Some(Err(io::ErrorKind::InvalidData.into())));
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let polled = held.pieces.poll_next_unpin(cx);
            if let Poll::Ready(Some(Ok(piece))) = &polled {
                held.given += piece.len();
                held.has_given = true;
            }
            polled
        })
    }
}
