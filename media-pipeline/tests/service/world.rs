//! A service with its neighbours, and a time that is moved by hand.

use crate::chat::{Chat, Tokens};
use crate::objects::Memory;
use crate::transcoder::{Fake, Looks};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::ServerRole;
use kaiwa_media_pipeline::adapters::memory::MemoryStore;
use kaiwa_media_pipeline::api::{ApiError, Caller, Clips, Grant, NewClip, WantGrant};
use kaiwa_media_pipeline::core::mark::is_over;
use kaiwa_media_pipeline::model::{Clip, ClipId, Declared, UploadMode};
use kaiwa_media_pipeline::ports::{ClipStore, PartPlan};
use kaiwa_media_pipeline::service::{ClipService, Options, Parts};
use kaiwa_platform::clock::{Clock as _, ManualClock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const SIZE: u64 = 1_000;

pub(crate) struct World {
    pub(crate) service: ClipService,
    pub(crate) store: Arc<dyn ClipStore>,
    pub(crate) objects: Arc<Memory>,
    pub(crate) transcoder: Arc<Fake>,
    pub(crate) chat: Arc<Chat>,
    pub(crate) clock: ManualClock,
    pub(crate) options: Options,
    seed: u64,
}

pub(crate) fn who(user: &str) -> Caller {
    Caller {
        user: UserId::parse(user).unwrap(),
        role: ServerRole::Creator,
        service: None,
        deadline: None,
        request_id: None,
    }
}

pub(crate) fn room() -> RoomId {
    RoomId::parse("r_1").unwrap()
}

pub(crate) fn new_clip() -> NewClip {
    NewClip {
        room: room(),
        title: String::new(),
        declared: Declared {
            name: Redacted("a b&ü.mov".to_owned()),
            size: SIZE,
            sha256: None,
            content_type: "video/quicktime".to_owned(),
        },
        labels: BTreeMap::new(),
        share: true,
    }
}

pub(crate) fn want(mode: UploadMode) -> WantGrant {
    let part = PartPlan {
        number: 1,
        size: SIZE,
        checksum: None,
    };
    WantGrant {
        mode,
        parts: vec![part],
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let objects = Arc::new(Memory::default());
        let mut world = Self {
            service: ClipService::new(Parts {
                store: Arc::new(MemoryStore::default()),
                objects: Arc::clone(&objects) as _,
                inspector: Arc::new(Looks),
                transcoder: Arc::new(Fake::new(Arc::clone(&objects), seed)),
                authz: Arc::new(Chat::default()),
                messages: Arc::new(Chat::default()),
                playback: Arc::new(Tokens),
                clock: Arc::new(ManualClock::at(UnixMs(0))),
                seed,
                options: Options::default(),
            }),
            store: Arc::new(MemoryStore::default()),
            transcoder: Arc::new(Fake::new(Arc::clone(&objects), seed)),
            objects,
            chat: Arc::new(Chat::default()),
            clock: ManualClock::at(UnixMs(1_795_000_000_000)),
            options: Options::default(),
            seed,
        };
        world.chat.join("alice", "r_1");
        world.chat.join("bob", "r_1");
        world.restart();
        world
    }

    /// Another process over the same store and neighbours; what the old one had in hand is lost.
    pub(crate) fn restart(&mut self) {
        self.service = ClipService::new(Parts {
            store: Arc::clone(&self.store),
            objects: Arc::clone(&self.objects) as _,
            inspector: Arc::new(Looks),
            transcoder: Arc::clone(&self.transcoder) as _,
            authz: Arc::clone(&self.chat) as _,
            messages: Arc::clone(&self.chat) as _,
            playback: Arc::new(Tokens),
            clock: Arc::new(self.clock.clone()),
            seed: self.seed,
            options: self.options,
        });
    }

    pub(crate) async fn registered(&self) -> ClipId {
        let clip = self
            .service
            .create(&who("alice"), new_clip())
            .await
            .unwrap();
        self.service.idle().await;
        clip.id
    }

    /// Registered, and all its bytes are with the store.
    pub(crate) async fn uploaded(&self) -> ClipId {
        let id = self.registered().await;
        let granted = self.grant(id, UploadMode::Multipart).await;
        assert!(matches!(granted, Ok(Grant::Parts { .. })), "{granted:?}");
        self.objects.upload_arrives(SIZE);
        id
    }

    pub(crate) async fn grant(&self, id: ClipId, mode: UploadMode) -> Result<Grant, ApiError> {
        self.service.grant(&who("alice"), id, want(mode)).await
    }

    pub(crate) async fn complete(&self, id: ClipId) -> Result<Clip, ApiError> {
        let done = self.service.complete(&who("alice"), id, Vec::new()).await;
        self.service.idle().await;
        done
    }

    pub(crate) async fn ready(&self) -> ClipId {
        let id = self.uploaded().await;
        self.complete(id).await.unwrap();
        self.settle(id).await;
        id
    }

    pub(crate) async fn clip(&self, id: ClipId) -> Clip {
        self.store.get(id).await.unwrap().unwrap()
    }

    /// Rounds of the reaper until the clip is over and nothing is left to do for it.
    pub(crate) async fn settle(&self, id: ClipId) -> Clip {
        for _ in 0..2_000 {
            self.service.idle().await;
            let clip = self.clip(id).await;
            if is_over(clip.state) && clip.chores.todo.is_empty() {
                return clip;
            }
            let due = clip.due.expect("what is not over is looked into");
            let wait = due.since(self.clock.now());
            self.clock.advance(wait.max(Duration::from_millis(1)));
            self.service.tick().await;
        }
        panic!("it does not end: {:#?}", self.clip(id).await);
    }
}
