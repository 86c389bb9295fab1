//! What one person may use: counted one request of a person after the other, within this process.

use super::Inner;
use super::answer::store;
use crate::api::ApiError;
use crate::ports::Usage;
use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

const SHARDS: usize = 64;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A turn for each person; a few share one.
pub(super) struct Turns {
    shards: Vec<Mutex<()>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(())).collect(),
        }
    }
}

impl Turns {
    /// Held from counting to storing, so that two at once are not both the last.
    pub(super) async fn of(&self, user: &UserId) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let shard = hasher.finish() % (SHARDS as u64);
        let shard = usize::try_from(shard).unwrap_or(0);
        self.shards[shard].lock().await
    }
}

impl Inner {
    /// Whether this person may register that much more.
    pub(super) async fn within_quota(&self, user: &UserId, size: u64) -> Result<(), ApiError> {
        let usage = self.usage(user).await?;
        let hour = Some(Duration::from_secs(3_600));
        let (what, retry_after) = if usage.open >= self.options.open {
            ("concurrent uploads", None)
        } else if usage.bytes.saturating_add(size) > self.options.bytes_per_day {
            ("bytes a day", hour)
        } else if usage.media >= self.options.media_per_day {
            ("media minutes a day", hour)
        } else {
            return Ok(());
        };
        super::metrics::refused(what);
        Err(ApiError::Quota { what, retry_after })
    }

    /// A turn for so many bytes more on this server, held until they are noted; `None` where nothing but the disk bounds
    /// them. With 0 bytes more: whether what is promised already fits.
    ///
    /// # Errors
    /// [`ApiError::Quota`] when they do not fit: what others delete makes room.
    pub(super) async fn within_storage(
        &self,
        size: u64,
    ) -> Result<Option<MutexGuard<'_, ()>>, ApiError> {
        if self.options.storage_bytes == 0 {
            return Ok(None);
        }
        let turn = self.filling.lock().await;
        let stored = self.store.stored().await.map_err(store)?.unwrap_or(0);
        if stored.saturating_add(size) <= self.options.storage_bytes {
            return Ok(Some(turn));
        }
        let what = "storage of this server";
        super::metrics::refused(what);
        let retry_after = Some(Duration::from_secs(3_600));
        Err(ApiError::Quota { what, retry_after })
    }

    /// How much longer what this person brings today may play.
    pub(super) async fn minutes_left(&self, user: &UserId) -> Result<Duration, ApiError> {
        let usage = self.usage(user).await?;
        Ok(self.options.media_per_day.saturating_sub(usage.media))
    }

    async fn usage(&self, user: &UserId) -> Result<Usage, ApiError> {
        let now = self.clock.now();
        let day = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
        let since = UnixMs(now.0.saturating_sub(day));
        self.store.usage(user, since).await.map_err(store)
    }
}
