//! Messages of clips that people deleted: the clips hear of it.

use kaiwa_chat::adapters::sqlite::{GoneClip, SqliteStore};
use kaiwa_media_pipeline::ports::StoreError;
use kaiwa_media_pipeline::service::ClipService;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Between two looks that nobody asked for: what a crash left, and what could not be told at once. A deletion in this process
/// is heard of when it is committed.
const ROUND: Duration = Duration::from_secs(10);

/// From one look to the next where not all that was found could be told.
const AGAIN: Duration = Duration::from_secs(1);

/// Heard of in one round.
const AT_ONCE: usize = 100;

/// Tells the clips of each deleted message until it is dropped: when `deleted` rings, and now and then. What a crash left is
/// found by the next server: it is written with the deletion, and forgotten only once the clip's row says so.
pub(super) async fn follow(chat: SqliteStore, deleted: Arc<Notify>, clips: ClipService) {
    loop {
        let wait = match chat.gone_clips(AT_ONCE).await {
            Ok(gone) if gone.is_empty() => ROUND,
            Ok(gone) => {
                if hear(&chat, &clips, gone).await {
                    continue;
                }
                AGAIN
            }
            Err(error) => {
                tracing::warn!(%error, "deleted messages of clips are looked for later");
                AGAIN
            }
        };
        let _ = tokio::time::timeout(wait, deleted.notified()).await;
    }
}

/// Gives whether all of them were told and forgotten.
async fn hear(chat: &SqliteStore, clips: &ClipService, gone: Vec<GoneClip>) -> bool {
    let (all, mut heard) = (gone.len(), Vec::new());
    for one in gone {
        let told = clips.message_deleted(one.clip, one.room.clone(), one.seq.0);
        match told.await {
            Ok(()) => heard.push(one),
            // It can't be played either.
            Err(StoreError::Broken(error)) => {
                tracing::error!(clip = %one.clip, error, "a clip that can't be read");
                heard.push(one);
            }
            Err(error) => {
                tracing::warn!(clip = %one.clip, %error, "its message is gone: told later");
            }
        }
    }
    let is_all = heard.len() == all;
    if heard.is_empty() {
        return is_all;
    }
    if let Err(error) = chat.forget_gone(heard).await {
        tracing::warn!(%error, "told once more");
        return false;
    }
    is_all
}
