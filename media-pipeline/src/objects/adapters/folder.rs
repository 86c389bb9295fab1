//! Objects as files of a folder, with an index in the server's SQLite database.
//!
//! ```text
//!  objects/ab/{blob}       whole objects; a blob's name is random, and only the index knows whose it is
//!  uploads/{upload}/data   parts, each at its place: (number - 1) × stride
//!  uploads/{upload}/{file} parts that came again, or do not fit their place
//!  incoming/{blob}         whole objects on their way
//! ```
//! An object appears, changes and goes with its row's commit. Before the commit its bytes are on disk under their
//! final name; after it what it replaced is deleted. What a crash leaves between is swept at the next start.

mod buffer;
mod claims;
mod complete;
mod disk;
mod index;
mod read;
mod store;
mod write;

pub use disk::{Disk, OsDisk};

use crate::checksum::{Checksum, ChecksumKind};
use crate::objects::key::{check_key, check_type};
use crate::objects::sign::Keyring;
use crate::ports::{ObjectError, ObjectInfo, Part, PartPlan};
use bytes::Bytes;
use disk::{Direct, Places, refused, sync_folder};
use futures_util::Stream;
use index::{ObjectRow, PartRow, etag_of};
use kaiwa_common::limits::{
    OBJECT_PART_BYTES, OBJECT_PARTS, OBJECT_RESERVE_BYTES, OBJECT_STRIDE_BYTES,
};
use kaiwa_platform::clock::Clock;
use kaiwa_platform::sqlite::{Keep, Sqlite};
use rusqlite::Connection;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use uuid::Uuid;
use write::{Promise, Sink, joined, pour};

/// Bytes that a client sends.
pub(crate) type Incoming<'a> = &'a mut (dyn Stream<Item = std::io::Result<Bytes>> + Send + Unpin);

/// How the folder is used.
pub struct FolderOptions {
    /// The folder, made if it is not there. Nobody else writes into it.
    pub root: PathBuf,
    /// Bytes of its file system that stay free.
    pub reserve: u64,
    /// The disk.
    pub disk: Arc<dyn Disk>,
}

impl FolderOptions {
    /// The defaults for a server.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            reserve: OBJECT_RESERVE_BYTES,
            disk: Arc::new(OsDisk),
        }
    }
}

/// The embedded object store. Cheap to clone; one for each folder and process.
#[derive(Clone)]
pub struct FolderObjects {
    inner: Arc<Inner>,
}

struct Inner {
    db: Sqlite,
    clock: Arc<dyn Clock>,
    keys: Keyring,
    places: Places,
    reserve: u64,
    disk: Arc<dyn Disk>,
    /// Parts whose place in `data` somebody writes to now; number 0: somebody makes the object.
    busy: Arc<Mutex<BTreeSet<(String, u32)>>>,
}

