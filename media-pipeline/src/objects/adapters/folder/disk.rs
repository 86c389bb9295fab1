//! The disk: what of it may fail stands behind a trait, so that tests can let it.

use super::buffer::ALIGNMENT;
use crate::ports::ObjectError;
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Writing, and the room for it.
pub trait Disk: Send + Sync + 'static {
    /// Bytes that may still be written there.
    ///
    /// # Errors
    /// The operating system's.
    fn free(&self, folder: &Path) -> io::Result<u64>;

    /// Writes all of it at that place.
    ///
    /// # Errors
    /// The operating system's; then some of it may be there.
    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Returns when the file's bytes survive a power loss.
    ///
    /// # Errors
    /// The operating system's; then nothing is known.
    fn sync(&self, file: &File) -> io::Result<()>;
}

/// The operating system's.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn free(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn write_at(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Room for so many bytes at that place: a disk that cannot hold them says so before they come, and they need not be
/// placed while they come. A file system that cannot promise room promises none.
pub(super) fn make_room(file: &File, at: u64, size: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), at, size).map_err(io::Error::from) {
        Err(error) if is_full(&error) => Err(error),
        _ => Ok(()),
    }
}

/// A file written past the page cache. What is uploaded is read once, by the transcoder: kept in the cache it would
/// push out what people play, and cost the copy into it.
pub(super) struct Direct {
    file: File,
    /// The file system opens such files and then refuses to write to them.
    is_refused: AtomicBool,
}

impl Direct {
    /// None where the file system has no such way.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let flag = i32::try_from(OFlags::DIRECT.bits()).ok()?;
        let mut options = OpenOptions::new();
        let file = options.write(true).custom_flags(flag).open(path).ok()?;
        Some(Self {
            file,
            is_refused: AtomicBool::new(false),
        })
    }

    /// Writes as many of the first bytes as go this way: whole blocks at a block's place. Gives how many.
    pub(super) fn write_at(&self, disk: &dyn Disk, bytes: &[u8], at: u64) -> io::Result<usize> {
        let whole = bytes.len() - bytes.len() % ALIGNMENT;
        let is_possible = at.is_multiple_of(ALIGNMENT as u64) && whole > 0;
        if !is_possible || self.is_refused.load(Ordering::Relaxed) {
            return Ok(0);
        }
        match disk.write_at(&self.file, bytes.get(..whole).unwrap_or_default(), at) {
            Ok(()) => Ok(whole),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.is_refused.store(true, Ordering::Relaxed);
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

/// Where things stand in the folder. Names are ids that this store has made, never anybody's text.
#[derive(Debug, Clone)]
pub(super) struct Places {
    root: PathBuf,
}

impl Places {
    /// Makes the folders.
    pub(super) fn make(root: PathBuf) -> io::Result<Self> {
        let places = Self { root };
        for folder in [places.objects(), places.uploads(), places.incoming()] {
            std::fs::create_dir_all(&folder)?;
        }
        for shard in 0..=u8::MAX {
            std::fs::create_dir_all(places.objects().join(format!("{shard:02x}")))?;
        }
        sync_folder(&places.objects())?;
        sync_folder(&places.root)?;
        Ok(places)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(super) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    /// Of whole objects that are being written; empty after a start.
    pub(super) fn incoming(&self) -> PathBuf {
        self.root.join("incoming")
    }

    /// A blob's file. `blob` is 32 hexadecimal digits.
    pub(super) fn blob(&self, blob: &str) -> PathBuf {
        self.objects()
            .join(blob.get(..2).unwrap_or("00"))
            .join(blob)
    }

    /// An upload's folder.
    pub(super) fn upload(&self, upload: &str) -> PathBuf {
        self.uploads().join(upload)
    }

    /// The file in which parts stand at their places.
    pub(super) fn data(&self, upload: &str) -> PathBuf {
        self.upload(upload).join("data")
    }
}

/// Makes renames and new names in it survive a power loss.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What the disk said, in the port's words.
pub(super) fn refused(error: &io::Error) -> ObjectError {
    if is_full(error) {
        return ObjectError::Refused("the disk is full".to_owned());
    }
    let (kind, text) = (error.kind(), error.to_string());
    if kind == io::ErrorKind::NotFound {
        ObjectError::NotFound
    } else if matches!(
        kind,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    ) {
        ObjectError::Refused(text)
    } else {
        ObjectError::Unavailable(text)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
