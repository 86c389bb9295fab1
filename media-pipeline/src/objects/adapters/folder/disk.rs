//! The disk: what of it may fail stands behind a trait, so that tests can let it.

use crate::ports::ObjectError;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

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
