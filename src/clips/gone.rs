//! Messages of clips that people deleted: the clips hear of it.

use kaiwa_chat::adapters::sqlite::{GoneClip, SqliteStore};
use kaiwa_media_pipeline::ports::StoreError;
use kaiwa_media_pipeline::service::ClipService;
use std::time::Duration;

/// Between two looks, and so about how long a deleted message's clip can still be played.
const ROUND: Duration = Duration::from_millis(250);

/// Heard of in one round.
const AT_ONCE: usize = 100;

/// Tells the clips of each deleted message until it is dropped. What a crash left is found by the next server: it is
/// written with the deletion, and forgotten only once the clip's row says so.
pub(super) async fn follow(chat: SqliteStore, clips: ClipService) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        match chat.gone_clips(AT_ONCE).await {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => hear(&chat, &clips, gone).await,
            Err(error) => tracing::warn!(%error, "deleted messages of clips are looked for later"),
        }
    }
}

async fn hear(chat: &SqliteStore, clips: &ClipService, gone: Vec<GoneClip>) {
    let mut heard = Vec::new();
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
    if heard.is_empty() {
        return;
    }
    if let Err(error) = chat.forget_gone(heard).await {
        tracing::warn!(%error, "told once more");
    }
}
