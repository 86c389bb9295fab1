//! The bucket as the port asks for it.

use super::{S3Objects, errors, grant, listed, mark, sha256, size, time};
use crate::checksum::ChecksumKind;
use crate::model::UploadMode;
use crate::objects::key::{check_key, check_prefix};
use crate::ports::{
    Answer, Credentials, ObjectError, ObjectInfo, Objects, Part, PartPlan, Reading, SignedForm,
    SignedRequest,
};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use kaiwa_common::limits::{OBJECT_PAGE, OBJECT_READ_BYTES};
use kaiwa_common::time::UnixMs;
use std::path::PathBuf;
use std::time::Duration;

impl Objects for S3Objects {
    fn modes(&self) -> &[UploadMode] {
        match self.options.upload_role {
            Some(_) => &[
                UploadMode::Multipart,
                UploadMode::Post,
                UploadMode::Credentials,
            ],
            None => &[UploadMode::Multipart, UploadMode::Post],
        }
    }

    fn begin<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        checksum: Option<ChecksumKind>,
    ) -> Answer<'a, String, ObjectError> {
        Box::pin(async move {
            let kind = checksum.ok_or_else(grant::needed)?;
            self.begin_upload(key, content_type, kind).await
        })
    }

    fn sign_part<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        part: &'a PartPlan,
        ttl: Duration,
    ) -> Answer<'a, SignedRequest, ObjectError> {
        Box::pin(self.presign_part(key, upload, part, ttl))
    }

    fn sign_post<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        max: u64,
        ttl: Duration,
    ) -> Answer<'a, SignedForm, ObjectError> {
        Box::pin(self.presign_post(key, content_type, max, ttl))
    }

    fn credentials<'a>(
        &'a self,
        key: &'a str,
        session: &'a str,
        _ttl: Duration,
    ) -> Answer<'a, Credentials, ObjectError> {
        Box::pin(self.assume(key, session))
    }

    fn parts<'a>(&'a self, key: &'a str, upload: &'a str) -> Answer<'a, Vec<Part>, ObjectError> {
        Box::pin(self.arrived(key, upload))
    }

    fn complete<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        parts: &'a [Part],
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        Box::pin(self.finish(key, upload, parts))
    }

    fn abort<'a>(&'a self, key: &'a str, upload: &'a str) -> Answer<'a, (), ObjectError> {
        Box::pin(self.give_up(key, upload))
    }

    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ObjectInfo>, ObjectError> {
        Box::pin(self.look(key))
    }

    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<(u64, u64)>,
    ) -> Answer<'a, Reading, ObjectError> {
        Box::pin(async move {
            check_key(key)?;
            if range.is_some_and(|(from, to)| to <= from) {
                return Err(ObjectError::Mismatch("the range".to_owned()));
            }
            let range = range.map(|(from, to)| format!("bytes={from}-{}", to - 1));
            let call = self
                .s3
                .get_object()
                .bucket(self.bucket())
                .key(key)
                .set_range(range);
            let found = call.send().await.map_err(errors::call)?;
            // `bytes 0-9/100`
            let whole = found
                .content_range()
                .and_then(|range| range.rsplit_once('/'));
            let whole = whole.and_then(|(_, size)| size.parse().ok());
            let info = ObjectInfo {
                key: key.to_owned(),
                size: whole.unwrap_or(size(found.content_length())),
                etag: mark(found.e_tag()),
                sha256: sha256(found.e_tag(), found.checksum_sha256()),
                modified: time(found.last_modified()),
            };
            Ok(Reading {
                info,
                bytes: pieces(found.body).boxed(),
            })
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        bytes: BoxStream<'a, std::io::Result<Bytes>>,
        size: u64,
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        Box::pin(self.send(key, content_type, bytes, size))
    }

    fn local_path(&self, _key: &str) -> Option<PathBuf> {
        None
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> Answer<'a, Vec<ObjectInfo>, ObjectError> {
        Box::pin(async move {
            let call = self
                .s3
                .list_objects_v2()
                .bucket(self.bucket())
                .prefix(prefix);
            let call = call.set_start_after(after.map(str::to_owned));
            let call = call.max_keys(i32::try_from(OBJECT_PAGE).unwrap_or(1_000));
            let found = call.send().await.map_err(errors::call)?;
            Ok(found.contents().iter().map(listed).collect())
        })
    }

    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> Answer<'a, u64, ObjectError> {
        Box::pin(async move {
            check_prefix(prefix)?;
            let mut deleted = 0;
            loop {
                let found = self.list(prefix, None).await?;
                if found.is_empty() {
                    break;
                }
                self.delete(&found).await?;
                deleted += found.len() as u64;
            }
            for (key, upload) in self.open_uploads(prefix, UnixMs(i64::MAX)).await? {
                self.give_up(&key, &upload).await?;
            }
            Ok(deleted)
        })
    }

    fn stale_uploads(&self, before: UnixMs) -> Answer<'_, Vec<(String, String)>, ObjectError> {
        Box::pin(self.open_uploads("", before))
    }
}

