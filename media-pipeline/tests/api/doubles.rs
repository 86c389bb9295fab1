//! What playback stands on, in memory: objects, a room's epoch, clips.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::checksum::ChecksumKind;
use kaiwa_media_pipeline::model::{Clip, ClipId, UploadMode};
use kaiwa_media_pipeline::playback::{Playable, PlayableClips};
use kaiwa_media_pipeline::ports::{
    Action, Answer as PortAnswer, Asker, Credentials, ObjectError, ObjectInfo, Objects, Part,
    PartPlan, Reading, RoomAuthz, SignedForm, SignedRequest, StoreError, Verdict,
};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Where the clips' objects are.
pub(crate) const PREFIX: &str = "video/alice/2026/11/c/";

/// Objects that are there, by key.
#[derive(Default)]
pub(crate) struct Held(pub(crate) BTreeMap<String, Vec<u8>>);

impl Held {
    fn info(&self, key: &str) -> Option<ObjectInfo> {
        Some(ObjectInfo {
            key: key.to_owned(),
            size: u64::try_from(self.0.get(key)?.len()).expect("small"),
            etag: "tag-1".to_owned(),
            sha256: None,
            modified: UnixMs(0),
        })
    }
}

type Objected<'a, T> = PortAnswer<'a, T, ObjectError>;

fn no<'a, T: Send + 'a>() -> Objected<'a, T> {
    Box::pin(async { Err(ObjectError::Unsupported("it only reads")) })
}

impl Objects for Held {
    fn modes(&self) -> &[UploadMode] {
        &[]
    }
    fn begin<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<ChecksumKind>,
    ) -> Objected<'a, String> {
        no()
    }
    fn sign_part<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a PartPlan,
        _: Duration,
    ) -> Objected<'a, SignedRequest> {
        no()
    }
    fn sign_post<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: u64,
        _: Duration,
    ) -> Objected<'a, SignedForm> {
        no()
    }
    fn credentials<'a>(&'a self, _: &'a str, _: &'a str, _: Duration) -> Objected<'a, Credentials> {
        no()
    }
    fn parts<'a>(&'a self, _: &'a str, _: &'a str) -> Objected<'a, Vec<Part>> {
        no()
    }
    fn complete<'a>(&'a self, _: &'a str, _: &'a str, _: &'a [Part]) -> Objected<'a, ObjectInfo> {
        no()
    }
    fn abort<'a>(&'a self, _: &'a str, _: &'a str) -> Objected<'a, ()> {
        no()
    }
    fn head<'a>(&'a self, key: &'a str) -> Objected<'a, Option<ObjectInfo>> {
        Box::pin(async { Ok(self.info(key)) })
    }
    fn read<'a>(&'a self, key: &'a str, range: Option<(u64, u64)>) -> Objected<'a, Reading> {
        Box::pin(async move {
            let info = self.info(key).ok_or(ObjectError::NotFound)?;
            let (from, to) = range.unwrap_or((0, info.size));
            let at = |place: u64| usize::try_from(place).expect("small");
            let bytes = Bytes::copy_from_slice(&self.0[key][at(from)..at(to)]);
            let bytes = stream::iter([Ok(bytes)]).boxed();
            Ok(Reading { info, bytes })
        })
    }
    fn put<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: BoxStream<'a, std::io::Result<Bytes>>,
        _: u64,
    ) -> Objected<'a, ObjectInfo> {
        no()
    }
    fn local_path(&self, _: &str) -> Option<std::path::PathBuf> {
        None
    }
    fn list<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> Objected<'a, Vec<ObjectInfo>> {
        no()
    }
    fn delete_prefix<'a>(&'a self, _: &'a str) -> Objected<'a, u64> {
        no()
    }
    fn stale_uploads(&self, _: UnixMs) -> Objected<'_, Vec<(String, String)>> {
        no()
    }
}

/// The room's epoch.
pub(crate) struct Epoch(
    pub(crate) AtomicU64,
    pub(crate) Mutex<Result<Option<UserId>, StoreError>>,
);

impl RoomAuthz for Epoch {
    fn check<'a>(
        &'a self,
        _: Asker<'a>,
        _: &'a RoomId,
        _: Action,
    ) -> PortAnswer<'a, Verdict, StoreError> {
        Box::pin(async { Ok(Verdict::Allowed) })
    }
    fn still<'a>(
        &'a self,
        user: Option<&'a UserId>,
        _: &'a RoomId,
    ) -> PortAnswer<'a, bool, StoreError> {
        let gone = self.1.lock().expect("gone").clone();
        Box::pin(async move { gone.map(|gone| gone.is_none_or(|gone| user != Some(&gone))) })
    }
    fn epoch<'a>(&'a self, _: &'a RoomId) -> PortAnswer<'a, u64, StoreError> {
        Box::pin(async { Ok(self.0.load(Ordering::Relaxed)) })
    }
}

/// Clips that are there, or no store.
pub(crate) struct Known(pub(crate) Mutex<Option<BTreeMap<ClipId, Clip>>>);

impl PlayableClips for Known {
    fn playable(&self, clip: ClipId) -> PortAnswer<'_, Option<Playable>, StoreError> {
        Box::pin(async move {
            let known = self.0.lock().expect("clips");
            let known = known
                .as_ref()
                .ok_or(StoreError::Unavailable("down".to_owned()))?;
            Ok(known.get(&clip).and_then(|clip| Playable::of(clip, PREFIX)))
        })
    }
}
