//! The same key and request get the first answer; another request with the key is refused.

use super::Inner;
use super::answer::store;
use crate::api::{ApiError, Caller, NewClip, Violation, WantGrant};
use crate::checksum::Checksum;
use crate::core::step::{Input, Verdict};
use crate::model::{Clip, ClipId};
use crate::ports::{Part, Request, StoreError};
use ring::digest::{Context, SHA256};
use std::sync::Arc;
use uuid::Uuid;

/// A request as a hash: every part with its length, so that no two requests give the same bytes.
pub(super) struct Fingerprint(Context);

impl Fingerprint {
    pub(super) fn of(what: &str) -> Self {
        Self(Context::new(&SHA256)).with(what.as_bytes())
    }

    pub(super) fn with(mut self, part: &[u8]) -> Self {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        self.0.update(&length.to_be_bytes());
        self.0.update(part);
        self
    }

    pub(super) fn about(what: &str, clip: ClipId) -> Self {
        Self::of(what).with(clip.0.as_bytes())
    }

    pub(super) fn creating(new: &NewClip) -> Self {
        let declared = &new.declared;
        let mut print = Self::of("create")
            .with(new.room.as_str().as_bytes())
            .with(new.title.as_bytes())
            .with(declared.name.0.as_bytes())
            .with(&declared.size.to_be_bytes())
            .with(declared.sha256.as_ref().map_or(&[][..], |hash| hash))
            .with(declared.content_type.as_bytes())
            .with(&[u8::from(new.share)]);
        for (key, value) in &new.labels {
            print = print.with(key.as_bytes()).with(value.as_bytes());
        }
        print
    }

    pub(super) fn granting(clip: ClipId, want: &WantGrant) -> Self {
        let mut print = Self::about(&format!("grant {:?}", want.mode), clip);
        for part in &want.parts {
            print = print
                .with(&part.number.to_be_bytes())
                .with(&part.size.to_be_bytes())
                .with(part.checksum.as_ref().map_or(&[], Checksum::bytes));
        }
        print
    }

    pub(super) fn completing(clip: ClipId, parts: &[Part]) -> Self {
        let mut print = Self::about("complete", clip);
        for part in parts {
            print = print
                .with(&part.number.to_be_bytes())
                .with(&part.size.to_be_bytes())
                .with(part.etag.as_bytes())
                .with(part.checksum.as_ref().map_or(&[], Checksum::bytes));
        }
        print
    }

    fn finish(self) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

impl Inner {
    /// The request to be stored with its answer; `None` when the caller gave no key.
    pub(super) fn request(
        &self,
        caller: &Caller,
        print: Fingerprint,
        clip: ClipId,
    ) -> Result<Option<Request>, ApiError> {
        let Some(key) = &caller.request_id else {
            return Ok(None);
        };
        let key = Uuid::try_parse(key).map_err(|_| {
            ApiError::Invalid(vec![Violation {
                field: "request_id",
                description: "a UUID".to_owned(),
            }])
        })?;
        // A person's id has no slash in it: the parts cannot be mistaken.
        let service = caller.service.as_deref().unwrap_or_default();
        Ok(Some(Request {
            caller: format!("{}/{service}", caller.user),
            key: key.hyphenated().to_string(),
            hash: print.finish(),
            clip,
            at: self.clock.now(),
        }))
    }

    /// Applies an input, and notes with it that the request was answered.
    pub(super) async fn asked(
        self: &Arc<Self>,
        id: ClipId,
        input: &Input,
        request: Option<&Request>,
    ) -> Result<Clip, ApiError> {
        let applied = match self.apply(id, input, request).await {
            // Asked twice at once: the other one was faster.
            Err(StoreError::Conflict) => {
                let again = self.replay(request).await?;
                return again.ok_or(ApiError::Conflict);
            }
            applied => applied.map_err(store)?,
        };
        let applied = applied.ok_or(ApiError::NotFound)?;
        match applied.verdict {
            Verdict::Refused(state) => Err(ApiError::State(state)),
            Verdict::Taken | Verdict::Stale | Verdict::Park | Verdict::Conflict => Ok(applied.clip),
        }
    }

    /// Notes that the request was answered, where answering it changes nothing.
    pub(super) async fn noted(&self, request: Option<&Request>) -> Result<(), ApiError> {
        let Some(request) = request else {
            return Ok(());
        };
        match self.store.note(request).await {
            // Asked twice at once: the other one was faster.
            Err(StoreError::Conflict) => {
                let again = self.replay(Some(request)).await?;
                again.map(|_| ()).ok_or(ApiError::Conflict)
            }
            noted => noted.map_err(store),
        }
    }

    /// The clip that this request was about, if it was answered.
    pub(super) async fn replay(&self, request: Option<&Request>) -> Result<Option<Clip>, ApiError> {
        let Some(request) = request else {
            return Ok(None);
        };
        let known = self.store.answered(&request.caller, &request.key).await;
        let age = kaiwa_common::limits::CLIP_REQUEST_AGE;
        let known = known
            .map_err(store)?
            .filter(|known| request.at.since(known.at) < age);
        match known {
            None => Ok(None),
            Some(known) if known.hash != request.hash => Err(ApiError::KeyReused),
            Some(known) => {
                crate::replay::mark();
                let clip = self.store.get(known.clip).await.map_err(store)?;
                clip.map(Some).ok_or(ApiError::NotFound)
            }
        }
    }
}
