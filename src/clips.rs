//! Shared clips: their service and its ports, the doors on the edge, and the gRPC port, put together.

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
mod rooms;
mod tell;

use crate::config::{Clips as Settings, ClipsBackend, CloudFront, Config, Hook};
use crate::data::{DataDir, read_secret, read_secret_text};
use crate::notify::Prepared as Notifications;
use admin::Admin;
use anyhow::Context as _;
use axum::Router;
use grpc::Port;
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_chat::service::Chat;
use kaiwa_common::limits::{CLIP_CALL_MAX, CLIP_WATCH, HTTP_REQUEST, OBJECT_REQUEST};
use kaiwa_common::token::TokenKey;
use kaiwa_media_pipeline::adapters::sqlite::SqliteStore as ClipRows;
use kaiwa_media_pipeline::api::Clips as Api;
use kaiwa_media_pipeline::authz::{HookConfig, HookedRooms, PermissionHook, Tokens};
use kaiwa_media_pipeline::core::names;
use kaiwa_media_pipeline::core::rules::Rules;
use kaiwa_media_pipeline::ffmpeg::FfmpegTranscoder;
use kaiwa_media_pipeline::front::Front;
use kaiwa_media_pipeline::http;
use kaiwa_media_pipeline::mediaconvert::WebhookOptions;
use kaiwa_media_pipeline::model::Clip;
use kaiwa_media_pipeline::playback as played;
use kaiwa_media_pipeline::ports::{ClipStore, Inspector, Objects, RoomAuthz, Transcoder};
use kaiwa_media_pipeline::service::{self, ClipService, Options, Parts};
use kaiwa_platform::clock::{Clock, SystemClock};
use kaiwa_platform::outbound::{Guard, Outbound, OutboundConfig};
use kaiwa_platform::queue::DeadLetters;
use kaiwa_signaling::edge::guest::{Guests, Rule};
use kaiwa_signaling::edge::tls::Certificates;
use messages::Messages;
use rooms::Rooms;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tell::Tell;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// How much longer than the route's own deadline a connection is left to a request.
const SLACK: Duration = Duration::from_secs(30);

/// What holds for the clips' routes. Each of them bounds its requests itself; these are the edge's nets below.
const RULES: &[Rule] = &[
    Rule {
        prefix: "/objects/",
        answer: OBJECT_REQUEST.saturating_add(SLACK),
        streams_body: true,
        connection: OBJECT_REQUEST.saturating_add(SLACK),
        any_origin: true,
    },
    Rule {
        prefix: "/v/",
        answer: HTTP_REQUEST,
        streams_body: false,
        // A player reads as fast as it plays; after a break it goes on with a range.
        connection: OBJECT_REQUEST,
        any_origin: true,
    },
    Rule {
        prefix: "/api/v1/clips",
        answer: CLIP_CALL_MAX.saturating_add(SLACK),
        streams_body: false,
        connection: CLIP_WATCH.saturating_add(SLACK),
        any_origin: false,
    },
];

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

/// Clips at work.
pub(crate) struct Clips {
    service: ClipService,
    guests: Guests,
    told: String,
    max_bytes: u64,
    drain: CancellationToken,
    grpc: Mutex<Option<JoinHandle<()>>>,
    consumers: Mutex<JoinSet<()>>,
    local: Option<Local>,
}

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
            open: settings.uploads_at_once,
            ..Options::default()
        },
    })))
}

/// Who may ask: people by the key that chat's tokens have, services by theirs.
fn tokens(settings: &Settings, people: TokenKey) -> anyhow::Result<Tokens> {
    let tokens = Tokens::new(people);
    let Some(path) = &settings.service_secret_file else {
        return Ok(tokens);
    };
    let key = TokenKey::hs256(&read_secret(path)?, &settings.service_audience, None);
    let key = key.with_context(|| format!("the secret in {}", path.display()))?;
    let services = settings.services.iter();
    let rules = services.map(|(name, service)| (name.clone(), service.rule()));
    Ok(tokens.with_services(key, rules.collect()))
}

