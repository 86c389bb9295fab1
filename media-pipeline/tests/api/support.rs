//! A scripted `Clips`: which clip is asked for decides what is answered.

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::{Redacted, Secret};
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{Identity, ServerRole, TokenKey};
use kaiwa_media_pipeline::admin::{ClipsAdmin, Letter, Letters, Pick, Redriven};
use kaiwa_media_pipeline::api::{
    Answer, ApiError, Caller, Clips, Grant, NewClip, Playback, Violation, WantGrant, Watch,
    WatchItem,
};
use kaiwa_media_pipeline::authz::{ActsFor, Scope, ServiceRule, Tokens};
use kaiwa_media_pipeline::checksum::{Checksum, ChecksumKind};
use kaiwa_media_pipeline::front::{Front, WatchBounds};
use kaiwa_media_pipeline::model::{
    Captions, Chores, Clip, ClipId, ClipKind, ClipState, Declared, Language, Phase, Progress,
    UploadMode,
};
use kaiwa_media_pipeline::ports::{Credentials, Page, Part, Query, SignedForm, SignedRequest};
use kaiwa_media_pipeline::{grpc, http, replay};
use kaiwa_platform::clock::SystemClock;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Clips from here on are answered with the error of this place in the table.
const ERRORS: u128 = 0x1000;
/// This one never is.
const NEVER: u128 = 0x2000;
/// This one is a replay.
const AGAIN: u128 = 0x3000;

pub(crate) fn clip_id(number: u128) -> ClipId {
    ClipId(Uuid::from_u128(
        0x0199_0000_0000_7000_8000_0000_0000_0000 + number,
    ))
}

pub(crate) fn fine() -> ClipId {
    // With letters, so that their case matters.
    clip_id(0xab)
}

pub(crate) fn never() -> ClipId {
    clip_id(NEVER)
}

pub(crate) fn again() -> ClipId {
    clip_id(AGAIN)
}

/// Every error, with its reason.
pub(crate) fn errors() -> Vec<(ApiError, &'static str)> {
    let wrong = Violation {
        field: "declared.size",
        description: "1 byte or more".to_owned(),
    };
    let quota = ApiError::Quota {
        what: "bytes of the day",
        retry_after: Some(Duration::from_secs(90)),
    };
    vec![
        (ApiError::NotFound, "NOT_FOUND"),
        (ApiError::Denied("NOT_ROOM_MEMBER"), "NOT_ROOM_MEMBER"),
        (ApiError::Denied("the room is closed"), "PERMISSION_DENIED"),
        (ApiError::Invalid(vec![wrong]), "INVALID_ARGUMENT"),
        (ApiError::KeyReused, "IDEMPOTENCY_KEY_REUSED"),
        (ApiError::State(ClipState::Ready), "CLIP_STATE"),
        (ApiError::Conflict, "CLIP_CHANGED"),
        (quota, "QUOTA_EXCEEDED"),
        (ApiError::Unavailable("the object store"), "UNAVAILABLE"),
        (ApiError::Deadline, "DEADLINE_EXCEEDED"),
        (ApiError::Compacted, "RESUME_REVISION_COMPACTED"),
        (
            ApiError::Corrupt("its SHA-256".to_owned()),
            "UPLOAD_CORRUPT",
        ),
    ]
}

pub(crate) fn error_id(place: usize) -> ClipId {
    clip_id(ERRORS + u128::try_from(place).expect("a small number"))
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user id")
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).expect("a room id")
}

pub(crate) fn a_clip(id: ClipId, state: ClipState, version: u64) -> Clip {
    Clip {
        id,
        room: room("r_lobby"),
        uploader: user("alice"),
        title: "A walk".to_owned(),
        kind: ClipKind::Video,
        state,
        version,
        attempt: 1,
        declared: Declared {
            name: Redacted("walk.mp4".to_owned()),
            size: 10_000_000_000,
            sha256: Some([7; 32]),
            content_type: "video/mp4".to_owned(),
        },
        upload: None,
        source: None,
        job: None,
        progress: Some(Progress {
            phase: Phase::Transcoding,
            percent: 40,
        }),
        outputs: None,
        captions: BTreeMap::new(),
        error: None,
        message: Some(12),
        labels: BTreeMap::from([("course".to_owned(), "rust-1".to_owned())]),
        chores: Chores::default(),
        created: UnixMs(1_000),
        updated: UnixMs(2_000),
        due: None,
    }
}

