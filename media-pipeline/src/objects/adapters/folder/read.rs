//! Bytes on their way out.

use super::disk::refused;
use super::write::joined;
use super::{FolderObjects, index};
use crate::objects::key::check_key;
use crate::ports::{ObjectError, Reading};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use kaiwa_common::limits::OBJECT_READ_BYTES;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

impl FolderObjects {
    pub(super) async fn open_object(
        &self,
        key: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Reading, ObjectError> {
        check_key(key)?;
        // An object that is replaced between the look and the opening has another file then.
        for _ in 0..3 {
            let k = key.to_owned();
            let row = self.look(move |db| index::find(db, &k)).await?;
            let row = row.ok_or(ObjectError::NotFound)?;
            let path = self.inner.places.blob(&row.blob);
            let opened = joined(tokio::task::spawn_blocking(move || File::open(path)).await)?;
            let file = match opened {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(refused(&error)),
            };
            let (from, to) = bounds(range, row.info.size)?;
            return Ok(Reading {
                info: row.info,
                bytes: pieces(Arc::new(file), from, to).boxed(),
            });
        }
        Err(ObjectError::NotFound)
    }

    /// Waits for the index, some tens of microseconds: the readers are threads of their own.
    pub(super) fn path_of(&self, key: &str) -> Option<PathBuf> {
        let key = key.to_owned();
        let row = wait(self.look(move |db| index::find(db, &key))).ok()??;
        Some(self.inner.places.blob(&row.blob))
    }
}

/// The range within the object. One that begins behind its end is refused, as by S3.
pub(crate) fn bounds(range: Option<(u64, u64)>, size: u64) -> Result<(u64, u64), ObjectError> {
    let Some((from, to)) = range else {
        return Ok((0, size));
    };
    if from >= size || to <= from {
        return Err(ObjectError::Mismatch("the range".to_owned()));
    }
    Ok((from, to.min(size)))
}

fn pieces(
    file: Arc<File>,
    from: u64,
    to: u64,
) -> impl futures_util::Stream<Item = Result<Bytes, ObjectError>> + Send {
    stream::try_unfold((file, from), move |(file, at)| async move {
        if at >= to {
            return Ok(None);
        }
        let want =
            usize::try_from(to - at).map_or(OBJECT_READ_BYTES, |left| left.min(OBJECT_READ_BYTES));
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; want];
            file.read_exact_at(&mut piece, at)?;
            Ok((file, piece))
        });
        let (file, piece) = joined(read.await)?.map_err(|error: std::io::Error| refused(&error))?;
        let next = at + piece.len() as u64;
        Ok(Some((Bytes::from(piece), (file, next))))
    })
}

/// Waits on this thread for something that needs no other task.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}
