//! The disk: what of it may fail stands behind a trait, so that tests can let it.

use crate::ports::ObjectError;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

/// Writing, and the room for it.
pub trait Disk: Send + Sync + 'static {
    /// Bytes that may still be written there.
    ///
    /// # Errors
    /// The operating system's.
    fn free(&self, folder: &Path) -> io::Result<u64>;

    /// Writes all of these, one after another, from that place on.
    ///
    /// # Errors
    /// The operating system's; then some of it may be there.
    fn write_at(&self, file: &File, pieces: &mut [IoSlice<'_>], at: u64) -> io::Result<()>;

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

    fn write_at(&self, file: &File, mut pieces: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
        // What is empty is passed over, so that a write of nothing means a disk that takes nothing.
        IoSlice::advance_slices(&mut pieces, 0);
        while !pieces.is_empty() {
            let many = pieces.get(..IOV_MAX).unwrap_or(pieces);
            match rustix::io::pwritev(file, many, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    IoSlice::advance_slices(&mut pieces, written);
                    at += written as u64;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// Pieces that Linux takes in one write (`limits.h`).
const IOV_MAX: usize = 1024;

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