/// Notes who asked for what.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) callers: Mutex<Vec<Caller>>,
    pub(crate) keys: Mutex<BTreeMap<String, String>>,
    pub(crate) queries: Mutex<Vec<Query>>,
    pub(crate) parts: Mutex<Vec<Part>>,
}

impl Scripted {
    pub(crate) fn last(&self) -> Caller {
        let callers = self.callers.lock().expect("callers");
        callers.last().cloned().expect("somebody asked")
    }

    pub(crate) fn asked(&self) -> usize {
        self.callers.lock().expect("callers").len()
    }

    async fn about(&self, caller: &Caller, id: ClipId) -> Result<Clip, ApiError> {
        self.callers.lock().expect("callers").push(caller.clone());
        let number = id.0.as_u128() - clip_id(0).0.as_u128();
        if number == NEVER {
            std::future::pending::<()>().await;
        }
        if number == AGAIN {
            replay::mark();
        }
        let place = number
            .checked_sub(ERRORS)
            .and_then(|place| usize::try_from(place).ok());
        match place.and_then(|place| errors().into_iter().nth(place)) {
            Some((error, _)) => Err(error),
            None => Ok(a_clip(id, ClipState::Processing, 5)),
        }
    }

    fn clip<'a>(&'a self, caller: &'a Caller, id: ClipId) -> Answer<'a, Clip> {
        Box::pin(self.about(caller, id))
    }
}

impl Clips for Scripted {
    fn create<'a>(&'a self, caller: &'a Caller, new: NewClip) -> Answer<'a, Clip> {
        Box::pin(async move {
            let mut clip = self.about(caller, fine()).await?;
            if let Some(key) = &caller.request_id {
                let mut keys = self.keys.lock().expect("keys");
                match keys.insert(key.clone(), new.title.clone()) {
                    Some(first) if first == new.title => replay::mark(),
                    Some(_) => return Err(ApiError::KeyReused),
                    None => {}
                }
            }
            clip.state = ClipState::Created;
            clip.title = new.title;
            clip.room = new.room;
            clip.declared = new.declared;
            clip.labels = new.labels;
            Ok(clip)
        })
    }

    fn grant<'a>(&'a self, caller: &'a Caller, clip: ClipId, want: WantGrant) -> Answer<'a, Grant> {
        Box::pin(async move {
            self.about(caller, clip).await?;
            let expires = UnixMs(9_000);
            Ok(match want.mode {
                UploadMode::Multipart => Grant::Parts {
                    part_size: 8 * 1024 * 1024,
                    requests: want
                        .parts
                        .iter()
                        .map(|part| (part.number, signed(expires)))
                        .collect(),
                    expires,
                    checksum: want
                        .parts
                        .iter()
                        .find_map(|part| part.checksum)
                        .map_or(ChecksumKind::UNASKED, |sum| sum.kind()),
                },
                UploadMode::Post => Grant::Form(SignedForm {
                    url: "/objects/form".to_owned(),
                    fields: BTreeMap::from([("policy".to_owned(), "p".to_owned())]),
                    expires,
                }),
                UploadMode::Credentials => Grant::Credentials(Credentials {
                    access_key_id: "ASIA".to_owned(),
                    secret_access_key: Secret::new("top".to_owned()),
                    session_token: Secret::new("session".to_owned()),
                    region: "eu-west-1".to_owned(),
                    bucket: "clips".to_owned(),
                    key: "video/alice/source".to_owned(),
                    endpoint: None,
                    expires,
                }),
            })
        })
    }

    fn parts<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Vec<Part>> {
        Box::pin(async move {
            self.about(caller, clip).await?;
            Ok(vec![Part {
                number: 1,
                size: 8 * 1024 * 1024,
                etag: "e1".to_owned(),
                checksum: Some(Checksum::Sha256([1; 32])),
            }])
        })
    }

