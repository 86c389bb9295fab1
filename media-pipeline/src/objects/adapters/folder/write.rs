//! Bytes on their way to the disk: hashed and written in batches of [`OBJECT_BUFFER_BYTES`], one batch behind the
//! network, so that memory is bounded and no thread waits for a slow client.

use super::disk::{Disk, refused};
use crate::ports::ObjectError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use kaiwa_common::limits::OBJECT_BUFFER_BYTES;
use ring::digest;
use std::any::Any;
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Where bytes go.
pub(super) struct Sink {
    disk: Arc<dyn Disk>,
    file: File,
    /// Where the first byte goes.
    begin: u64,
    written: u64,
    hash: digest::Context,
    /// Dropped when the last write has ended: a claim on the place.
    _hold: Box<dyn Any + Send>,
}

impl Sink {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        file: File,
        begin: u64,
        hold: Box<dyn Any + Send>,
    ) -> Self {
        let hash = digest::Context::new(&digest::SHA256);
        Self {
            disk,
            file,
            begin,
            written: 0,
            hash,
            _hold: hold,
        }
    }

    fn write(&mut self, batch: &[Bytes]) -> io::Result<()> {
        let mut pieces: Vec<_> = batch.iter().map(|bytes| IoSlice::new(bytes)).collect();
        self.disk
            .write_at(&self.file, &mut pieces, self.begin + self.written)?;
        for bytes in batch {
            self.hash.update(bytes);
            self.written += bytes.len() as u64;
        }
        Ok(())
    }

    /// Bytes and their SHA-256, once they survive a power loss.
    fn finish(self) -> io::Result<(u64, [u8; 32])> {
        self.disk.sync(&self.file)?;
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.finish().as_ref());
        Ok((self.written, sha256))
    }
}

/// What is promised of the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promise {
    /// At most.
    pub(super) most: u64,
    /// At least.
    pub(super) least: u64,
    /// Their SHA-256.
    pub(super) sha256: Option<[u8; 32]>,
}

/// Writes everything that comes. What does not keep the promise is an error, and the caller throws it away.
pub(super) async fn pour(
    sink: Sink,
    bytes: &mut (dyn Stream<Item = io::Result<Bytes>> + Send + Unpin),
    promise: Promise,
) -> Result<(u64, [u8; 32]), ObjectError> {
    let mut writing = Writing::Idle(Box::new(sink));
    let (mut batch, mut waiting, mut total) = (Vec::new(), 0, 0_u64);
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(|error| sender(&error))?;
        total += piece.len() as u64;
        if total > promise.most {
            return Err(ObjectError::Mismatch("more bytes than promised".to_owned()));
        }
        waiting += piece.len();
        batch.push(piece);
        if waiting >= OBJECT_BUFFER_BYTES {
            writing = writing.push(std::mem::take(&mut batch)).await?;
            waiting = 0;
        }
    }
    if total < promise.least {
        return Err(ObjectError::Mismatch(
            "fewer bytes than promised".to_owned(),
        ));
    }
    let sink = writing.push(batch).await?.sink().await?;
    let done = tokio::task::spawn_blocking(move || sink.finish()).await;
    let (size, sha256) = joined(done)?.map_err(|error| refused(&error))?;
    if promise.sha256.is_some_and(|promised| promised != sha256) {
        return Err(ObjectError::Mismatch("the checksum".to_owned()));
    }
    Ok((size, sha256))
}

enum Writing {
    Idle(Box<Sink>),
    Busy(JoinHandle<io::Result<Box<Sink>>>),
}

impl Writing {
    async fn sink(self) -> Result<Box<Sink>, ObjectError> {
        match self {
            Self::Idle(sink) => Ok(sink),
            Self::Busy(job) => joined(job.await)?.map_err(|error| refused(&error)),
        }
    }

    async fn push(self, batch: Vec<Bytes>) -> Result<Self, ObjectError> {
        let mut sink = self.sink().await?;
        Ok(Self::Busy(tokio::task::spawn_blocking(move || {
            sink.write(&batch)?;
            Ok(sink)
        })))
    }
}

/// The sender went away, or was too slow.
fn sender(error: &io::Error) -> ObjectError {
    ObjectError::Mismatch(format!("the bytes broke off: {}", error.kind()))
}

pub(super) fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, ObjectError> {
    result.map_err(|_| ObjectError::Unavailable("a write was given up".to_owned()))
}
