//! Bytes on their way to the disk: summed and written in batches of [`OBJECT_BUFFER_BYTES`], one batch behind the
//! network, so that memory is bounded and no thread waits for a slow client.

use super::buffer::Buffer;
use super::disk::{Direct, Disk, refused};
use crate::checksum::{Checksum, ChecksumKind, Running};
use crate::ports::ObjectError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use kaiwa_common::limits::OBJECT_BUFFER_BYTES;
use std::any::Any;
use std::fs::File;
use std::io;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Where bytes go.
pub(super) struct Sink {
    disk: Arc<dyn Disk>,
    file: File,
    direct: Option<Direct>,
    /// Where the first byte goes.
    begin: u64,
    /// Dropped when the last write has ended: a claim on the place.
    _hold: Box<dyn Any + Send + Sync>,
}

impl Sink {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        file: File,
        begin: u64,
        hold: Box<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            disk,
            file,
            direct: None,
            begin,
            _hold: hold,
        }
    }

    /// The same file, past the page cache.
    pub(super) fn past_the_cache(mut self, direct: Option<Direct>) -> Self {
        self.direct = direct;
        self
    }

    /// Writes these bytes, before which so many others were written.
    fn write(&self, bytes: &[u8], before: u64) -> io::Result<()> {
        let at = self.begin + before;
        let done = match &self.direct {
            Some(direct) => direct.write_at(&*self.disk, bytes, at)?,
            None => 0,
        };
        match bytes.get(done..) {
            Some(rest) if !rest.is_empty() => {
                self.disk.write_at(&self.file, rest, at + done as u64)
            }
            _ => Ok(()),
        }
    }
}

/// What is promised of the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promise {
    /// At most.
    pub(super) most: u64,
    /// At least.
    pub(super) least: u64,
    /// Which sum is taken of them.
    pub(super) kind: ChecksumKind,
    /// That sum.
    pub(super) checksum: Option<Checksum>,
}

/// Writes everything that comes. What does not keep the promise is an error, and the caller throws it away.
/// Gives how many bytes they are and their sum, once they survive a power loss.
pub(super) async fn pour(
    sink: Sink,
    bytes: &mut (dyn Stream<Item = io::Result<Bytes>> + Send + Unpin),
    promise: Promise,
) -> Result<(u64, Checksum), ObjectError> {
    let size = usize::try_from(promise.most).map_or(OBJECT_BUFFER_BYTES, |most| {
        most.clamp(1, OBJECT_BUFFER_BYTES)
    });
    let mut writing = Writing::new(sink, size, promise.kind);
    let (mut buffer, mut total) = (Buffer::new(size), 0_u64);
    while let Some(piece) = bytes.next().await {
        let mut piece = piece.map_err(|error| sender(&error))?;
        total += piece.len() as u64;
        if total > promise.most {
            return Err(ObjectError::Mismatch("more bytes than promised".to_owned()));
        }
        while !piece.is_empty() {
            let taken = buffer.take(&piece);
            let _ = piece.split_to(taken);
            if buffer.is_full() {
                buffer = writing.push(buffer).await?;
            }
        }
    }
    if total < promise.least {
        return Err(ObjectError::Mismatch(
            "fewer bytes than promised".to_owned(),
        ));
    }
    writing.push(buffer).await?;
    let checksum = writing.finish().await?;
    if promise
        .checksum
        .is_some_and(|promised| promised != checksum)
    {
        return Err(ObjectError::Mismatch(format!(
            "the checksum: the bytes have another {}",
            checksum.kind().name()
        )));
    }
    Ok((total, checksum))
}

/// A file that is written, and the batch that is under way.
struct Writing {
    sink: Arc<Sink>,
    written: u64,
    sum: Running,
    batch: Option<Batch>,
    /// Bytes of a buffer.
    size: usize,
}

/// What is done with a full buffer.
struct Batch {
    buffer: Arc<Buffer>,
    writing: JoinHandle<io::Result<()>>,
    /// A sum that takes as long as the writing is taken at the same time.
    summing: Option<JoinHandle<Running>>,
}

impl Writing {
    fn new(sink: Sink, size: usize, kind: ChecksumKind) -> Self {
        Self {
            sink: Arc::new(sink),
            written: 0,
            sum: Running::new(kind),
            batch: None,
            size,
        }
    }

    /// Begins with these bytes, once those before are done; gives an empty buffer.
    async fn push(&mut self, buffer: Buffer) -> Result<Buffer, ObjectError> {
        let empty = self.settle().await?;
        let (before, buffer) = (self.written, Arc::new(buffer));
        self.written += buffer.bytes().len() as u64;
        let (sink, bytes) = (Arc::clone(&self.sink), Arc::clone(&buffer));
        let writing = tokio::task::spawn_blocking(move || sink.write(bytes.bytes(), before));
        let summing = if self.sum.is_quick() {
            self.sum.update(buffer.bytes());
            None
        } else {
            let (mut sum, bytes) = (self.sum.clone(), Arc::clone(&buffer));
            Some(tokio::task::spawn_blocking(move || {
                sum.update(bytes.bytes());
                sum
            }))
        };
        self.batch = Some(Batch {
            buffer,
            writing,
            summing,
        });
        Ok(empty.unwrap_or_else(|| Buffer::new(self.size)))
    }

    /// Waits until what is under way is written and summed; gives its buffer.
    async fn settle(&mut self) -> Result<Option<Buffer>, ObjectError> {
        let Some(batch) = self.batch.take() else {
            return Ok(None);
        };
        joined(batch.writing.await)?.map_err(|error| refused(&error))?;
        if let Some(summing) = batch.summing {
            self.sum = joined(summing.await)?;
        }
        Ok(Arc::into_inner(batch.buffer).map(|mut buffer| {
            buffer.clear();
            buffer
        }))
    }

    /// The sum of all, once they survive a power loss.
    async fn finish(mut self) -> Result<Checksum, ObjectError> {
        self.settle().await?;
        let sink = self.sink;
        let synced = tokio::task::spawn_blocking(move || sink.disk.sync(&sink.file)).await;
        joined(synced)?.map_err(|error| refused(&error))?;
        Ok(self.sum.finish())
    }
}

/// The sender went away, or was too slow.
fn sender(error: &io::Error) -> ObjectError {
    ObjectError::Mismatch(format!("the bytes broke off: {}", error.kind()))
}

pub(super) fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, ObjectError> {
    result.map_err(|_| ObjectError::Unavailable("a write was given up".to_owned()))
}