    fn complete<'a>(
        &'a self,
        caller: &'a Caller,
        clip: ClipId,
        parts: Vec<Part>,
    ) -> Answer<'a, Clip> {
        *self.parts.lock().expect("parts") = parts;
        self.clip(caller, clip)
    }

    fn abort<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        self.clip(caller, clip)
    }

    fn get<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        self.clip(caller, clip)
    }

    fn get_many<'a>(&'a self, caller: &'a Caller, clips: Vec<ClipId>) -> Answer<'a, Vec<Clip>> {
        Box::pin(async move {
            let mut found = Vec::new();
            for clip in clips {
                found.extend(self.about(caller, clip).await.ok());
            }
            Ok(found)
        })
    }

    fn list<'a>(&'a self, caller: &'a Caller, query: Query) -> Answer<'a, Page> {
        Box::pin(async move {
            let clip = self.about(caller, fine()).await?;
            let more = query.before.is_none();
            self.queries.lock().expect("queries").push(query);
            Ok(Page {
                clips: vec![clip],
                more,
            })
        })
    }

    fn watch<'a>(
        &'a self,
        caller: &'a Caller,
        what: Watch,
        after: Option<u64>,
    ) -> Answer<'a, BoxStream<'static, Result<WatchItem, ApiError>>> {
        Box::pin(async move {
            let id = match what {
                Watch::Clip(id) => id,
                Watch::Room(_) => fine(),
            };
            let clip = self.about(caller, id).await?;
            if after == Some(999) {
                return Err(ApiError::Compacted);
            }
            let snapshot = WatchItem::Snapshot {
                revision: 7,
                clips: vec![clip.clone()],
            };
            let changed = WatchItem::Changed {
                revision: 8,
                clip: Box::new(Clip {
                    state: ClipState::Ready,
                    ..clip
                }),
            };
            let items = if after.is_some() {
                vec![Ok(changed)]
            } else {
                vec![Ok(snapshot), Ok(changed)]
            };
            Ok(stream::iter(items).chain(stream::pending()).boxed())
        })
    }

    fn retry<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        self.clip(caller, clip)
    }

    fn cancel<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        self.clip(caller, clip)
    }

    fn delete<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Clip> {
        self.clip(caller, clip)
    }

    fn playback<'a>(&'a self, caller: &'a Caller, clip: ClipId) -> Answer<'a, Playback> {
        Box::pin(async move {
            self.about(caller, clip).await?;
            Ok(Playback {
                url: format!("/v/TOKEN/{clip}/hls/master.m3u8"),
                poster: None,
                sprite: None,
                captions: vec![(
                    Language("en".to_owned()),
                    "English".to_owned(),
                    "/v/x".to_owned(),
                )],
                cookies: Vec::new(),
                expires: UnixMs(9_000),
            })
        })
    }

    fn share<'a>(&'a self, caller: &'a Caller, clip: ClipId, _room: RoomId) -> Answer<'a, u64> {
        Box::pin(async move {
            self.about(caller, clip).await?;
            Ok(77)
        })
    }

    fn add_captions<'a>(
        &'a self,
        caller: &'a Caller,
        clip: ClipId,
        language: Language,
        label: String,
        vtt: String,
    ) -> Answer<'a, Clip> {
        Box::pin(async move {
            let mut clip = self.about(caller, clip).await?;
            let file = format!("captions/{}.vtt", vtt.len());
            clip.captions.insert(language, Captions { file, label });
            Ok(clip)
        })
    }
}

fn signed(expires: UnixMs) -> SignedRequest {
    SignedRequest {
        method: "PUT",
        url: "/objects/part?signature=s".to_owned(),
        headers: BTreeMap::from([("content-length".to_owned(), "5".to_owned())]),
        expires,
    }
}

impl ClipsAdmin for Scripted {
    fn stuck<'a>(&'a self, caller: &'a Caller, _limit: usize) -> Answer<'a, Vec<(Clip, Duration)>> {
        Box::pin(async move {
            let clip = self.about(caller, fine()).await?;
            Ok(vec![(clip, Duration::from_secs(61))])
        })
    }