fn hook(settings: &Hook) -> anyhow::Result<PermissionHook> {
    let guard = Guard::new(&settings.allowed_private);
    let extra_roots = match &settings.extra_ca {
        Some(path) => Some(std::fs::read(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let outbound = Outbound::new(OutboundConfig {
        guard: guard.context("clips.permission_hook.allowed_private")?,
        extra_roots,
        ..OutboundConfig::default()
    });
    let outbound = outbound.context("clips.permission_hook.extra_ca")?;
    let config = HookConfig {
        url: settings.url.clone(),
        secret: match &settings.secret_file {
            Some(path) => Some(read_secret_text(path)?),
            None => None,
        },
    };
    let hook = PermissionHook::new(&config, Arc::new(outbound), Arc::new(SystemClock));
    hook.context("clips.permission_hook")
}

fn cloudfront(settings: &CloudFront) -> anyhow::Result<played::CloudFront> {
    let config = played::CloudFrontConfig {
        base: settings.base.clone(),
        key_pair_id: settings.key_pair_id.clone(),
        private_key: read_secret_text(&settings.private_key_file)?,
    };
    played::CloudFront::new(&config).context("clips.aws.cloudfront")
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

/// Clips, as far as there are any.
pub(crate) enum Started {
    /// None, and nobody asks for any.
    Off(String),
    /// None; whoever asks is told why.
    Closed(String),
    /// At work.
    Running(Arc<Clips>),
}

impl Started {
    /// The largest file that is taken, in bytes; 0 for none.
    pub(crate) fn max_bytes(&self) -> u64 {
        match self {
            Self::Off(_) | Self::Closed(_) => 0,
            Self::Running(clips) => clips.max_bytes,
        }
    }

    /// Routes for the edge.
    pub(crate) fn guests(&self) -> Guests {
        match self {
            Self::Off(_) => Guests::default(),
            Self::Closed(why) => Guests::new(http::closed(&format!("clips are {why}")), RULES),
            Self::Running(clips) => clips.guests.clone(),
        }
    }

    /// For the announcement.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Off(told) | Self::Closed(told) => told.clone(),
            Self::Running(clips) => clips.told.clone(),
        }
    }

    /// Ends in order.
    pub(crate) async fn drain(&self, grace: Duration) {
        if let Self::Running(clips) = self {
            clips.drain(grace).await;
        }
    }
}

impl Here {
    fn start(self, rooms: Rooms, messages: Messages, chat: &SqliteStore) -> anyhow::Result<Clips> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let rooms: Arc<dyn RoomAuthz> = Arc::new(rooms);
        let mut issuer = played::Issuer::new(Arc::clone(&self.keys));
        if self.hook.is_some() {
            issuer = issuer.naming();
        }
        let rooms: Arc<dyn RoomAuthz> = match self.hook {
            Some(hook) => Arc::new(HookedRooms::new(rooms, hook)),
            None => rooms,
        };
        let backend = self.backend;
        if let Some(cloudfront) = self.cloudfront {
            issuer = issuer.with_cloudfront(cloudfront);
        }
        let service = ClipService::new(Parts {
            store: Arc::clone(&self.store),
            objects: Arc::clone(&backend.objects),
            inspector: backend.inspector,
            transcoder: backend.transcoder,
            authz: Arc::clone(&rooms),
            messages: Arc::new(messages),
            playback: Arc::new(playback::Issue(issuer)),
            clock: Arc::clone(&clock),
            seed: getrandom::u64().unwrap_or_default(),
            options: self.options,
        });
        let drain = CancellationToken::new();
        let front = Arc::new(Front::new(
            Arc::new(service.clone()) as Arc<dyn Api>,
            Arc::new(Admin::new(Arc::clone(&self.store), backend.queues.clone())),
            self.tokens,
            Arc::clone(&clock),
            drain.clone(),
        ));
        let prefix_of = Arc::new(|clip: &Clip| names::keys(clip).prefix);
        let stored = played::StoredClips::new(Arc::clone(&self.store), prefix_of);
        let playing = played::router(
            self.keys,
            (Arc::new(stored), rooms),
            backend.objects,
            clock,
            played::PlaybackSettings::default(),
        );
        let router = http::router(Arc::clone(&front));
        let mut router = router.merge(playing).merge(backend.routes);
        if let Some(callers) = &self.callers {
            router = router.merge(hints::webhook(callers, &service)?);
        }
        let mut consumers = hints::consume(backend.queues, &service, &drain);
        consumers.spawn(gone::follow(chat.clone(), service.clone()));
        let told = told(&backend.told, self.port.as_ref().map(Port::address));
        let grpc = self
            .port
            .map(|port| port.serve(front, self.store, drain.clone()));
        let reaper = service.clone();
        tokio::spawn(async move { reaper.run().await });
        Ok(Clips {
            service,
            guests: Guests::new(router, RULES).with_origins(self.origins),
            told,
            max_bytes: self.options.max_bytes,
            drain,
            grpc: Mutex::new(grpc),
            consumers: Mutex::new(consumers),
            local: backend.local,
        })
    }
}

fn told(backend: &str, grpc: Option<SocketAddr>) -> String {
    match grpc {
        Some(address) => format!("{backend}, gRPC at {address}"),
        None => format!("{backend}, gRPC off"),
    }
}

impl Clips {
    /// Nothing new is taken and watches end; what was begun is done within the grace. Transcoding ends at once, and
    /// the next server begins it again: it may take longer than anybody waits.
    async fn drain(&self, grace: Duration) {
        self.drain.cancel();
        let calls = async {
            if let Some(grpc) = self.grpc.lock().await.take() {
                let _ = tokio::time::timeout(grace, grpc).await;
            }
        };
        // A poll waits for its messages; what they hold is hidden and comes again when they are dropped.
        self.consumers.lock().await.abort_all();
        let (is_done, ()) = tokio::join!(self.service.drain(grace), calls);
        if let Some(Local(ffmpeg)) = &self.local {
            ffmpeg.stop().await;
        }
        if !is_done {
            tracing::warn!("work on clips was left: the next server finds it");
        }
    }
}
