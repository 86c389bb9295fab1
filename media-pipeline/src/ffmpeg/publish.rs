//! Stores outputs so that no reader finds a playlist whose segments are missing: segments and pictures, then media
//! playlists, then the master.

use super::work::failed;
use crate::model::ClipError;
use crate::ports::{ObjectError, Objects};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;

/// Files that are stored at the same time: most of what a file takes is waiting for the disk.
const AT_ONCE: usize = 4;

/// Stores every file below `out` under `prefix`, and looks that all of them are there.
pub(super) async fn publish(
    objects: &dyn Objects,
    out: &Path,
    prefix: &str,
    mut stored: impl FnMut(usize, usize),
) -> Result<BTreeMap<String, u64>, ClipError> {
    let folder = out.to_owned();
    let listed = tokio::task::spawn_blocking(move || {
        let mut files = Vec::new();
        walk(&folder, "", &mut files).map(|()| files)
    });
    let mut files = listed
        .await
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| failed("DISK", "outputs cannot be read", true))?;
    files.sort_by_key(|(name, _)| (rank(name), name.clone()));
    let (mut written, all) = (BTreeMap::new(), files.len());
    // What others name is there before they are: a rank is begun when the one before has ended.
    for some in files.chunk_by(|(one, _), (next, _)| rank(one) == rank(next)) {
        let some = some.to_vec();
        let puts = some.into_iter().map(|(name, path)| async move {
            let size = put(objects, &format!("{prefix}{name}"), &path).await?;
            Ok((name, size))
        });
        let mut puts = stream::iter(puts).buffer_unordered(AT_ONCE);
        while let Some(put) = puts.next().await {
            let (name, size) = put.map_err(store)?;
            written.insert(name, size);
            stored(written.len(), all);
        }
    }
    for (name, size) in &written {
        let there = objects
            .head(&format!("{prefix}{name}"))
            .await
            .map_err(store)?;
        if there.is_none_or(|info| info.size != *size) {
            return Err(failed(
                "OUTPUT_INVALID",
                "an output was not stored whole",
                true,
            ));
        }
    }
    Ok(written)
}

fn rank(name: &str) -> u8 {
    match name {
        name if name.ends_with("master.m3u8") => 2,
        name if name.ends_with(".m3u8") => 1,
        _ => 0,
    }
}

fn walk(folder: &Path, prefix: &str, into: &mut Vec<(String, PathBuf)>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), into)?;
        } else {
            into.push((name, entry.path()));
        }
    }
    Ok(())
}

async fn put(objects: &dyn Objects, key: &str, path: &Path) -> Result<u64, ObjectError> {
    let io = |error: std::io::Error| ObjectError::Unavailable(error.kind().to_string());
    let file = tokio::fs::File::open(path).await.map_err(io)?;
    let size = file.metadata().await.map_err(io)?.len();
    let bytes = stream::try_unfold(file, |mut file| async move {
        let mut buffer = vec![0; 256 * 1024];
        let read = file.read(&mut buffer).await?;
        buffer.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(buffer), file)))
    });
    objects
        .put(key, content_type(key), bytes.boxed(), size)
        .await?;
    Ok(size)
}

pub(crate) fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("m3u8") => "application/vnd.apple.mpegurl",
        Some("m4s" | "mp4") => "video/mp4",
        Some("jpg") => "image/jpeg",
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("vtt") => "text/vtt",
        _ => "application/octet-stream",
    }
}

fn store(error: ObjectError) -> ClipError {
    failed("STORE_UNAVAILABLE", &error.to_string(), true)
}