impl S3Objects {
    /// One page of objects; all of them, or an error.
    async fn delete(&self, found: &[ObjectInfo]) -> Result<(), ObjectError> {
        let broken = |error: aws_sdk_s3::error::BuildError| ObjectError::Refused(error.to_string());
        let keys = found
            .iter()
            .map(|info| ObjectIdentifier::builder().key(&info.key).build());
        let keys = keys.collect::<Result<Vec<_>, _>>().map_err(broken)?;
        let delete = Delete::builder()
            .set_objects(Some(keys))
            .quiet(true)
            .build()
            .map_err(broken)?;
        let call = self
            .s3
            .delete_objects()
            .bucket(self.bucket())
            .delete(delete);
        let answer = call.send().await.map_err(errors::call)?;
        match answer.errors().first() {
            None => Ok(()),
            Some(error) => Err(ObjectError::Refused(format!(
                "not deleted: {:?}",
                error.code()
            ))),
        }
    }

    /// Those begun before that time, below that prefix.
    async fn open_uploads(
        &self,
        prefix: &str,
        before: UnixMs,
    ) -> Result<Vec<(String, String)>, ObjectError> {
        let mut open = Vec::new();
        let (mut key, mut upload) = (None, None);
        loop {
            let call = self
                .s3
                .list_multipart_uploads()
                .bucket(self.bucket())
                .prefix(prefix);
            let call = call.set_key_marker(key).set_upload_id_marker(upload);
            let page = call.send().await.map_err(errors::call)?;
            let old = page
                .uploads()
                .iter()
                .filter(|found| time(found.initiated()) < before);
            open.extend(old.filter_map(|found| {
                Some((found.key()?.to_owned(), found.upload_id()?.to_owned()))
            }));
            let is_full = open.len() >= usize::try_from(OBJECT_PAGE).unwrap_or(usize::MAX);
            if is_full || page.is_truncated() != Some(true) || page.next_key_marker.is_none() {
                return Ok(open);
            }
            (key, upload) = (page.next_key_marker, page.next_upload_id_marker);
        }
    }
}

/// The body in pieces of at most [`OBJECT_READ_BYTES`].
fn pieces(body: ByteStream) -> impl futures_util::Stream<Item = Result<Bytes, ObjectError>> + Send {
    stream::try_unfold((body, Bytes::new()), |(mut body, mut rest)| async move {
        while rest.is_empty() {
            let broken = |error: aws_sdk_s3::primitives::ByteStreamError| {
                ObjectError::Unavailable(error.to_string())
            };
            match body.try_next().await.map_err(broken)? {
                Some(piece) => rest = piece,
                None => return Ok(None),
            }
        }
        let piece = rest.split_to(rest.len().min(OBJECT_READ_BYTES));
        Ok(Some((piece, (body, rest))))
    })
}
