//! What becomes of commands and participants when a shard's thread hangs or ends.

#![allow(clippy::unwrap_used, reason = "a test may")]

use kaiwa_common::id::RoomId;
use kaiwa_sfu::config::Config;
use kaiwa_sfu::control::*;
use kaiwa_sfu::core::negotiate::{VideoCodec, VideoCodecs};
use kaiwa_sfu::engine::Engine;
use kaiwa_sfu::unit::Mid;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Longer than anything takes; only a failure waits to the end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tells who is gone, after it has done what the test wants of it on the shard's thread.
struct Events<F> {
    before: F,
    gone: Mutex<Sender<(ParticipantId, GoneReason)>>,
}

impl<F: Fn() + Send + Sync> SfuEvents for Events<F> {
    fn handle(&self, event: Event) {
        if let Event::Gone {
            participant,
            reason,
            ..
        } = event
        {
            (self.before)();
            self.gone.lock().unwrap().send((participant, reason)).ok();
        }
    }
}

struct Stand {
    engine: Arc<Engine>,
    gone: Receiver<(ParticipantId, GoneReason)>,
    runtime: tokio::runtime::Runtime,
}

impl Stand {
    fn new(shards: usize, before: impl Fn() + Send + Sync + 'static) -> Self {
        let config = Config {
            shards,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            loopback: true,
            ..Config::default()
        };
        let (sender, gone) = channel();
        let events = Arc::new(Events {
            before,
            gone: Mutex::new(sender),
        });
        Self {
            engine: Engine::start(&config, events).unwrap(),
            gone,
            runtime: tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
        }
    }

    fn wait<T>(&self, pending: Pending<T>) -> Result<T, SfuError> {
        self.runtime.block_on(pending)
    }

    fn join(&self, room: &str, participant: u64) -> Result<(), SfuError> {
        let join = Join {
            room: RoomId::parse(room).unwrap(),
            participant: ParticipantId(participant),
            rights: Rights::default(),
            video_codecs: None,
        };
        self.wait(self.engine.join(join))
    }

    fn gone(&self) -> (ParticipantId, GoneReason) {
        self.gone.recv_timeout(PATIENCE).expect("somebody is gone")
    }
}

/// Gives orders until the queue of the shard, which hangs, is full.
fn fill(engine: &Engine, participant: ParticipantId) {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let mut pending = engine.mute(Mute {
            participant,
            publication: PublicationId(1),
            is_muted: true,
        });
        let outcome = pending.as_mut().poll(&mut context);
        if matches!(outcome, Poll::Ready(Err(SfuError::Unavailable))) {
            return;
        }
    }
}

#[test]
fn a_leave_is_carried_out_however_many_orders_wait() {
    let (open, gate) = channel::<()>();
    let gate = Mutex::new(gate);
    let stand = Stand::new(1, move || {
        // Hangs until the test lets go.
        gate.lock().unwrap().recv().ok();
    });
    for participant in [1, 2] {
        stand.join("r_1", participant).unwrap();
    }
    let first = stand.engine.leave(ParticipantId(1));
    fill(&stand.engine, ParticipantId(2));
    let second = stand.engine.leave(ParticipantId(2));
    drop(open);
    stand.wait(first).unwrap();
    stand.wait(second).expect("it had room");
    for participant in [1, 2] {
        let left = (ParticipantId(participant), GoneReason::Left);
        assert_eq!(stand.gone(), left);
    }
}

#[test]
fn a_shard_whose_thread_ended_is_known_and_gets_no_more_rooms() {
    // One in the turn, one while the room is given up, and one while all of them are.
    let panics = AtomicUsize::new(3);
    let stand = Stand::new(2, move || {
        let left = panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        assert!(left.is_err(), "of the test's own");
    });
    for participant in 1..=5 {
        stand.join("r_1", participant).unwrap();
    }
    stand.join("r_2", 6).unwrap();
    let lost = stand.wait(stand.engine.leave(ParticipantId(1)));
    assert_eq!(lost, Err(SfuError::Unavailable));
    for participant in [4, 5] {
        let fault = (ParticipantId(participant), GoneReason::Fault);
        assert_eq!(stand.gone(), fault, "three were told of in vain");
    }
    assert_eq!(stand.engine.placed(), (1, 1));
    for participant in 7..=9 {
        let room = format!("r_{participant}");
        stand.join(&room, participant).expect("the other one lives");
    }
}

#[test]
fn a_second_panic_costs_the_rooms_of_a_shard_and_not_its_thread() {
    let panics = AtomicUsize::new(2);
    let stand = Stand::new(1, move || {
        let left = panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        assert!(left.is_err(), "of the test's own");
    });
    for participant in 1..=3 {
        stand.join("r_1", participant).unwrap();
    }
    let lost = stand.wait(stand.engine.leave(ParticipantId(1)));
    assert_eq!(lost, Err(SfuError::Unavailable));
    let fault = (ParticipantId(3), GoneReason::Fault);
    assert_eq!(stand.gone(), fault, "two were told of in vain");
    stand.join("r_1", 4).expect("the thread lives");
}

#[test]
fn a_room_may_take_other_codecs_than_the_server_names_first() {
    let stand = Stand::new(1, || {});
    let answer_in = |room: &str, participant, codecs: Option<&[VideoCodec]>| {
        let participant = ParticipantId(participant);
        let rights = Rights {
            camera: true,
            ..Rights::default()
        };
        let join = Join {
            room: RoomId::parse(room).unwrap(),
            participant,
            rights,
            video_codecs: codecs.map(VideoCodecs::new),
        };
        stand.wait(stand.engine.join(join)).unwrap();
        let offer = Offer {
            participant,
            sdp: CAMERA.replace('\n', "\r\n"),
            tracks: vec![Track {
                mid: Mid::parse(b"0").unwrap(),
                source: Source::Camera,
                is_muted: false,
            }],
        };
        let answer = stand.wait(stand.engine.offer(offer)).unwrap().sdp;
        let line = answer.lines().find(|line| line.starts_with("m=video"));
        line.unwrap().to_owned()
    };
    let both = answer_in("r_1", 1, None);
    assert!(both.ends_with(" 96 108"), "{both}");
    let turned = answer_in("r_2", 2, Some(&[VideoCodec::H264, VideoCodec::Vp8]));
    assert!(turned.ends_with(" 108 96"), "{turned}");
    let one = answer_in("r_3", 3, Some(&[VideoCodec::H264]));
    assert!(one.ends_with(" 108"), "{one}");
    assert!(!one.contains("96"), "{one}");
}

/// A browser that sends a camera of VP8 or H.264.
const CAMERA: &str = "v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=ice-ufrag:them
a=ice-pwd:pppppppppppppppppppppppp
a=fingerprint:sha-256 01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20
a=setup:actpass
m=video 9 UDP/TLS/RTP/SAVPF 96 108
c=IN IP4 0.0.0.0
a=mid:0
a=sendonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtpmap:108 H264/90000
a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f
";
