//! Bytes on their way to S3: parts that clients have sent become an object, and the server's own files.

use super::{S3Objects, errors, mark, part, sha256, size, time};
use crate::checksum::{Checksum, ChecksumKind};
use crate::objects::key::{check_key, check_type};
use crate::ports::{ObjectError, ObjectInfo, Part};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kaiwa_common::limits::OBJECT_STRIDE_BYTES;

impl S3Objects {
    pub(super) async fn begin_upload(
        &self,
        key: &str,
        content_type: &str,
        checksum: ChecksumKind,
    ) -> Result<String, ObjectError> {
        check_key(key)?;
        check_type(content_type)?;
        let call = self
            .s3
            .create_multipart_upload()
            .bucket(self.bucket())
            .key(key);
        let call = call
            .content_type(content_type)
            .checksum_algorithm(match checksum {
                ChecksumKind::Sha256 => ChecksumAlgorithm::Sha256,
                ChecksumKind::Crc32c => ChecksumAlgorithm::Crc32C,
            });
        let begun = call.send().await.map_err(errors::call)?;
        let nameless = || ObjectError::Unavailable("S3 gave no upload".to_owned());
        begun.upload_id.ok_or_else(nameless)
    }

    pub(super) async fn arrived(&self, key: &str, upload: &str) -> Result<Vec<Part>, ObjectError> {
        check_key(key)?;
        let call = self
            .s3
            .list_parts()
            .bucket(self.bucket())
            .key(key)
            .upload_id(upload);
        let mut pages = call.into_paginator().items().send();
        let mut parts = Vec::new();
        while let Some(found) = pages.next().await {
            parts.extend(part(&found.map_err(errors::call)?));
        }
        Ok(parts)
    }

    pub(super) async fn finish(
        &self,
        key: &str,
        upload: &str,
        wanted: &[Part],
    ) -> Result<ObjectInfo, ObjectError> {
        check_key(key)?;
        if !wanted.is_sorted_by(|a, b| a.number < b.number) {
            return Err(ObjectError::Mismatch(
                "the parts are not in order".to_owned(),
            ));
        }
        let mut kinds = wanted
            .iter()
            .filter_map(|part| part.checksum)
            .map(|sum| sum.kind());
        if let Some(first) = kinds.next()
            && kinds.any(|kind| kind != first)
        {
            return Err(ObjectError::Mismatch(
                "the parts' checksums are of two kinds".to_owned(),
            ));
        }
        // With every part's mark and sum S3 is asked at once, and is the judge of them. Else it lists what it has.
        let is_told = !wanted.is_empty() && wanted.iter().all(|part| part.checksum.is_some());
        let parts = if is_told {
            wanted.to_vec()
        } else {
            match self.arrived(key, upload).await {
                Ok(arrived) => chosen(arrived, wanted)?,
                // Completed before, perhaps: then the object is there, as large as its parts.
                Err(ObjectError::NotFound) => return self.finished(key, wanted).await,
                Err(error) => return Err(error),
            }
        };
        let completed = parts.iter().map(|part| {
            let named = CompletedPart::builder()
                .part_number(i32::try_from(part.number).unwrap_or(i32::MAX))
                .e_tag(format!("\"{}\"", part.etag.trim_matches('"')));
            let named = match part.checksum {
                Some(sum @ Checksum::Sha256(_)) => named.checksum_sha256(sum.base64()),
                Some(sum @ Checksum::Crc32c(_)) => named.checksum_crc32_c(sum.base64()),
                None => named,
            };
            named.build()
        });
        let completed = CompletedMultipartUpload::builder()
            .set_parts(Some(completed.collect()))
            .build();
        let call = self
            .s3
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .upload_id(upload);
        match call
            .multipart_upload(completed)
            .send()
            .await
            .map_err(errors::call)
        {
            Ok(_) => {}
            // Somebody else was quicker with the same parts.
            Err(ObjectError::NotFound) => return self.finished(key, &parts).await,
            Err(error) => return Err(error),
        }
        self.look(key).await?.ok_or(ObjectError::NotFound)
    }

    async fn finished(&self, key: &str, wanted: &[Part]) -> Result<ObjectInfo, ObjectError> {
        let info = self.look(key).await?.ok_or(ObjectError::NotFound)?;
        let size: u64 = wanted.iter().map(|part| part.size).sum();
        if wanted.is_empty() || size == info.size {
            Ok(info)
        } else {
            Err(ObjectError::NotFound)
        }
    }

