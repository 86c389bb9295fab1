//! An object of its parts: without a copy where the parts stand one after another.

use super::disk::{Places, refused, sync_folder};
use super::index::{self, ObjectRow, PartRow, UploadRow};
use super::write::joined;
use super::{FolderObjects, check_kind, check_upload};
use crate::checksum::ChecksumKind;
use crate::objects::hex;
use crate::objects::key::check_key;
use crate::ports::{ObjectError, ObjectInfo, Part};
use ring::digest;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

impl FolderObjects {
    pub(super) async fn make(
        &self,
        key: &str,
        upload: &str,
        wanted: &[Part],
    ) -> Result<ObjectInfo, ObjectError> {
        check_key(key)?;
        check_upload(upload)?;
        let claimed = self.claim_all(upload);
        let (claim, is_written) =
            claimed.ok_or_else(|| ObjectError::Unavailable("it is being completed".to_owned()))?;
        let (k, u) = (key.to_owned(), upload.to_owned());
        let found = self.look(move |db| {
            let row = index::upload(db, &k, &u)?;
            Ok((row, index::parts(db, &u)?, index::find(db, &k)?))
        });
        let (row, parts, object) = found.await?;
        let row = row.ok_or(ObjectError::NotFound)?;
        if let Some(etag) = &row.done_etag {
            // Said again after success; unless the object was replaced or deleted since.
            let info = object
                .map(|object| object.info)
                .filter(|info| info.etag == *etag);
            return info.ok_or(ObjectError::NotFound);
        }
        let arrived = parts.len();
        let parts = chosen(parts, wanted, row.checksum)?;
        let etag = etag(upload, &parts);
        // Of several there is none, as in S3: taking it costs as much as all the rest of an upload.
        let sha256 = match parts.as_slice() {
            [only] => only.checksum.sha256(),
            _ => None,
        };
        let may_move = !is_written && parts.len() == arrived;
        let (places, id) = (self.inner.places.clone(), upload.to_owned());
        let UploadRow {
            stride,
            content_type,
            ..
        } = row;
        let stride = stride.unwrap_or(0);
        let work = tokio::task::spawn_blocking(move || {
            let upload = Joining {
                places,
                id,
                stride,
                parts,
            };
            (claim, upload.join(may_move))
        });
        // The claim ends with this call: until the commit nobody else makes the object.
        let (_claim, result) = joined(work.await)?;
        let size = result.map_err(|error| refused(&error))?;
        let info = ObjectInfo {
            key: key.to_owned(),
            size,
            etag,
            sha256,
            modified: self.now(),
        };
        let row = ObjectRow {
            info: info.clone(),
            blob: upload.to_owned(),
            content_type,
        };
        let id = upload.to_owned();
        let before = self
            .change(move |db| index::complete(db, &id, &row))
            .await?;
        self.forget(before).await;
        self.remove_upload(upload).await;
        Ok(info)
    }

    /// Deletes an upload's folder; what stays is swept at the next start.
    pub(super) async fn remove_upload(&self, upload: &str) {
        let folder = self.inner.places.upload(upload);
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder));
        if let Ok(Err(error)) = removed.await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "an upload's folder stays until the next start");
        }
    }
}

/// The parts that were named, each as it was named; all, if none were.
fn chosen(
    arrived: Vec<PartRow>,
    wanted: &[Part],
    kind: ChecksumKind,
) -> Result<Vec<PartRow>, ObjectError> {
    let mismatch = |what: String| Err(ObjectError::Mismatch(what));
    if arrived.is_empty() {
        return mismatch("there are no parts".to_owned());
    }
    if wanted.is_empty() {
        return Ok(arrived);
    }
    if !wanted.is_sorted_by(|a, b| a.number < b.number) {
        return mismatch("the parts are not in order".to_owned());
    }
    let mut chosen = Vec::with_capacity(wanted.len());
    for part in wanted {
        let found = arrived.binary_search_by_key(&part.number, |row| row.number);
        let Some(row) = found.ok().and_then(|place| arrived.get(place)) else {
            return mismatch(format!("part {} has not arrived", part.number));
        };
        check_kind(kind, part.checksum.as_ref())?;
        let is_same = part.etag.trim_matches('"') == row.part().etag
            && part.size == row.size
            && part.checksum.is_none_or(|sum| sum == row.checksum);
        if !is_same {
            return mismatch(format!("part {} is another", part.number));
        }
        chosen.push(row.clone());
    }
    Ok(chosen)
}

