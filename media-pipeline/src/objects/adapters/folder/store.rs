//! The folder as the port asks for it.

use super::disk::{refused, sync_folder};
use super::write::joined;
use super::{FolderObjects, Incoming, check_plan, check_upload, index};
use crate::checksum::ChecksumKind;
use crate::model::UploadMode;
use crate::objects::http::{FORM_PATH, PART_PATH};
use crate::objects::key::{check_key, check_prefix, check_type};
use crate::objects::sign::{FormClaim, PartClaim};
use crate::ports::{
    Answer, Credentials, ObjectError, ObjectInfo, Objects, Part, PartPlan, Reading, SignedForm,
    SignedRequest,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

impl Objects for FolderObjects {
    fn modes(&self) -> &[UploadMode] {
        &[UploadMode::Multipart, UploadMode::Post]
    }

    fn begin<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        checksum: Option<ChecksumKind>,
    ) -> Answer<'a, String, ObjectError> {
        Box::pin(async move {
            check_key(key)?;
            check_type(content_type)?;
            self.room_for(0)?;
            let id = Uuid::new_v4().simple().to_string();
            let (folder, uploads) = (self.inner.places.upload(&id), self.inner.places.uploads());
            let made = tokio::task::spawn_blocking(move || {
                std::fs::create_dir(&folder)?;
                std::fs::File::create_new(folder.join("data"))?;
                sync_folder(&folder)?;
                sync_folder(&uploads)
            });
            joined(made.await)?.map_err(|error| refused(&error))?;
            let (row, key, content_type, now) = (
                id.clone(),
                key.to_owned(),
                content_type.to_owned(),
                self.now(),
            );
            let checksum = checksum.unwrap_or(ChecksumKind::UNASKED);
            self.change(move |db| index::begin(db, &row, &key, &content_type, checksum, now))
                .await?;
            Ok(id)
        })
    }

    fn sign_part<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        part: &'a PartPlan,
        ttl: Duration,
    ) -> Answer<'a, SignedRequest, ObjectError> {
        Box::pin(async move {
            check_key(key)?;
            check_upload(upload)?;
            check_plan(part)?;
            let expires = self.now().plus(ttl);
            let token = self.keys().sign_part(&PartClaim {
                key: key.to_owned(),
                upload: upload.to_owned(),
                part: part.clone(),
                expires,
            });
            let mut headers =
                BTreeMap::from([("content-length".to_owned(), part.size.to_string())]);
            if let Some(sum) = part.checksum {
                headers.insert(sum.kind().header().to_owned(), sum.base64());
            }
            Ok(SignedRequest {
                method: "PUT",
                url: format!("{PART_PATH}?t={token}"),
                headers,
                expires,
            })
        })
    }

    fn sign_post<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        max: u64,
        ttl: Duration,
    ) -> Answer<'a, SignedForm, ObjectError> {
        Box::pin(async move {
            check_key(key)?;
            check_type(content_type)?;
            let expires = self.now().plus(ttl);
            let claim = FormClaim {
                key: key.to_owned(),
                content_type: content_type.to_owned(),
                max,
                expires,
            };
            let fields = BTreeMap::from([("token".to_owned(), self.keys().sign_form(&claim))]);
            Ok(SignedForm {
                url: FORM_PATH.to_owned(),
                fields,
                expires,
            })
        })
    }

    fn credentials<'a>(
        &'a self,
        _key: &'a str,
        _session: &'a str,
        _ttl: Duration,
    ) -> Answer<'a, Credentials, ObjectError> {
        Box::pin(std::future::ready(Err(ObjectError::Unsupported(
            "temporary credentials",
        ))))
    }

    fn parts<'a>(&'a self, key: &'a str, upload: &'a str) -> Answer<'a, Vec<Part>, ObjectError> {
        Box::pin(async move {
            let (key, upload) = (key.to_owned(), upload.to_owned());
            let found = self.look(move |db| {
                let open = index::upload(db, &key, &upload)?.filter(|row| row.done_etag.is_none());
                open.map(|_| index::parts(db, &upload)).transpose()
            });
            let rows = found.await?.ok_or(ObjectError::NotFound)?;
            Ok(rows.iter().map(index::PartRow::part).collect())
        })
    }

    fn complete<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        parts: &'a [Part],
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        Box::pin(self.make(key, upload, parts))
    }

    fn abort<'a>(&'a self, key: &'a str, upload: &'a str) -> Answer<'a, (), ObjectError> {
        Box::pin(async move {
            // What is no id of ours is no upload: gone already.
            if check_upload(upload).is_err() {
                return Ok(());
            }
            let claimed = self.claim_all(upload);
            let (_claim, _) = claimed
                .ok_or_else(|| ObjectError::Unavailable("it is being completed".to_owned()))?;
            let (key, id) = (key.to_owned(), upload.to_owned());
            if self.change(move |db| index::abort(db, &key, &id)).await? {
                self.forget([upload.to_owned()]).await;
                self.remove_upload(upload).await;
            }
            Ok(())
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ObjectInfo>, ObjectError> {
        Box::pin(async move {
            check_key(key)?;
            let key = key.to_owned();
            let row = self.look(move |db| index::find(db, &key)).await?;
            Ok(row.map(|row| row.info))
        })
    }

    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<(u64, u64)>,
    ) -> Answer<'a, Reading, ObjectError> {
        Box::pin(self.open_object(key, range))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        mut bytes: BoxStream<'a, std::io::Result<Bytes>>,
        size: u64,
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        Box::pin(async move {
            let incoming: Incoming<'_> = &mut bytes;
            self.store(key, content_type, incoming, (size, size)).await
        })
    }

    fn local_path(&self, key: &str) -> Option<PathBuf> {
        self.path_of(key)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> Answer<'a, Vec<ObjectInfo>, ObjectError> {
        Box::pin(async move {
            let (prefix, after) = (prefix.to_owned(), after.unwrap_or_default().to_owned());
            let rows = self
                .look(move |db| index::list(db, &prefix, &after))
                .await?;
            Ok(rows.into_iter().map(|row| row.info).collect())
        })
    }

    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> Answer<'a, u64, ObjectError> {
        Box::pin(async move {
            check_prefix(prefix)?;
            let mut deleted = 0;
            loop {
                let below = prefix.to_owned();
                let blobs = self.change(move |db| index::delete(db, &below)).await?;
                if blobs.is_empty() {
                    break;
                }
                deleted += blobs.len() as u64;
                self.forget(blobs).await;
            }
            let below = prefix.to_owned();
            let open = self
                .look(move |db| index::open_uploads(db, UnixMs(i64::MAX), &below))
                .await?;
            for (key, upload) in open {
                self.abort(&key, &upload).await?;
            }
            Ok(deleted)
        })
    }

    fn stale_uploads(&self, before: UnixMs) -> Answer<'_, Vec<(String, String)>, ObjectError> {
        Box::pin(self.look(move |db| index::open_uploads(db, before, "")))
    }
}
