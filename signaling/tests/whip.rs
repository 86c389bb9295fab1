//! Sessions by WHIP in the middle of beginning: whatever becomes of them, nothing of them is left in the call. Everything
//! is real but sockets, time and the SFU.

#[path = "support/client.rs"]
mod client;
#[allow(dead_code, reason = "a part is used")]
#[path = "support/sfu.rs"]
mod sfu;

use client::{server_with, two_in_a_room, wall};
use kaiwa_chat::error::ChatError;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::Limits;
use kaiwa_common::token::{Identity, ServerRole};
use kaiwa_sfu::control::Source;
use kaiwa_sfu::control::trace::Reach;
use kaiwa_sfu::exchange::{Offered, Way};
use kaiwa_signaling::call::events::events;
use kaiwa_signaling::call::service::{Calls, Parts};
use kaiwa_signaling::session::Context;
use kaiwa_signaling::whip::service::{Purpose, Refused, Request, Whip};
use sfu::SfuDouble;
use std::sync::Arc;
use std::time::Duration;

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n\
    a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\n";

struct World {
    context: Arc<Context>,
    sfu: Arc<SfuDouble>,
    whip: Whip,
    room: RoomId,
}

impl World {
    async fn new() -> Self {
        let mut double = None;
        let context = server_with(Limits::default(), None, |parts| {
            let (events, inbox) = events(parts.metrics.clone());
            let sfu = SfuDouble::new(events);
            double = Some(Arc::clone(&sfu));
            Some(Calls::start(Parts {
                reach: Reach::default(),
                sfu,
                inbox,
                hub: Arc::clone(&parts.hub),
                sessions: Arc::clone(&parts.sessions),
                chat: parts.chat.clone(),
                limits: parts.limits.clone(),
                announce: None,
                metrics: parts.metrics.clone(),
                clock: wall,
            }))
        });
        let (_, _, room, _) = two_in_a_room(&context).await;
        Self {
            whip: Whip::start(&context).expect("there are calls"),
            context,
            sfu: double.expect("made with the calls"),
            room: RoomId::parse(&room).expect("an id"),
        }
    }

    fn request(&self) -> Request {
        let user = UserId::parse("alice").expect("an id");
        let now = (self.context.now)();
        let ttl = Duration::from_secs(60);
        Request {
            whence: Arc::default(),
            identity: Identity::new(user, "Alice", ServerRole::Creator, now, ttl),
            room: self.room.clone(),
            purpose: Purpose::Publish {
                audio: Source::Microphone,
                video: Source::Camera,
            },
            offered: Offered::read(Way::In, OFFER).expect("an offer"),
        }
    }

    /// Waits until this many are in the SFU's rooms.
    async fn until_inside(&self, count: usize) {
        while self.sfu.inside().len() != count {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_session_whose_answer_is_no_good_leaves_nobody() {
    let world = World::new().await;
    // The double's answer is none.
    let refused = world.whip.begin(world.request()).await;
    assert!(
        matches!(refused, Err(Refused::Unacceptable(_))),
        "{refused:?}"
    );
    assert!(world.whip.is_empty());
    world.until_inside(0).await;
    assert_eq!(world.sfu.counts(), (1, 1));
}

#[tokio::test]
async fn a_request_that_is_given_up_in_the_middle_leaves_nobody() {
    let world = World::new().await;
    world.sfu.stick();
    let begins = tokio::spawn({
        let (whip, request) = (world.whip.clone(), world.request());
        async move { whip.begin(request).await }
    });
    world.until_inside(1).await;
    assert_eq!(world.whip.len(), 1);
    begins.abort();
    world.until_inside(0).await;
    assert!(world.whip.is_empty());
}

#[tokio::test]
async fn a_session_that_comes_after_the_others_were_ended_for_the_stop_does_not_begin() {
    let world = World::new().await;
    // Its offer was under way for long.
    world.context.begin_drain();
    world.whip.drain();
    let refused = world.whip.begin(world.request()).await;
    let draining = Refused::from(ChatError::Draining);
    assert_eq!(refused, Err(draining));
    assert!(world.whip.is_empty() && world.sfu.inside().is_empty());
}

#[tokio::test]
async fn a_session_that_the_stop_of_the_server_meets_in_the_middle_leaves_nobody() {
    let world = World::new().await;
    let begins = tokio::spawn({
        let (whip, request) = (world.whip.clone(), world.request());
        async move { whip.begin(request).await }
    });
    while world.whip.is_empty() {
        tokio::task::yield_now().await;
    }
    // It has a place, and is not in the call yet.
    world.whip.drain();
    assert!(world.whip.is_empty());
    assert!(begins.await.expect("no panic").is_err());
    world.until_inside(0).await;
    let (joins, leaves) = world.sfu.counts();
    assert_eq!(joins, leaves);
}
