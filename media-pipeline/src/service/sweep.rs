//! Orphans: uploads and objects of no clip, or of one whose objects were erased.

use super::{Inner, metrics};
use crate::core::mark::is_over;
use crate::core::names;
use crate::model::{Clip, ClipId, ClipState};
use crate::ports::{ObjectError, StoreError};
use kaiwa_common::limits::{CLIP_ORPHAN_AGE, CLIP_UPLOAD};
use kaiwa_common::time::UnixMs;
use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

/// Clips on one page whose objects may go without anybody being asked. More look like a store that was put back
/// from an old backup: then nothing is deleted, and operators are told.
const AT_ONCE: usize = 20;

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Inner {
    /// Throws stale uploads away, and looks at the next page of objects.
    pub(super) async fn sweep(&self) {
        for result in [self.sweep_uploads().await, self.sweep_objects().await] {
            match result {
                Ok(count) => metrics::swept(count),
                Err(error) => tracing::warn!(%error, "orphans are looked for later"),
            }
        }
    }

    async fn sweep_uploads(&self) -> Result<u64, SweepError> {
        let before = ago(self.clock.now(), CLIP_UPLOAD);
        let mut count = 0;
        for (key, upload) in self.objects.stale_uploads(before).await? {
            let Some(id) = names::clip_of(&key) else {
                continue;
            };
            let clip = self.store.get(id).await?;
            let is_wanted = clip.is_some_and(|clip| {
                let known = clip.upload.and_then(|upload| upload.id);
                !is_over(clip.state) && known.as_ref() == Some(&upload)
            });
            if !is_wanted {
                self.objects.abort(&key, &upload).await?;
                count += 1;
            }
        }
        Ok(count)
    }

    async fn sweep_objects(&self) -> Result<u64, SweepError> {
        let after = self.cursor().take();
        let page = self.objects.list("video/", after.as_deref()).await?;
        let Some(last) = page.last().map(|object| object.key.clone()) else {
            return Ok(0);
        };
        // Of each clip the newest object: none goes while something of it is young.
        let mut clips: BTreeMap<ClipId, (String, UnixMs)> = BTreeMap::new();
        for object in &page {
            let Some(id) = names::clip_of(&object.key) else {
                continue;
            };
            let prefix = object.key.split_inclusive('/').take(5).collect();
            let entry = clips.entry(id).or_insert((prefix, object.modified));
            entry.1 = entry.1.max(object.modified);
        }
        *self.cursor() = Some(last);
        let old = ago(self.clock.now(), CLIP_ORPHAN_AGE);
        let mut orphans = Vec::new();
        for (id, (prefix, modified)) in clips {
            if modified < old && is_orphan(self.store.get(id).await?.as_ref()) {
                orphans.push(prefix);
            }
        }
        if orphans.len() > AT_ONCE {
            let count = orphans.len();
            tracing::error!(count, "objects of many unknown clips: nothing is deleted");
            return Ok(0);
        }
        let mut count = 0;
        for prefix in orphans {
            count += self.objects.delete_prefix(&prefix).await?;
        }
        Ok(count)
    }

    fn cursor(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_orphan(clip: Option<&Clip>) -> bool {
    clip.is_none_or(|clip| {
        matches!(
            clip.state,
            ClipState::Expired | ClipState::Rejected | ClipState::Cancelled | ClipState::Deleted
        )
    })
}

fn ago(now: UnixMs, age: Duration) -> UnixMs {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    UnixMs(now.0.saturating_sub(age))
}
