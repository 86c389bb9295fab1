//! A source as a file for programs, and how they are told to read it.

use crate::ports::{InspectError, ObjectError, Objects};
use futures_util::StreamExt;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// A source as a file: the store's own, or a copy that goes with this.
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    copy: bool,
}

/// How a copy's name begins.
const COPY: &str = "source-";

impl Fetched {
    /// Removes the copies that a killed server left in `work`.
    pub(super) fn remove_leftovers(work: &Path) {
        let Ok(entries) = std::fs::read_dir(work) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(COPY) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    pub(crate) async fn get(
        objects: &dyn Objects,
        key: &str,
        work: &Path,
    ) -> Result<Self, ObjectError> {
        let io = |error: std::io::Error| ObjectError::Unavailable(error.to_string());
        if let Some(path) = objects.local_path(key) {
            // Programs run in `/`.
            let path = std::path::absolute(path).map_err(io)?;
            return Ok(Self { path, copy: false });
        }
        tokio::fs::create_dir_all(work).await.map_err(io)?;
        let mut reading = objects.read(key, None).await?;
        let fetched = Self {
            path: std::path::absolute(work)
                .map_err(io)?
                .join(format!("{COPY}{}", uuid::Uuid::now_v7())),
            copy: true,
        };
        let mut file = tokio::fs::File::create(&fetched.path).await.map_err(io)?;
        let mut size = 0;
        while let Some(piece) = reading.bytes.next().await {
            let piece = piece?;
            size += piece.len() as u64;
            file.write_all(&piece).await.map_err(io)?;
        }
        file.flush().await.map_err(io)?;
        if size != reading.info.size {
            return Err(ObjectError::Unavailable(
                "the source came in part".to_owned(),
            ));
        }
        Ok(fetched)
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.copy {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// `-protocol_whitelist file … -f … -i file:…`
pub(crate) fn input(demuxer: &str, file: &Path) -> Vec<OsString> {
    // 300 megapixels: what policy refuses, but no more, may be unpacked to be told its reason.
    let mut args = words(&["-protocol_whitelist", "file", "-max_pixels", "300000000"]);
    if demuxer == "mov" {
        // The defaults, said because everything hangs on them: no track's data come from another file.
        args.extend(words(&["-enable_drefs", "0", "-use_absolute_path", "0"]));
    }
    args.extend(words(&["-f", demuxer, "-i"]));
    let mut name = OsString::from("file:");
    name.push(file);
    args.push(name);
    args
}

pub(crate) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Of a whole file; half a second for 500 MB.
pub(super) async fn sha256(path: PathBuf) -> Result<[u8; 32], InspectError> {
    let hash = move || -> std::io::Result<[u8; 32]> {
        let mut file = std::fs::File::open(path)?;
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => context.update(&buffer[..read]),
            }
        }
        context
            .finish()
            .as_ref()
            .try_into()
            .map_err(std::io::Error::other)
    };
    let unavailable = |error: String| InspectError::Unavailable(error);
    tokio::task::spawn_blocking(hash)
        .await
        .map_err(|error| unavailable(error.to_string()))?
        .map_err(|error| unavailable(error.kind().to_string()))
}
