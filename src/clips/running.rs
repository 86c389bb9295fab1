//! Clips at work: the service with its ports, its routes on the edge, and its end.

use super::admin::Admin;
use super::grpc::Port;
use super::messages::Messages;
use super::rooms::Rooms;
use super::{Here, Local, gone, hints, playback};
use kaiwa_chat::adapters::sqlite::SqliteStore;
use kaiwa_common::limits::{CLIP_CALL_MAX, CLIP_WATCH, HTTP_REQUEST, OBJECT_REQUEST};
use kaiwa_media_pipeline::api::Clips as Api;
use kaiwa_media_pipeline::authz::HookedRooms;
use kaiwa_media_pipeline::core::names;
use kaiwa_media_pipeline::front::Front;
use kaiwa_media_pipeline::http;
use kaiwa_media_pipeline::model::Clip;
use kaiwa_media_pipeline::playback as played;
use kaiwa_media_pipeline::ports::RoomAuthz;
use kaiwa_media_pipeline::service::{ClipService, Parts};
use kaiwa_platform::clock::{Clock, SystemClock};
use kaiwa_signaling::edge::guest::{Guests, Rule};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
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
        cors: false,
    },
    Rule {
        prefix: "/v/",
        answer: HTTP_REQUEST,
        streams_body: false,
        // A player reads as fast as it plays; after a break it goes on with a range.
        connection: OBJECT_REQUEST,
        any_origin: true,
        cors: false,
    },
    Rule {
        prefix: "/api/v1/clips",
        answer: CLIP_CALL_MAX.saturating_add(SLACK),
        streams_body: false,
        connection: CLIP_WATCH.saturating_add(SLACK),
        any_origin: false,
        cors: true,
    },
];

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
    /// Starts the service and what stands around it.
    ///
    /// # Errors
    /// Keys of the webhook.
    pub(super) fn start(
        self,
        rooms: Rooms,
        messages: Messages,
        chat: &SqliteStore,
    ) -> anyhow::Result<Clips> {
        let deleted = rooms.0.deleted();
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
        consumers.spawn(gone::follow(chat.clone(), deleted, service.clone()));
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