impl FolderObjects {
    /// Opens the store: makes folders and tables, and sweeps what a crash has left.
    ///
    /// # Errors
    /// [`ObjectError::Refused`] when folder or database cannot be used.
    pub async fn open(
        db: Sqlite,
        clock: Arc<dyn Clock>,
        keys: Keyring,
        options: FolderOptions,
    ) -> Result<Self, ObjectError> {
        let migrated = db.migrate(index::SCHEMA).await;
        migrated.map_err(|error| ObjectError::Refused(error.to_string()))?;
        let (blobs, uploads) = db.readers.run(index::known).await.map_err(index::read)?;
        let FolderOptions {
            root,
            reserve,
            disk,
        } = options;
        let made = tokio::task::spawn_blocking(move || {
            let places = Places::make(root)?;
            sweep(&places, &blobs, &uploads)?;
            Ok(places)
        });
        let places = joined(made.await)?.map_err(|error: std::io::Error| refused(&error))?;
        let inner = Inner {
            db,
            clock,
            keys,
            places,
            reserve,
            disk,
            busy: Arc::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    pub(crate) fn keys(&self) -> &Keyring {
        &self.inner.keys
    }

    pub(crate) fn now(&self) -> kaiwa_common::time::UnixMs {
        self.inner.clock.now()
    }

    /// Takes a part: exactly so many bytes with that checksum. It is there when this returns, and the bytes of an
    /// attempt that fails are nowhere. The same number again replaces it.
    ///
    /// # Errors
    /// `NotFound`: no such upload. `Mismatch`: other bytes than promised. `Refused`: no room.
    pub async fn put_part(
        &self,
        key: &str,
        upload: &str,
        plan: &PartPlan,
        bytes: Incoming<'_>,
    ) -> Result<Part, ObjectError> {
        check_key(key)?;
        check_plan(plan)?;
        check_upload(upload)?;
        // Taken before the look and kept until the part is noted: nobody who saw nothing there writes over what has
        // arrived meanwhile.
        let claim = self.claim(upload, plan.number);
        let (known, before) = self.part_before(key, upload, plan.number).await?;
        if known.done_etag.is_some() {
            return Err(ObjectError::NotFound);
        }
        check_kind(known.checksum, plan.checksum.as_ref())?;
        self.room_for(plan.size)?;
        let stride = self.stride(upload, plan.size, known.stride).await?;
        let fits = before.is_none() && plan.size <= stride;
        let claim = claim.filter(|_| fits).map(Arc::new);
        let promise = Promise {
            most: plan.size,
            least: plan.size,
            kind: known.checksum,
            checksum: plan.checksum,
        };
        let disk = Arc::clone(&self.inner.disk);
        let folder = self.inner.places.upload(upload);
        let (file, checksum) = match &claim {
            Some(claim) => {
                let data = self.inner.places.data(upload);
                let at = u64::from(plan.number - 1) * stride;
                let size = plan.size;
                let (file, direct) = opened(move || part_files(&data, at, size)).await?;
                let sink =
                    Sink::new(disk, file, at, Box::new(Arc::clone(claim))).past_the_cache(direct);
                (None, pour(sink, bytes, promise).await?.1)
            }
            None => {
                let name = Uuid::new_v4().simple().to_string();
                let temporary = Temporary::new(folder.join(&name));
                let path = temporary.path.clone();
                let opened = opened(move || new_file(&path)).await?;
                let sink = Sink::new(disk, opened, 0, Box::new(()));
                let (_, checksum) = pour(sink, bytes, promise).await?;
                temporary.keep();
                (Some(name), checksum)
            }
        };
        let row = PartRow {
            number: plan.number,
            size: plan.size,
            checksum,
            file,
        };
        self.note_part(key, upload, row).await
    }

    /// The upload, and the part of this number if it has arrived.
    async fn part_before(
        &self,
        key: &str,
        upload: &str,
        number: u32,
    ) -> Result<(index::UploadRow, Option<PartRow>), ObjectError> {
        let (key, upload) = (key.to_owned(), upload.to_owned());
        let found = self.look(move |db| {
            let Some(row) = index::upload(db, &key, &upload)? else {
                return Ok(None);
            };
            Ok(Some((row, index::one_part(db, &upload, number)?)))
        });
        found.await?.ok_or(ObjectError::NotFound)
    }

    async fn stride(
        &self,
        upload: &str,
        size: u64,
        known: Option<u64>,
    ) -> Result<u64, ObjectError> {
        if let Some(stride) = known {
            return Ok(stride);
        }
        let (upload, wanted) = (upload.to_owned(), size.max(OBJECT_STRIDE_BYTES));
        self.change(move |db| index::stride(db, &upload, wanted))
            .await
    }

    async fn note_part(&self, key: &str, upload: &str, row: PartRow) -> Result<Part, ObjectError> {
        let part = row.part();
        let (key, id) = (key.to_owned(), upload.to_owned());
        let noted = self.change(move |db| {
            let before = index::one_part(db, &id, row.number)?.and_then(|row| row.file);
            Ok((index::put_part(db, &key, &id, &row)?, before))
        });
        let (is_noted, before) = noted.await?;
        if let Some(before) = before {
            remove(&self.inner.places.upload(upload).join(before));
        }
        if is_noted {
            Ok(part)
        } else {
            Err(ObjectError::NotFound)
        }
    }

    /// Stores a whole object of `least` to `most` bytes, also where there is one already.
    pub(crate) async fn store(
        &self,
        key: &str,
        content_type: &str,
        bytes: Incoming<'_>,
        bounds: (u64, u64),
    ) -> Result<ObjectInfo, ObjectError> {
        let row = self.blob(key, content_type, bytes, bounds).await?;
        let info = row.info.clone();
        let before = self.change(move |db| index::put(db, &row)).await?;
        self.forget(before).await;
        Ok(info)
    }

    /// Stores a whole object where there is none; `None`: there is one, and it stays. Who has a form could else put
    /// something else in the place of what was looked at.
    pub(crate) async fn store_new(
        &self,
        key: &str,
        content_type: &str,
        bytes: Incoming<'_>,
        bounds: (u64, u64),
    ) -> Result<Option<ObjectInfo>, ObjectError> {
        let name = key.to_owned();
        if self.look(move |db| index::find(db, &name)).await?.is_some() {
            return Ok(None);
        }
        let row = self.blob(key, content_type, bytes, bounds).await?;
        let (info, blob) = (row.info.clone(), row.blob.clone());
        if self.change(move |db| index::put_new(db, &row)).await? {
            return Ok(Some(info));
        }
        self.forget([blob]).await;
        Ok(None)
    }

    /// Brings bytes to the disk, under their final name.
    async fn blob(
        &self,
        key: &str,
        content_type: &str,
        bytes: Incoming<'_>,
        (least, most): (u64, u64),
    ) -> Result<ObjectRow, ObjectError> {
        check_key(key)?;
        check_type(content_type)?;
        self.room_for(least)?;
        let blob = Uuid::new_v4().simple().to_string();
        let temporary = Temporary::new(self.inner.places.incoming().join(&blob));
        let path = temporary.path.clone();
        let opened = opened(move || new_file(&path)).await?;
        let sink = Sink::new(Arc::clone(&self.inner.disk), opened, 0, Box::new(()));
        let promise = Promise {
            most,
            least,
            kind: ChecksumKind::Sha256,
            checksum: None,
        };
        let (size, checksum) = pour(sink, bytes, promise).await?;
        self.publish(&temporary.path, &blob).await?;
        temporary.keep();
        let info = ObjectInfo {
            key: key.to_owned(),
            size,
            etag: etag_of(&checksum),
            sha256: checksum.sha256(),
            modified: self.now(),
        };
        Ok(ObjectRow {
            info,
            blob,
            content_type: content_type.to_owned(),
        })
    }

    /// Gives a file its final name, durably.
    async fn publish(&self, from: &Path, blob: &str) -> Result<(), ObjectError> {
        let (from, to) = (from.to_owned(), self.inner.places.blob(blob));
        let moved = tokio::task::spawn_blocking(move || {
            std::fs::rename(&from, &to)?;
            to.parent().map_or(Ok(()), sync_folder)
        });
        joined(moved.await)?.map_err(|error| refused(&error))
    }

    /// Refuses what would leave less than the reserve.
    fn room_for(&self, bytes: u64) -> Result<(), ObjectError> {
        let free = self.inner.disk.free(self.inner.places.root());
        let free = free.map_err(|error| refused(&error))?;
        if free < bytes.saturating_add(self.inner.reserve) {
            return Err(ObjectError::Refused("the disk is full".to_owned()));
        }
        Ok(())
    }

    /// Deletes files whose rows are gone; a large one takes the disk a while.
    async fn forget(&self, blobs: impl IntoIterator<Item = String>) {
        let places = &self.inner.places;
        let paths: Vec<PathBuf> = blobs.into_iter().map(|blob| places.blob(&blob)).collect();
        if !paths.is_empty() {
            let removed = tokio::task::spawn_blocking(move || paths.iter().for_each(|p| remove(p)));
            let _ = removed.await;
        }
    }

    async fn look<T, F>(&self, closure: F) -> Result<T, ObjectError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.inner
            .db
            .readers
            .run(closure)
            .await
            .map_err(index::read)
    }

    async fn change<T, F>(&self, closure: F) -> Result<T, ObjectError>
    where
        T: Send + Unpin + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let job = self.inner.db.writer.submit(ROW_BYTES, move |db| {
            closure(db).map(|value| (Keep::Yes, value))
        });
        job.await.map_err(index::written)
    }
}