    pub(super) async fn look(&self, key: &str) -> Result<Option<ObjectInfo>, ObjectError> {
        check_key(key)?;
        let call = self.s3.head_object().bucket(self.bucket()).key(key);
        let found = call.checksum_mode(ChecksumMode::Enabled).send().await;
        match found.map_err(errors::call) {
            Ok(found) => Ok(Some(ObjectInfo {
                key: key.to_owned(),
                size: size(found.content_length()),
                etag: mark(found.e_tag()),
                sha256: sha256(found.e_tag(), found.checksum_sha256()),
                modified: time(found.last_modified()),
            })),
            Err(ObjectError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores the server's own bytes: small ones at once, others in parts, of which one is in memory.
    pub(super) async fn send(
        &self,
        key: &str,
        content_type: &str,
        bytes: BoxStream<'_, std::io::Result<Bytes>>,
        size: u64,
    ) -> Result<ObjectInfo, ObjectError> {
        check_key(key)?;
        check_type(content_type)?;
        let mut bytes = Cut {
            bytes,
            rest: BytesMut::new(),
            left: size,
        };
        if size <= OBJECT_STRIDE_BYTES {
            let body = bytes.next().await?;
            bytes.end().await?;
            let call = self
                .s3
                .put_object()
                .bucket(self.bucket())
                .key(key)
                .content_type(content_type);
            let call = call
                .checksum_sha256(sum(&body))
                .body(ByteStream::from(body));
            call.send().await.map_err(errors::call)?;
            return self.look(key).await?.ok_or(ObjectError::NotFound);
        }
        let upload = self
            .begin_upload(key, content_type, ChecksumKind::Sha256)
            .await?;
        let sent = self.send_parts(key, &upload, &mut bytes).await;
        match sent {
            Ok(()) => self.finish(key, &upload, &[]).await,
            Err(error) => {
                // One that stays is found by its age.
                let _ = self.give_up(key, &upload).await;
                Err(error)
            }
        }
    }

    async fn send_parts(
        &self,
        key: &str,
        upload: &str,
        bytes: &mut Cut<'_>,
    ) -> Result<(), ObjectError> {
        let mut number = 1;
        while bytes.left > 0 {
            let body = bytes.next().await?;
            let call = self
                .s3
                .upload_part()
                .bucket(self.bucket())
                .key(key)
                .upload_id(upload);
            let call = call.part_number(number).checksum_sha256(sum(&body));
            call.body(ByteStream::from(body))
                .send()
                .await
                .map_err(errors::call)?;
            number += 1;
        }
        bytes.end().await
    }

    pub(super) async fn give_up(&self, key: &str, upload: &str) -> Result<(), ObjectError> {
        check_key(key)?;
        let call = self
            .s3
            .abort_multipart_upload()
            .bucket(self.bucket())
            .key(key)
            .upload_id(upload);
        match call.send().await.map_err(errors::call) {
            Ok(_) | Err(ObjectError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn sum(bytes: &[u8]) -> String {
    ChecksumKind::Sha256.sum(bytes).base64()
}

/// The parts that were named, each as it was named; all, if none were.
fn chosen(arrived: Vec<Part>, wanted: &[Part]) -> Result<Vec<Part>, ObjectError> {
    if arrived.is_empty() {
        return Err(ObjectError::Mismatch("there are no parts".to_owned()));
    }
    if wanted.is_empty() {
        return Ok(arrived);
    }
    let named = wanted.iter().map(|wanted| {
        let found = arrived.iter().find(|part| part.number == wanted.number);
        let missing = || ObjectError::Mismatch(format!("part {} has not arrived", wanted.number));
        let found = found.ok_or_else(missing)?;
        let is_same = wanted.etag.trim_matches('"') == found.etag
            && wanted.size == found.size
            && (wanted.checksum.is_none() || wanted.checksum == found.checksum);
        if is_same {
            Ok(found.clone())
        } else {
            Err(ObjectError::Mismatch(format!(
                "part {} is another",
                wanted.number
            )))
        }
    });
    named.collect()
}

/// A stream in pieces of a part's size, which has to be as long as was promised.
struct Cut<'a> {
    bytes: BoxStream<'a, std::io::Result<Bytes>>,
    rest: BytesMut,
    left: u64,
}

impl Cut<'_> {
    async fn next(&mut self) -> Result<Bytes, ObjectError> {
        let want = usize::try_from(self.left.min(OBJECT_STRIDE_BYTES)).unwrap_or(usize::MAX);
        while self.rest.len() < want {
            let Some(piece) = self.bytes.next().await else {
                return Err(ObjectError::Mismatch(
                    "fewer bytes than promised".to_owned(),
                ));
            };
            let broken = |error: std::io::Error| {
                ObjectError::Mismatch(format!("the bytes broke off: {}", error.kind()))
            };
            self.rest.extend_from_slice(&piece.map_err(broken)?);
        }
        self.left -= want as u64;
        Ok(self.rest.split_to(want).freeze())
    }

    async fn end(&mut self) -> Result<(), ObjectError> {
        let is_over = self.rest.is_empty() && self.bytes.next().await.is_none();
        if is_over {
            Ok(())
        } else {
            Err(ObjectError::Mismatch("more bytes than promised".to_owned()))
        }
    }
}