/// As S3's: a mark over the parts' marks, and how many they are. Over the upload's id too: other bytes with the same
/// CRC-32C are easily made, and the mark has to tell them apart.
fn etag(upload: &str, parts: &[PartRow]) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(upload.as_bytes());
    for part in parts {
        hash.update(part.checksum.bytes());
    }
    let marks = hash.finish();
    format!("{}-{}", hex(&marks.as_ref()[..16]), parts.len())
}

/// Parts that become one.
struct Joining {
    places: Places,
    id: String,
    stride: u64,
    parts: Vec<PartRow>,
}

impl Joining {
    /// Puts the parts under the object's final name, durably; gives the bytes of the whole. Done again
    /// after a crash it goes on from wherever that was.
    ///
    /// The parts' file itself becomes the object where they stand one after another in it, no other part has
    /// arrived, and nobody writes to it; else they are copied.
    fn join(&self, may_move: bool) -> io::Result<u64> {
        let (data, blob) = (self.places.data(&self.id), self.places.blob(&self.id));
        let size = self.parts.iter().map(|part| part.size).sum();
        // Without `data`, its becoming the object was the last thing before a crash.
        if data.try_exists()? {
            let ready = if may_move && stands_in_place(&self.parts, self.stride) {
                self.fill(size)?;
                data
            } else {
                self.copy()?
            };
            std::fs::rename(&ready, &blob)?;
            blob.parent().map_or(Ok(()), sync_folder)?;
        }
        if std::fs::metadata(&blob)?.len() != size {
            return Err(io::Error::other(
                "these are not the parts that it is made of",
            ));
        }
        Ok(size)
    }

    /// Brings the few parts that came twice to their places, and cuts off what failed after the last one.
    fn fill(&self, size: u64) -> io::Result<()> {
        let data = OpenOptions::new()
            .write(true)
            .open(self.places.data(&self.id))?;
        for part in &self.parts {
            if let Some(name) = &part.file {
                let from = File::open(self.places.upload(&self.id).join(name))?;
                copy_bytes(&from, 0, &data, self.place(part), part.size)?;
            }
        }
        data.set_len(size)?;
        data.sync_all()
    }

    /// Writes all parts one after another into a new file; the parts stay.
    fn copy(&self) -> io::Result<std::path::PathBuf> {
        let folder = self.places.upload(&self.id);
        let whole = folder.join("whole");
        let to = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&whole)?;
        let shared = File::open(self.places.data(&self.id))?;
        let mut at = 0;
        for part in &self.parts {
            match &part.file {
                Some(name) => copy_bytes(&File::open(folder.join(name))?, 0, &to, at, part.size)?,
                None => copy_bytes(&shared, self.place(part), &to, at, part.size)?,
            }
            at += part.size;
        }
        to.sync_all()?;
        Ok(whole)
    }

    fn place(&self, part: &PartRow) -> u64 {
        u64::from(part.number - 1) * self.stride
    }
}

/// Parts 1 to n, all as long as a place but the last.
fn stands_in_place(parts: &[PartRow], stride: u64) -> bool {
    let last = parts.len() - 1;
    parts
        .iter()
        .zip(0_u32..)
        .enumerate()
        .all(|(place, (part, number))| {
            part.number == number + 1
                && (part.size == stride || (place == last && part.size < stride))
        })
}

fn copy_bytes(from: &File, begin: u64, to: &File, at: u64, size: u64) -> io::Result<()> {
    let mut done = 0;
    let mut buffer = vec![0; BUFFER];
    while done < size {
        let want = usize::try_from(size - done).unwrap_or(BUFFER).min(BUFFER);
        let piece = buffer.get_mut(..want).unwrap_or_default();
        from.read_exact_at(piece, begin + done)?;
        to.write_all_at(piece, at + done)?;
        done += want as u64;
    }
    Ok(())
}

const BUFFER: usize = 256 * 1024;