/// About what a row adds to the database.
const ROW_BYTES: usize = 512;

/// A file that is deleted unless it is kept.
struct Temporary {
    path: PathBuf,
    is_kept: bool,
}

impl Temporary {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            is_kept: false,
        }
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_kept {
            remove(&self.path);
        }
    }
}

/// Number from 1, at most [`OBJECT_PART_BYTES`].
pub(crate) fn check_plan(plan: &PartPlan) -> Result<(), ObjectError> {
    if !(1..=OBJECT_PARTS).contains(&plan.number) {
        return Err(ObjectError::Mismatch("the part's number".to_owned()));
    }
    if plan.size == 0 || plan.size > OBJECT_PART_BYTES {
        return Err(ObjectError::Mismatch("the part's length".to_owned()));
    }
    Ok(())
}

/// All parts of an upload have a sum of its kind.
fn check_kind(kind: ChecksumKind, given: Option<&Checksum>) -> Result<(), ObjectError> {
    match given {
        Some(given) if given.kind() != kind => Err(ObjectError::Mismatch(format!(
            "the checksum: this upload's parts have a {}",
            kind.name()
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Upload ids are ours: 32 hexadecimal digits, and so are their folders.
fn check_upload(upload: &str) -> Result<(), ObjectError> {
    let is_ours = upload.len() == 32
        && upload
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_ours {
        Ok(())
    } else {
        Err(ObjectError::NotFound)
    }
}

async fn opened<T: Send + 'static>(
    open: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ObjectError> {
    joined(tokio::task::spawn_blocking(open).await)?.map_err(|error| refused(&error))
}

fn new_file(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).open(path)?;
    path.parent().map_or(Ok(()), sync_folder)?;
    Ok(file)
}

/// The parts' file, with room for a part at its place. Its name is made to last when the upload begins.
fn part_files(path: &Path, at: u64, size: u64) -> std::io::Result<(File, Option<Direct>)> {
    let file = OpenOptions::new().write(true).open(path)?;
    disk::make_room(&file, at, size)?;
    Ok((file, Direct::open(path)))
}

/// A file that is gone is gone; one that stays is swept at the next start.
fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "a file of the object store stays until the next start");
    }
}

/// Deletes what no row knows.
fn sweep(
    places: &Places,
    blobs: &BTreeSet<String>,
    uploads: &BTreeSet<String>,
) -> std::io::Result<()> {
    for shard in std::fs::read_dir(places.objects())? {
        for file in std::fs::read_dir(shard?.path())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            // An upload's id is its blob's name: one whose completion broke off goes on from there.
            if !blobs.contains(&name) && !uploads.contains(&name) {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    for file in std::fs::read_dir(places.incoming())? {
        std::fs::remove_file(file?.path())?;
    }
    for folder in std::fs::read_dir(places.uploads())? {
        let folder = folder?;
        if !uploads.contains(folder.file_name().to_string_lossy().as_ref()) {
            std::fs::remove_dir_all(folder.path())?;
        }
    }
    Ok(())
}
