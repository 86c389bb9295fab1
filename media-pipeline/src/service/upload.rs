//! Registering, ways in, and the end of an upload.

use super::Inner;
use super::access::Need;
use super::answer::{objects, store};
use super::effects::arrived;
use super::parts::{
    check_checksums, check_parts, first_checksum, invalid, open_checksum, part_size,
};
use super::requests::Fingerprint;
use crate::api::{ApiError, Caller, Grant, NewClip, Violation, WantGrant};
use crate::checksum::ChecksumKind;
use crate::core::names;
use crate::core::step::{Effect, Input};
use crate::core::text::is_line;
use crate::model::{Chore, Chores, Clip, ClipId, ClipKind, ClipState, Upload, UploadMode};
use crate::ports::{ObjectError, ObjectInfo, Part, PartPlan, Request, StoreError};
use kaiwa_common::limits::{
    CLIP_GRANT, CLIP_LABELS, CLIP_NAME_BYTES, CLIP_POST_BYTES, CLIP_TITLE_CHARS,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

impl Inner {
    pub(super) async fn create(
        self: &Arc<Self>,
        caller: &Caller,
        new: NewClip,
    ) -> Result<Clip, ApiError> {
        let wrong = self.wrong(&new);
        if !wrong.is_empty() {
            return Err(ApiError::Invalid(wrong));
        }
        self.room(caller, &new.room, Need::Upload).await?;
        let id = self.new_id();
        let request = self.request(caller, Fingerprint::creating(&new), id)?;
        // Held to the end: of two with the same key the second finds the first's answer.
        let _turn = self.turns.of(&caller.user).await;
        if let Some(clip) = self.replay(request.as_ref()).await? {
            return Ok(clip);
        }
        self.within_quota(&caller.user, new.declared.size).await?;
        let _room = self.within_storage(new.declared.size).await?;
        let clip = self.registered(caller, id, new);
        match self.store.insert(&clip, request.as_ref()).await {
            Ok(revision) => {
                super::metrics::state(clip.state);
                self.hub.publish(revision, &clip);
                let errands = clip.chores.todo.iter().cloned().map(Effect::Run);
                self.hand_out(&clip, errands.collect());
                Ok(clip)
            }
            // Another process was asked the same.
            Err(StoreError::Conflict) => {
                let again = self.replay(request.as_ref()).await?;
                again.ok_or(ApiError::Conflict)
            }
            Err(error) => Err(store(error)),
        }
    }

    fn registered(&self, caller: &Caller, id: ClipId, new: NewClip) -> Clip {
        let now = self.clock.now();
        let ends = now.plus(self.options.rules.upload);
        let lease = now.plus(self.options.rules.lease);
        let mut chores = Chores {
            share: new.share,
            work_due: Some(ends),
            ..Chores::default()
        };
        if new.share {
            chores.todo.push(Chore::Show(1));
            chores.todo_due = Some(lease);
        }
        let named = if new.title.trim().is_empty() {
            new.declared.name.0.chars().take(CLIP_TITLE_CHARS).collect()
        } else {
            new.title
        };
        Clip {
            id,
            room: new.room,
            uploader: caller.user.clone(),
            title: named,
            kind: said(&new.declared.content_type),
            state: ClipState::Created,
            version: 1,
            attempt: 0,
            declared: new.declared,
            upload: None,
            source: None,
            job: None,
            progress: None,
            outputs: None,
            captions: BTreeMap::new(),
            error: None,
            message: None,
            labels: new.labels,
            created: now,
            updated: now,
            due: chores.todo_due.or(chores.work_due),
            chores,
        }
    }

    fn wrong(&self, new: &NewClip) -> Vec<Violation> {
        let mut wrong = Vec::new();
        let mut need = |is_right: bool, field, description: String| {
            if !is_right {
                wrong.push(Violation { field, description });
            }
        };
        let declared = &new.declared;
        let max = self.options.max_bytes;
        let (labels, key_chars, value_chars) = CLIP_LABELS;
        need(
            new.title.chars().count() <= CLIP_TITLE_CHARS && is_line(&new.title),
            "title",
            format!("one line of at most {CLIP_TITLE_CHARS} characters"),
        );
        need(
            (1..=max).contains(&declared.size),
            "declared.size",
            format!("1 to {max} bytes"),
        );
        need(
            (1..=CLIP_NAME_BYTES).contains(&declared.name.0.len()) && is_line(&declared.name.0),
            "declared.name",
            format!("one line of 1 to {CLIP_NAME_BYTES} bytes"),
        );
        need(
            is_content_type(&declared.content_type),
            "declared.content_type",
            "such as video/mp4".to_owned(),
        );
        let fits = |key: &str, value: &str| {
            !key.is_empty()
                && key.chars().count() <= key_chars
                && value.chars().count() <= value_chars
                && is_line(key)
                && is_line(value)
        };
        need(
            new.labels.len() <= labels && new.labels.iter().all(|(k, v)| fits(k, v)),
            "labels",
            format!("at most {labels}, keys of {key_chars} and values of {value_chars} characters"),
        );
        wrong
    }

    /// UUIDv7 by the service's own clock: newest last, also where a test stops it.
    fn new_id(&self) -> ClipId {
        let ms = u64::try_from(self.clock.now().0).unwrap_or(0);
        let mut random = [0; 10];
        random.copy_from_slice(&Uuid::new_v4().as_bytes()[..10]);
        ClipId(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    pub(super) async fn grant(
        self: &Arc<Self>,
        caller: &Caller,
        id: ClipId,
        want: &WantGrant,
    ) -> Result<Grant, ApiError> {
        let print = Fingerprint::granting(id, want);
        let request = self.request(caller, print, id)?;
        let clip = self.uploading(caller, id).await?;
        // Asked again it is signed again: the way in is the same, the first signatures may have expired. Where an upload is
        // open, noting the request says whether it was there; else it is known before anything is begun.
        let is_noted_first = want.mode == UploadMode::Multipart && open_checksum(&clip).is_some();
        let is_again = !is_noted_first && self.replay(request.as_ref()).await?.is_some();
        let request = request.filter(|_| !is_again);
        let request = request.as_ref();
        if !matches!(clip.state, ClipState::Created | ClipState::Uploading) {
            return Err(ApiError::State(clip.state));
        }
        // Outputs may have filled it since this one was registered.
        drop(self.within_storage(0).await?);
        let size = clip.declared.size;
        let is_offered = self.objects.modes().contains(&want.mode);
        let fits = want.mode != UploadMode::Post || size <= CLIP_POST_BYTES;
        if !is_offered || !fits {
            let description = if is_offered {
                format!("at most {CLIP_POST_BYTES} bytes come by a form")
            } else {
                "this server does not offer it".to_owned()
            };
            return Err(invalid("mode", description));
        }
        let key = names::source(&clip);
        match want.mode {
            UploadMode::Multipart => self.sign_parts(clip, &want.parts, request).await,
            UploadMode::Post => {
                self.granted(&clip, want.mode, request).await?;
                let kind = names::source_type(&clip.declared.content_type);
                let form = self.objects.sign_post(&key, kind, size, CLIP_GRANT).await;
                Ok(Grant::Form(form.map_err(objects)?))
            }
            UploadMode::Credentials => {
                self.granted(&clip, want.mode, request).await?;
                // Of the source alone: who could write outputs could get around every check.
                let session = clip.id.0.simple().to_string();
                let given = self.objects.credentials(&key, &session, CLIP_GRANT).await;
                Ok(Grant::Credentials(given.map_err(objects)?))
            }
        }
    }

    async fn sign_parts(
        self: &Arc<Self>,
        mut clip: Clip,
        plans: &[PartPlan],
        request: Option<&Request>,
    ) -> Result<Grant, ApiError> {
        let size = clip.declared.size;
        let part_size = part_size(size);
        check_parts(plans, size, part_size)?;
        let key = names::source(&clip);
        if let Some(checksum) = open_checksum(&clip) {
            check_checksums(checksum, plans.iter().map(|plan| plan.checksum))?;
            self.noted(request).await?;
        } else {
            let first = first_checksum(plans)?;
            let kind = names::source_type(&clip.declared.content_type);
            let upload = self.objects.begin(&key, kind, first).await;
            let upload = Upload {
                checksum: first.unwrap_or(ChecksumKind::UNASKED),
                ..self.way_in(&clip, UploadMode::Multipart, Some(upload.map_err(objects)?))
            };
            clip = self
                .asked(clip.id, &Input::Granted(upload), request)
                .await?;
        }
        // Of two that began at once the first one's holds.
        let Some(Upload {
            id: Some(upload),
            part_size,
            expires,
            checksum,
            ..
        }) = &clip.upload
        else {
            return Err(ApiError::State(clip.state));
        };
        check_checksums(*checksum, plans.iter().map(|plan| plan.checksum))?;
        let mut requests = Vec::with_capacity(plans.len());
        for plan in plans {
            let signed = self.objects.sign_part(&key, upload, plan, CLIP_GRANT).await;
            requests.push((plan.number, signed.map_err(objects)?));
        }
        Ok(Grant::Parts {
            part_size: *part_size,
            requests,
            expires: *expires,
            checksum: *checksum,
        })
    }

    async fn granted(
        self: &Arc<Self>,
        clip: &Clip,
        mode: UploadMode,
        request: Option<&Request>,
    ) -> Result<Clip, ApiError> {
        let upload = self.way_in(clip, mode, None);
        self.asked(clip.id, &Input::Granted(upload), request).await
    }

    fn way_in(&self, clip: &Clip, mode: UploadMode, id: Option<String>) -> Upload {
        Upload {
            mode,
            id,
            part_size: part_size(clip.declared.size),
            checksum: ChecksumKind::UNASKED,
            expires: clip.created.plus(self.options.rules.upload),
        }
    }

    pub(super) async fn parts(&self, caller: &Caller, id: ClipId) -> Result<Vec<Part>, ApiError> {
        let clip = self.uploading(caller, id).await?;
        let upload = clip.upload.as_ref().and_then(|upload| upload.id.as_deref());
        match upload {
            Some(upload) if clip.state == ClipState::Uploading => {
                let parts = self.objects.parts(&names::source(&clip), upload).await;
                parts.map_err(objects)
            }
            Some(_) | None => Err(ApiError::State(clip.state)),
        }
    }

    pub(super) async fn complete(
        self: &Arc<Self>,
        caller: &Caller,
        id: ClipId,
        parts: Vec<Part>,
    ) -> Result<Clip, ApiError> {
        let print = Fingerprint::completing(id, &parts);
        let request = self.request(caller, print, id)?;
        let clip = self.uploading(caller, id).await?;
        if let Some(clip) = self.replay(request.as_ref()).await? {
            return completed(clip);
        }
        let input = match clip.state {
            ClipState::Uploading => arrived(&self.make_whole(&clip, parts).await?),
            ClipState::Uploaded
            | ClipState::Validating
            | ClipState::Submitted
            | ClipState::Processing
            | ClipState::Verifying
            | ClipState::Ready => Input::Asked,
            ClipState::Created
            | ClipState::Expired
            | ClipState::Rejected
            | ClipState::Failed
            | ClipState::Cancelled
            | ClipState::Deleted => return Err(ApiError::State(clip.state)),
        };
        completed(self.asked(id, &input, request.as_ref()).await?)
    }

    async fn make_whole(&self, clip: &Clip, parts: Vec<Part>) -> Result<ObjectInfo, ApiError> {
        let key = names::source(clip);
        if let Some(checksum) = open_checksum(clip) {
            check_checksums(checksum, parts.iter().map(|part| part.checksum))?;
        }
        if let Some(upload) = clip.upload.as_ref().and_then(|upload| upload.id.as_deref()) {
            let listed = if parts.is_empty() {
                self.objects.parts(&key, upload).await
            } else {
                Ok(parts)
            };
            let done = match listed {
                Ok(parts) => self.objects.complete(&key, upload, &parts).await,
                Err(error) => Err(error),
            };
            match done {
                // It may have been completed before, by a call whose answer was lost.
                Err(ObjectError::NotFound) => {}
                done => return done.map_err(objects),
            }
        }
        let head = self.objects.head(&key).await.map_err(objects)?;
        head.ok_or_else(|| ApiError::Corrupt("nothing has arrived".to_owned()))
    }
}

/// What is said to who completed it: that it is not what was promised, or that it was stopped meanwhile.
fn completed(clip: Clip) -> Result<Clip, ApiError> {
    match (clip.state, clip.error.as_ref()) {
        (ClipState::Rejected, Some(error)) => Err(ApiError::Corrupt(error.message.clone())),
        (ClipState::Expired | ClipState::Cancelled | ClipState::Deleted, _) => {
            Err(ApiError::State(clip.state))
        }
        _ => Ok(clip),
    }
}

/// RFC 9110, section 8.3.1, without parameters.
fn is_content_type(text: &str) -> bool {
    let is_token = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
        !part.is_empty() && part.len() <= 64 && part.bytes().all(plain)
    };
    text.split_once('/')
        .is_some_and(|(kind, form)| is_token(kind) && is_token(form))
}

/// Until the bytes say better.
fn said(content_type: &str) -> ClipKind {
    match content_type.split('/').next() {
        Some("image") => ClipKind::Image,
        Some("audio") => ClipKind::Audio,
        Some(_) | None => ClipKind::Video,
    }
}
