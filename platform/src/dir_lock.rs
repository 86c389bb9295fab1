//! One server for each data folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Why a data folder was not locked.
#[derive(Debug, thiserror::Error)]
pub enum DirLockError {
    /// Another process has it: stop that one, or use another folder.
    #[error("another server is using the data folder {0}")]
    Taken(PathBuf),
    /// The folder or its lock file cannot be made or opened.
    #[error("the data folder {path} cannot be used")]
    Io {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Holds a data folder for this process, until it is dropped or the process ends in any way: the
/// kernel lets go of an advisory lock (`flock`) with its owner, so that no stale file is left to clean.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// The lock's file within the folder. It is never deleted: deleting it would let a third process
    /// lock a new file of the same name beside the holder of the old one.
    pub const FILE: &'static str = "lock";

    /// Makes the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// [`DirLockError::Taken`] when another process holds it; [`DirLockError::Io`] otherwise.
    pub fn acquire(dir: &Path) -> Result<Self, DirLockError> {
        let failed = |source| DirLockError::Io {
            path: dir.to_owned(),
            source,
        };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(Self::FILE))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DirLockError::Taken(dir.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_server_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = DirLock::acquire(dir.path()).unwrap();
        assert!(matches!(
            DirLock::acquire(dir.path()),
            Err(DirLockError::Taken(_))
        ));
        drop(held);
        DirLock::acquire(dir.path()).unwrap();
    }
}
