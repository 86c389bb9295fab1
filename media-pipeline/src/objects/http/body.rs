//! A body as the store takes it: in pieces, and not slower than is borne.

use super::answer::Refusal;
use crate::ports::ObjectError;
use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) silence: Duration,
    pub(super) request: Duration,
}

impl Patience {
    pub(super) fn stream(self, body: Body) -> Pieces {
        let begun = Instant::now();
        Pieces {
            body: body.into_data_stream(),
            end: begun + self.request,
            silence: self.silence,
            timer: Box::pin(sleep_until(begun + self.silence.min(self.request))),
            is_slow: false,
        }
    }
}

/// The body's bytes.
pub(super) struct Pieces {
    body: BodyDataStream,
    end: Instant,
    silence: Duration,
    timer: Pin<Box<Sleep>>,
    is_slow: bool,
}

impl Pieces {
    /// A store's error; unless the client's slowness is behind it.
    pub(super) fn refusal(&self, error: ObjectError) -> Refusal {
        if self.is_slow {
            Refusal::Slow
        } else {
            Refusal::Store(error)
        }
    }
}

impl Stream for Pieces {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(piece) = self.body.poll_next_unpin(cx) {
            if Instant::now() >= self.end {
                self.is_slow = true;
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
            let next = (Instant::now() + self.silence).min(self.end);
            self.timer.as_mut().reset(next);
            let broken = |_| io::Error::from(io::ErrorKind::ConnectionReset);
            return Poll::Ready(piece.map(|piece| piece.map_err(broken)));
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            self.is_slow = true;
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        Poll::Pending
    }
}
