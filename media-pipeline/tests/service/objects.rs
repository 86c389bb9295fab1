//! An object store in memory.

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::checksum::ChecksumKind;
use kaiwa_media_pipeline::model::UploadMode;
use kaiwa_media_pipeline::ports::{
    Answer, Credentials, ObjectError, ObjectInfo, Objects, Part, PartPlan, Reading, SignedForm,
    SignedRequest,
};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

#[derive(Default)]
struct State {
    objects: BTreeMap<String, (u64, UnixMs)>,
    uploads: BTreeMap<(String, String), u64>,
    begun: u32,
    kinds: Vec<Option<ChecksumKind>>,
}

pub(crate) struct Memory {
    state: Mutex<State>,
    /// Calls that fail from now on.
    pub(crate) failing: AtomicU32,
    /// Completions wait for a permit of it.
    pub(crate) gate: Semaphore,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            failing: AtomicU32::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl Memory {
    /// Stores an object, as a client or a transcoder does.
    pub(crate) fn store(&self, key: &str, size: u64, at: UnixMs) {
        let mut state = self.state.lock().unwrap();
        state.objects.insert(key.to_owned(), (size, at));
    }

    pub(crate) fn upload_arrives(&self, size: u64) {
        let mut state = self.state.lock().unwrap();
        for bytes in state.uploads.values_mut() {
            *bytes = size;
        }
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    /// Kinds of checksum with which uploads were begun.
    pub(crate) fn begun_with(&self) -> Vec<Option<ChecksumKind>> {
        self.state.lock().unwrap().kinds.clone()
    }

    pub(crate) fn uploads(&self) -> usize {
        self.state.lock().unwrap().uploads.len()
    }

    fn with<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut State) -> Result<T, ObjectError>,
    ) -> Answer<'static, T, ObjectError> {
        let fails = self
            .failing
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        let done = if fails.is_ok() {
            Err(ObjectError::Unavailable("scripted".to_owned()))
        } else {
            run(&mut self.state.lock().unwrap())
        };
        Box::pin(std::future::ready(done))
    }
}

fn info(key: &str, size: u64, modified: UnixMs) -> ObjectInfo {
    ObjectInfo {
        key: key.to_owned(),
        size,
        etag: format!("e{}", modified.0),
        sha256: None,
        modified,
    }
}

impl Objects for Memory {
    fn modes(&self) -> &[UploadMode] {
        &[
            UploadMode::Multipart,
            UploadMode::Post,
            UploadMode::Credentials,
        ]
    }

    fn begin<'a>(
        &'a self,
        key: &'a str,
        _: &'a str,
        checksum: Option<ChecksumKind>,
    ) -> Answer<'a, String, ObjectError> {
        self.with(move |state| {
            state.kinds.push(checksum);
            state.begun += 1;
            let id = format!("u{}", state.begun);
            state.uploads.insert((key.to_owned(), id.clone()), 0);
            Ok(id)
        })
    }

    fn sign_part<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        part: &'a PartPlan,
        _: Duration,
    ) -> Answer<'a, SignedRequest, ObjectError> {
        self.with(|state| {
            let known = state
                .uploads
                .contains_key(&(key.to_owned(), upload.to_owned()));
            known.then_some(()).ok_or(ObjectError::NotFound)?;
            Ok(SignedRequest {
                method: "PUT",
                url: format!("/o/{upload}/{}", part.number),
                headers: BTreeMap::new(),
                expires: UnixMs(0),
            })
        })
    }

    fn sign_post<'a>(
        &'a self,
        key: &'a str,
        content_type: &'a str,
        _: u64,
        _: Duration,
    ) -> Answer<'a, SignedForm, ObjectError> {
        self.with(|_| {
            Ok(SignedForm {
                url: key.to_owned(),
                fields: BTreeMap::from([("Content-Type".to_owned(), content_type.to_owned())]),
                expires: UnixMs(0),
            })
        })
    }

    fn credentials<'a>(
        &'a self,
        key: &'a str,
        _: &'a str,
        _: Duration,
    ) -> Answer<'a, Credentials, ObjectError> {
        self.with(|_| {
            Ok(Credentials {
                access_key_id: "a".to_owned(),
                secret_access_key: Secret::new("s".to_owned()),
                session_token: Secret::new("t".to_owned()),
                region: "r".to_owned(),
                bucket: "b".to_owned(),
                key: key.to_owned(),
                endpoint: None,
                expires: UnixMs(0),
            })
        })
    }

    fn parts<'a>(&'a self, key: &'a str, upload: &'a str) -> Answer<'a, Vec<Part>, ObjectError> {
        self.with(|state| {
            let known = state.uploads.get(&(key.to_owned(), upload.to_owned()));
            let size = *known.ok_or(ObjectError::NotFound)?;
            Ok(vec![Part {
                number: 1,
                size,
                etag: "e".to_owned(),
                checksum: None,
            }])
        })
    }

    fn complete<'a>(
        &'a self,
        key: &'a str,
        upload: &'a str,
        _: &'a [Part],
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        Box::pin(async move {
            self.gate.acquire().await.unwrap().forget();
            let done = self.with(|state| {
                let known = state.uploads.remove(&(key.to_owned(), upload.to_owned()));
                let size = known.ok_or(ObjectError::NotFound)?;
                state.objects.insert(key.to_owned(), (size, UnixMs(0)));
                Ok(info(key, size, UnixMs(0)))
            });
            done.await
        })
    }

    fn abort<'a>(&'a self, key: &'a str, upload: &'a str) -> Answer<'a, (), ObjectError> {
        self.with(|state| {
            state.uploads.remove(&(key.to_owned(), upload.to_owned()));
            Ok(())
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> Answer<'a, Option<ObjectInfo>, ObjectError> {
        self.with(|state| {
            let found = state.objects.get(key);
            Ok(found.map(|(size, at)| info(key, *size, *at)))
        })
    }

    fn read<'a>(&'a self, _: &'a str, _: Option<(u64, u64)>) -> Answer<'a, Reading, ObjectError> {
        self.with(|_| Err(ObjectError::NotFound))
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        _: &'a str,
        bytes: BoxStream<'a, std::io::Result<Bytes>>,
        size: u64,
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        Box::pin(async move {
            let pieces: Vec<_> = bytes.collect().await;
            assert!(pieces.iter().all(Result::is_ok));
            self.store(key, size, UnixMs(0));
            Ok(info(key, size, UnixMs(0)))
        })
    }

    fn local_path(&self, _: &str) -> Option<std::path::PathBuf> {
        None
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> Answer<'a, Vec<ObjectInfo>, ObjectError> {
        self.with(|state| {
            let found = state.objects.iter().filter(|(key, _)| {
                key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)
            });
            Ok(found
                .take(3)
                .map(|(key, (size, at))| info(key, *size, *at))
                .collect())
        })
    }

    fn delete_prefix<'a>(&'a self, prefix: &'a str) -> Answer<'a, u64, ObjectError> {
        assert!(prefix.ends_with('/'), "{prefix}");
        self.with(|state| {
            let before = state.objects.len();
            state.objects.retain(|key, _| !key.starts_with(prefix));
            Ok(u64::try_from(before - state.objects.len()).unwrap())
        })
    }

    fn stale_uploads(&self, _: UnixMs) -> Answer<'_, Vec<(String, String)>, ObjectError> {
        self.with(|state| Ok(state.uploads.keys().cloned().collect()))
    }
}