    fn dead_letters<'a>(
        &'a self,
        caller: &'a Caller,
        queue: Option<String>,
        _reason: Option<String>,
        _limit: usize,
    ) -> Answer<'a, Letters> {
        Box::pin(async move {
            self.about(caller, fine()).await?;
            let letter = Letter {
                queue: queue.unwrap_or_else(|| "object-events".to_owned()),
                id: "l1".to_owned(),
                reason: "undecodable".to_owned(),
                ..Letter::default()
            };
            Ok(Letters {
                letters: vec![letter],
                more: false,
            })
        })
    }

    fn redrive<'a>(
        &'a self,
        caller: &'a Caller,
        _queue: String,
        pick: Pick,
    ) -> Answer<'a, Redriven> {
        Box::pin(async move {
            self.about(caller, fine()).await?;
            let done = match pick {
                Pick::Ids(ids) => u32::try_from(ids.len()).expect("few"),
                Pick::All | Pick::Reason(_) => 9,
            };
            Ok(Redriven {
                done,
                ..Redriven::default()
            })
        })
    }
}

pub(crate) fn key(byte: u8, audience: &str) -> TokenKey {
    TokenKey::hs256(&Secret::new(vec![byte; 32]), audience, None).expect("32 bytes")
}

pub(crate) fn token_of(name: &str, role: ServerRole, ttl_s: i64) -> String {
    let mut identity = Identity::new(user(name), "", role, UnixMs::now(), Duration::ZERO);
    identity.expires = UnixMs(UnixMs::now().0 + ttl_s * 1000);
    key(1, "kaiwa").issue(&identity, UnixMs::now())
}

pub(crate) fn service_token(name: &str) -> String {
    let ttl = Duration::from_secs(60);
    let identity = Identity::new(user(name), "", ServerRole::Viewer, UnixMs::now(), ttl);
    key(2, "kaiwa-services").issue(&identity, UnixMs::now())
}

pub(crate) fn tokens() -> Tokens {
    let rule = |acts_for, scopes: &[Scope]| ServiceRule {
        acts_for,
        scopes: scopes.iter().copied().collect(),
        role: ServerRole::Creator,
    };
    let only_bob = ActsFor::People(BTreeSet::from(["bob".to_owned()]));
    let rules = BTreeMap::from([
        (
            "lms".to_owned(),
            rule(ActsFor::Anybody, &[Scope::Read, Scope::Write, Scope::Play]),
        ),
        ("reader".to_owned(), rule(ActsFor::Anybody, &[Scope::Read])),
        ("bobs".to_owned(), rule(only_bob, &[Scope::Read])),
        (
            "ops".to_owned(),
            rule(ActsFor::Nobody, &[Scope::Admin, Scope::Read]),
        ),
    ]);
    Tokens::new(key(1, "kaiwa")).with_services(key(2, "kaiwa-services"), rules)
}

pub(crate) struct Server {
    pub(crate) clips: Arc<Scripted>,
    pub(crate) front: Arc<Front>,
    pub(crate) drain: CancellationToken,
}

pub(crate) fn server_with(bounds: WatchBounds) -> Server {
    let clips = Arc::new(Scripted::default());
    let drain = CancellationToken::new();
    let front = Front::new(
        Arc::clone(&clips) as Arc<dyn Clips>,
        Arc::clone(&clips) as Arc<dyn ClipsAdmin>,
        tokens(),
        Arc::new(SystemClock),
        drain.clone(),
    );
    Server {
        clips,
        front: Arc::new(front.with_watch_bounds(bounds)),
        drain,
    }
}

pub(crate) fn server() -> Server {
    server_with(WatchBounds::default())
}

impl Server {
    /// Serves gRPC on a port of its own.
    pub(crate) async fn grpc(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let settings = grpc::GrpcSettings { reflection: true };
        let (routes, health) = grpc::routes(Arc::clone(&self.front), settings).await;
        health.set(true).await;
        tokio::spawn(grpc::serve(
            listener,
            None,
            (routes, health),
            self.drain.clone(),
        ));
        address
    }

    /// Serves HTTP on a port of its own.
    pub(crate) async fn http(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = http::router(Arc::clone(&self.front));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }
}
