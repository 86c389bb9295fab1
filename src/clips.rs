//! Shared clips: their service and its ports, the doors on the edge, and the gRPC port, put together.

mod access;
mod admin;
pub(crate) mod aws;
mod embedded;
mod gone;
mod grpc;
mod hints;
mod keys;
mod messages;
mod origins;
mod playback;
mod remembered;
mod rooms;
mod running;
mod tell;

use crate::config::{ClipsBackend, Config};
use crate::data::DataDir;
use crate::notify::Prepared as Notifications;
use access::{cloudfront, hook, tokens};
use anyhow::Context as _;
use axum::Router;
use grpc::Port;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::service::Chat;
use kaiwa_media_pipeline::adapters::sqlite::SqliteStore as ClipRows;
use kaiwa_media_pipeline::authz::{PermissionHook, Tokens};
use kaiwa_media_pipeline::core::rules::Rules;
use kaiwa_media_pipeline::ffmpeg::FfmpegTranscoder;
use kaiwa_media_pipeline::mediaconvert::WebhookOptions;
use kaiwa_media_pipeline::playback as played;
use kaiwa_media_pipeline::ports::{ClipStore, Inspector, Objects, Transcoder};
use kaiwa_media_pipeline::service::{self, Options};
use kaiwa_platform::queue::DeadLetters;
use kaiwa_signaling::edge::tls::Certificates;
use messages::Messages;
use rooms::Rooms;
pub(crate) use running::Started;
use std::sync::Arc;
use std::time::Duration;
use tell::Tell;

/// What is there before chat is.
pub(crate) enum Prepared {
    /// Switched off by the settings.
    Off,
    /// Something is missing on this machine; what, and what to do.
    Missing(String),
    /// All is there.
    Here(Box<Here>),
}

/// Everything that clips need besides chat.
pub(crate) struct Here {
    store: Arc<dyn ClipStore>,
    backend: Backend,
    keys: Arc<played::PlaybackKeys>,
    tokens: Tokens,
    hook: Option<PermissionHook>,
    cloudfront: Option<played::CloudFront>,
    callers: Option<WebhookOptions>,
    origins: Vec<String>,
    port: Option<Port>,
    options: Options,
}

/// Who keeps and transcodes.
struct Backend {
    objects: Arc<dyn Objects>,
    inspector: Arc<dyn Inspector>,
    transcoder: Arc<dyn Transcoder>,
    /// Processes of ours that have to be ended.
    local: Option<Local>,
    /// Doors of its own on the edge.
    routes: Router,
    queues: Vec<DeadLetters>,
    /// Rows in another place than the data folder.
    store: Option<Arc<dyn ClipStore>>,
    /// For the announcement.
    told: String,
}

/// FFmpeg on this machine.
struct Local(Arc<FfmpegTranscoder>);

/// Opens tables, folders and ports.
///
/// # Errors
/// A setting, a key file, the database, or a port that is taken.
pub(crate) async fn prepare(
    config: &Config,
    data: &DataDir,
    chat: &SqliteStore,
    certificates: Option<&Arc<Certificates>>,
) -> anyhow::Result<Prepared> {
    let settings = &config.clips;
    if !settings.enabled {
        return Ok(Prepared::Off);
    }
    let tools = match embedded::tools() {
        Ok(tools) => tools,
        Err(missing) => {
            tracing::warn!("clips are off: {missing}");
            return Ok(Prepared::Missing(missing));
        }
    };
    service::describe();
    let database = chat.database();
    let store = ClipRows::open(database.clone()).await;
    let store = store.context("the tables of clips")?;
    let port = Port::bind(config, certificates).await?;
    let backend = match settings.backend {
        ClipsBackend::Embedded => embedded::open(config, data, database, tools).await?,
        ClipsBackend::Aws => aws::open(config, data, tools).await?,
    };
    let aws = settings.aws.as_ref();
    let mut rules = Rules {
        keep_failed: Duration::from_secs(settings.keep_failed_s.into()),
        ..Rules::default()
    };
    if let Some(aws) = aws {
        rules.poll_remote = Duration::from_secs(aws.ask_after_s.into());
    }
    Ok(Prepared::Here(Box::new(Here {
        store: backend.store.clone().unwrap_or_else(|| Arc::new(store)),
        backend,
        keys: keys::playback(data)?,
        tokens: tokens(settings, data.token_key(&config.auth)?)?,
        hook: settings.permission_hook.as_ref().map(hook).transpose()?,
        cloudfront: aws
            .and_then(|aws| aws.cloudfront.as_ref().map(cloudfront))
            .transpose()?,
        callers: aws
            .and_then(|aws| aws.webhook.as_ref().map(hints::callers))
            .transpose()?,
        origins: origins::origins(settings),
        port,
        options: Options {
            rules,
            max_bytes: settings.max_bytes,
            bytes_per_day: settings.bytes_per_day,
            storage_bytes: settings.storage_bytes,
            segment_s: settings.segment_s,
            open: settings.uploads_at_once,
            ..Options::default()
        },
    })))
}

impl Prepared {
    /// Starts what there is.
    ///
    /// # Errors
    /// Keys of the webhook.
    pub(crate) fn start(
        self,
        chat: &Chat,
        names: &SqliteStore,
        notify: Option<&Notifications>,
    ) -> anyhow::Result<Started> {
        Ok(match self {
            Self::Off => Started::Off("off".to_owned()),
            Self::Missing(why) => Started::Closed(format!("off: {why}")),
            Self::Here(here) => {
                let tell = Tell {
                    announce: notify.map(Notifications::announce),
                    topic: notify.map(Notifications::topic),
                };
                let messages = Messages::new(chat.clone(), names.clone(), tell);
                Started::Running(Arc::new(here.start(
                    Rooms(chat.clone()),
                    messages,
                    names,
                )?))
            }
        })
    }
}
