//! Clips on this machine: bytes in the data folder, FFmpeg for the rest.

use super::{Backend, Local, keys};
use crate::config::Config;
use crate::data::DataDir;
use anyhow::Context as _;
use kaiwa_media_pipeline::cage::Tools;
use kaiwa_media_pipeline::ffmpeg::FfmpegTranscoder;
use kaiwa_media_pipeline::inspect::FfprobeInspector;
use kaiwa_media_pipeline::inspect::policy::Policy;
use kaiwa_media_pipeline::objects::http::{HttpOptions, router};
use kaiwa_media_pipeline::objects::{FolderObjects, FolderOptions};
use kaiwa_media_pipeline::ports::{Objects, Transcoder};
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::sqlite::Sqlite;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// FFmpeg's programs and what limits them, or why there are none.
pub(super) fn tools() -> Result<Tools, String> {
    let path = std::env::var("PATH").unwrap_or_default();
    Tools::find(&path).map_err(|missing| {
        if missing.starts_with("ff") {
            "FFmpeg is not installed (apt-get install ffmpeg)".to_owned()
        } else {
            missing
        }
    })
}

/// What may be shared.
pub(super) fn policy(config: &Config) -> Policy {
    Policy {
        max_bytes: config.clips.max_bytes,
        max_duration: Duration::from_secs(config.clips.max_duration_s.into()),
        ..Policy::default()
    }
}

/// Where FFmpeg works.
pub(super) fn work(data: &DataDir) -> PathBuf {
    data.path().join("transcoding")
}

/// Opens the folder and takes up the jobs of the server before.
pub(super) async fn open(
    config: &Config,
    data: &DataDir,
    database: Sqlite,
    tools: Tools,
) -> anyhow::Result<Backend> {
    let options = FolderOptions::new(data.path().join("objects"));
    let keys = keys::uploads(data)?;
    let folder = FolderObjects::open(database, Arc::new(SystemClock), keys, options).await;
    let folder = folder.context("the objects in the data folder")?;
    let objects: Arc<dyn Objects> = Arc::new(folder.clone());
    let inspector = FfprobeInspector::new(
        Arc::clone(&objects),
        tools.clone(),
        policy(config),
        work(data).join("looked-at"),
    );
    let told = match tools.version().await {
        Ok(version) => format!("FFmpeg {version}"),
        Err(error) => {
            tracing::warn!(%error, "FFmpeg does not say its version");
            "FFmpeg".to_owned()
        }
    };
    let transcoder = FfmpegTranscoder::start(Arc::clone(&objects), tools, work(data));
    let transcoder = Arc::new(transcoder.context("the folder of transcoding")?);
    Ok(Backend {
        objects,
        inspector: Arc::new(inspector),
        transcoder: Arc::clone(&transcoder) as Arc<dyn Transcoder>,
        local: Some(Local(transcoder)),
        routes: router(folder, HttpOptions::default()),
        queues: Vec::new(),
        store: None,
        told,
    })
}
