//! From registering to knowing what the bytes are.

use super::{Arrived, Effect, Next, Verdict, error};
use crate::model::{Chore, ClipError, ClipKind, ClipState, Outputs, Source, Upload, UploadMode};
use std::collections::BTreeMap;

impl Next<'_> {
    pub(super) fn granted(&mut self, upload: &Upload) -> Verdict {
        if !self.is_open() {
            return self.refused();
        }
        if self.clip.upload.as_ref() == Some(upload) {
            return Verdict::Stale;
        }
        let id = |upload: &Upload| upload.id.clone();
        let (old, new) = (self.clip.upload.as_ref().and_then(id), id(upload));
        if old.is_some() && old == new {
            return Verdict::Stale;
        }
        if let (Some(_), Some(new)) = (old, new) {
            // Two asked at once: the first one's parts may be under way already.
            self.chore(Chore::AbortUpload(new));
            return Verdict::Stale;
        }
        // One way in at a time: parts in an older upload would be paid for and never seen.
        let old = self.clip.upload.replace(upload.clone());
        if let Some(id) = old.and_then(|old| old.id)
            && upload.id.as_ref() != Some(&id)
        {
            self.chore(Chore::AbortUpload(id));
        }
        if self.clip.state == ClipState::Created {
            self.to(ClipState::Uploading);
        }
        self.look_later();
        Verdict::Taken
    }

    pub(super) fn arrived(&mut self, arrived: Arrived) -> Verdict {
        if matches!(
            self.clip.state,
            ClipState::Expired | ClipState::Rejected | ClipState::Cancelled | ClipState::Deleted
        ) {
            // A way in that was still good when the clip ended: what came by it must not stay.
            self.chore(Chore::Erase);
            return Verdict::Conflict;
        }
        if !self.is_open() {
            return Verdict::Stale;
        }
        let declared = &self.clip.declared;
        if arrived.size != declared.size {
            let message = format!(
                "{} bytes arrived where {} were promised",
                arrived.size, declared.size
            );
            return self.reject(error("SIZE_MISMATCH", &message, false));
        }
        if is_other(declared.sha256, arrived.sha256) {
            let message = "the bytes that arrived have another SHA-256 than was promised";
            return self.reject(error("CHECKSUM_MISMATCH", message, false));
        }
        self.to(ClipState::Uploaded);
        self.begin(Effect::Inspect);
        Verdict::Taken
    }

    pub(super) fn absent(&mut self) -> Verdict {
        if !self.is_open() {
            return Verdict::Stale;
        }
        if self.at.now < self.upload_ends() {
            return Verdict::Stale;
        }
        self.expire();
        Verdict::Taken
    }

    pub(super) fn inspecting(&mut self, mark: &str) -> Verdict {
        match self.clip.state {
            ClipState::Uploaded => self.to(ClipState::Validating),
            ClipState::Validating => {}
            ClipState::Created
            | ClipState::Uploading
            | ClipState::Submitted
            | ClipState::Processing
            | ClipState::Verifying
            | ClipState::Ready
            | ClipState::Expired
            | ClipState::Rejected
            | ClipState::Failed
            | ClipState::Cancelled
            | ClipState::Deleted => return Verdict::Stale,
        }
        self.clip.chores.seen = Some(mark.to_owned());
        self.wait(self.at.rules.lease);
        Verdict::Taken
    }

    pub(super) fn inspected(&mut self, source: &Source) -> Verdict {
        if !self.is_looked_at() {
            return Verdict::Stale;
        }
        if is_other(self.clip.declared.sha256, source.sha256) {
            let message = "the bytes that arrived have another SHA-256 than was promised";
            return self.reject(error("CHECKSUM_MISMATCH", message, false));
        }
        self.clip.kind = kind(source);
        self.clip.source = Some(source.clone());
        // Stays when the clip is deleted: what was used of a day's minutes is used.
        self.clip.chores.media = source.duration;
        if self.clip.kind == ClipKind::Video {
            self.new_attempt();
            let attempt = self.clip.attempt;
            self.begin(Effect::Submit(attempt));
        } else {
            // Pictures and sound are shared as they are: what has to be there is the source.
            self.clip.outputs = Some(nothing());
            self.to(ClipState::Verifying);
            self.begin(Effect::Verify);
        }
        Verdict::Taken
    }

    pub(super) fn unfit(&mut self, error: &ClipError) -> Verdict {
        if !self.is_looked_at() {
            return Verdict::Stale;
        }
        self.reject(error.clone())
    }

    /// Nothing came: the upload is thrown away.
    pub(super) fn expire(&mut self) {
        self.drop_upload();
        self.chore(Chore::Erase);
        let message = "the upload did not come in time: register the clip again";
        self.end(ClipState::Expired, error("UPLOAD_EXPIRED", message, false));
    }

    pub(super) fn drop_upload(&mut self) {
        if let Some(id) = self.clip.upload.as_ref().and_then(|u| u.id.clone())
            && self.is_open()
        {
            self.chore(Chore::AbortUpload(id));
        }
    }

    /// When the upload is given up.
    pub(super) fn upload_ends(&self) -> kaiwa_common::time::UnixMs {
        let from_registering = self.clip.created.plus(self.at.rules.upload);
        let upload = self.clip.upload.as_ref();
        upload.map_or(from_registering, |upload| upload.expires)
    }

    /// Looks for a lost object event, the less often the older the upload is, and at its end.
    pub(super) fn look_later(&mut self) {
        let (least, most) = self.at.rules.look;
        let age = self.at.now.since(self.clip.created);
        let wait = (age / 2).clamp(least, most);
        let ends = self.upload_ends();
        let end = ends.since(self.at.now);
        self.wait(if end.is_zero() { least } else { wait.min(end) });
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.clip.state, ClipState::Created | ClipState::Uploading)
    }

    fn is_looked_at(&self) -> bool {
        matches!(self.clip.state, ClipState::Uploaded | ClipState::Validating)
    }

    fn reject(&mut self, error: ClipError) -> Verdict {
        self.drop_upload();
        self.chore(Chore::Erase);
        self.end(ClipState::Rejected, error);
        self.chore(Chore::TellFailed(self.clip.attempt));
        Verdict::Taken
    }
}

/// What the bytes are decides, not what was said of them.
fn kind(source: &Source) -> ClipKind {
    match &source.video {
        Some(_) if source.duration.is_zero() => ClipKind::Image,
        Some(_) => ClipKind::Video,
        None => ClipKind::Audio,
    }
}

fn is_other(promised: Option<[u8; 32]>, found: Option<[u8; 32]>) -> bool {
    matches!((promised, found), (Some(a), Some(b)) if a != b)
}

fn nothing() -> Outputs {
    Outputs {
        playlist: None,
        renditions: Vec::new(),
        poster: None,
        sprite: None,
        files: BTreeMap::new(),
    }
}

/// True where the way in goes past us: its end is not in our hands.
pub(super) fn is_direct(upload: Option<&Upload>) -> bool {
    upload.is_some_and(|upload| upload.mode != UploadMode::Multipart)
}
