//! The relay and the announcer with the real service over the store in memory, on paused time.

use crate::support::{
    Recorder, actor, clip_id, committed, fresh_cid, group, info, seen, send, text, user, user_id,
    view,
};
use base64::Engine as _;
use kaiwa_chat::adapters::memory::MemoryStore;
use kaiwa_chat::bus::Bus;
use kaiwa_chat::core::relay::event_id;
use kaiwa_chat::model::{ClipShown, Mentions, Write};
use kaiwa_chat::ports::{Announce as _, Announcement, Answer, Attendance, Attention, RingOutcome};
use kaiwa_chat::relay::announcer::Announcer;
use kaiwa_chat::relay::{NoOptIns, Relay, RelayParts};
use kaiwa_chat::service::{Chat, ChatOptions, Clock};
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::limits::{NOTIFY_GRACE, NOTIFY_RETURN};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::time::UnixMs;
use kaiwa_platform::queue::{self, Outgoing, QueueError, SendError, Topic};
use kaiwa_proto::notify::v1::Event;
use kaiwa_proto::notify::v1::event::What;
use prost::Message as _;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

/// A topic that can be told to fail.
#[derive(Default)]
struct Published {
    events: Mutex<Vec<Event>>,
    faults: Mutex<VecDeque<Fault>>,
}

#[derive(Clone, Copy)]
enum Fault {
    /// No connection.
    Unavailable,
    /// The first of the batch is not taken.
    Partial,
}

impl Published {
    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap().extend(faults);
    }
}

impl Topic for Published {
    fn publish(&self, batch: Vec<Outgoing>) -> queue::Answer<'_, Vec<Result<(), SendError>>> {
        let fault = self.faults.lock().unwrap().pop_front();
        let mut results = Vec::new();
        for (index, outgoing) in batch.iter().enumerate() {
            if matches!(fault, Some(Fault::Unavailable)) {
                break;
            }
            if index == 0 && fault.is_some() {
                results.push(Err(SendError::Failed("a fault".to_owned())));
                continue;
            }
            let bytes = base64::engine::general_purpose::STANDARD.decode(&outgoing.body);
            let event = Event::decode(bytes.unwrap().as_slice()).unwrap();
            assert_eq!(outgoing.attributes["schema"], "1");
            self.events.lock().unwrap().push(event);
            results.push(Ok(()));
        }
        let result = match fault {
            Some(Fault::Unavailable) => Err(QueueError::Unavailable("a fault".to_owned())),
            Some(Fault::Partial) | None => Ok(results),
        };
        Box::pin(std::future::ready(result))
    }
}

/// People of whom something else is known than that they are away.
#[derive(Default)]
struct Here(Mutex<BTreeMap<UserId, Attention>>);

impl Attendance for Here {
    fn attention(&self, _: &RoomId, _: Position, users: Vec<UserId>) -> Answer<Vec<Attention>> {
        let here = self.0.lock().unwrap();
        let of = |user: &UserId| here.get(user).copied().unwrap_or(Attention::Away);
        Box::pin(std::future::ready(Ok(users.iter().map(of).collect())))
    }
}

fn wall() -> UnixMs {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    // Cids are made by the operating system's clock.
    static WALL: OnceLock<UnixMs> = OnceLock::new();
    let begun = *WALL.get_or_init(UnixMs::now);
    begun.plus(Instant::now().saturating_duration_since(start))
}

struct World {
    store: MemoryStore,
    chat: Chat,
    topic: Arc<Published>,
    here: Arc<Here>,
    room: RoomId,
}

impl World {
    /// Alice, Bob and Carol in a group.
    async fn new() -> Self {
        let store = MemoryStore::new();
        let bus = Arc::new(Recorder::default());
        let options = ChatOptions {
            clock: Arc::new(wall),
            shards: 1,
            ..ChatOptions::default()
        };
        let chat = Chat::start(Arc::new(store.clone()), bus as Arc<dyn Bus>, options);
        seen(&chat, &["alice", "bob", "carol"]).await;
        let made = info(&chat, "alice", group(fresh_cid(), &["bob", "carol"])).await;
        for name in ["bob", "carol"] {
            let room = made.room.clone();
            info(&chat, name, Write::Join { room }).await;
        }
        Self {
            store,
            chat,
            topic: Arc::default(),
            here: Arc::default(),
            room: made.room,
        }
    }

    fn relay(&self) -> Relay {
        let clock: Clock = Arc::new(wall);
        Relay::start(RelayParts {
            outbox: Arc::new(self.store.clone()),
            committed: self.chat.committed(),
            attendance: Arc::clone(&self.here) as _,
            opt_ins: Arc::new(NoOptIns),
            topic: Arc::clone(&self.topic) as _,
            clock,
        })
    }

    async fn say(&self, says: &str) -> Seq {
        let write = send(&self.room, fresh_cid(), says);
        committed(&self.chat, "alice", write).await.position.seq
    }

    fn is(&self, name: &str, attention: Attention) {
        self.here.0.lock().unwrap().insert(user_id(name), attention);
    }
}

async fn pass(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_is_told_after_its_grace_to_those_who_are_away() {
    let world = World::new().await;
    let relay = world.relay();
    world.is("carol", Attention::Looking);
    let write = Write::Send {
        room: world.room.clone(),
        cid: fresh_cid(),
        text: text("tea?"),
        reply_to: None,
        mentions: Mentions {
            users: vec![user_id("bob")],
            all: false,
        },
    };
    let seq = committed(&world.chat, "alice", write).await.position.seq;
    pass(NOTIFY_GRACE - Duration::from_millis(100)).await;
    assert!(world.topic.events().is_empty());
    pass(Duration::from_millis(200)).await;
    let events = world.topic.events();
    let [event] = events.as_slice() else {
        panic!("one event: {events:?}");
    };
    assert_eq!(event.recipients, ["bob"]);
    let Some(What::Message(posted)) = &event.what else {
        panic!("a message: {event:?}");
    };
    assert_eq!((posted.text.as_str(), posted.seq), ("tea?", seq.0));
    assert_eq!(
        (posted.room_title.as_str(), posted.sender_name.as_str()),
        ("Tea", "ALICE")
    );
    assert_eq!(posted.mentions, ["bob"]);
    assert_eq!((relay.status().stats.told, relay.status().behind), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_read_or_deleted_within_the_grace_is_not_told() {
    let world = World::new().await;
    let _relay = world.relay();
    let read = world.say("one").await;
    let to = Position {
        epoch: Epoch(1),
        seq: read,
    };
    for name in ["bob", "carol"] {
        world
            .chat
            .mark(&actor(name), &world.room, to)
            .await
            .unwrap();
    }
    let target = world.say("two").await;
    let room = world.room.clone();
    let cid = fresh_cid();
    committed(&world.chat, "alice", Write::Delete { room, cid, target }).await;
    pass(2 * NOTIFY_GRACE).await;
    assert!(world.topic.events().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_fails_is_tried_again_until_it_has_everything() {
    let world = World::new().await;
    let relay = world.relay();
    world.topic.fail([Fault::Unavailable; 4]);
    world.topic.fail([Fault::Partial, Fault::Partial]);
    for number in 0..3 {
        world.say(&number.to_string()).await;
    }
    pass(Duration::from_secs(60)).await;
    let mut seqs: Vec<u64> = Vec::new();
    for event in world.topic.events() {
        let Some(What::Message(posted)) = event.what else {
            panic!("a message");
        };
        assert_eq!(event.recipients, ["bob", "carol"]);
        seqs.push(posted.seq);
    }
    seqs.sort_unstable();
    assert_eq!(seqs.len(), 3, "each once");
    seqs.dedup();
    assert_eq!(seqs.len(), 3, "and all of them");
    assert_eq!(relay.status().stats.failures, 6);
}

#[tokio::test(start_paused = true)]
async fn who_is_expected_back_is_told_when_they_did_not_come() {
    let world = World::new().await;
    let _relay = world.relay();
    world.is("carol", Attention::Looking);
    world.is("bob", Attention::Returning(wall().plus(NOTIFY_RETURN)));
    world.say("one").await;
    pass(NOTIFY_RETURN - Duration::from_secs(1)).await;
    assert!(world.topic.events().is_empty());
    world.is("bob", Attention::Away);
    pass(Duration::from_secs(3)).await;
    assert_eq!(world.topic.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_stopped_goes_on_where_it_was() {
    let world = World::new().await;
    let relay = world.relay();
    world.say("one").await;
    pass(2 * NOTIFY_GRACE).await;
    relay.stop().await;
    world.say("two").await;
    pass(2 * NOTIFY_GRACE).await;
    assert_eq!(world.topic.events().len(), 1);
    let _relay = world.relay();
    pass(2 * NOTIFY_GRACE).await;
    let ids: Vec<String> = world
        .topic
        .events()
        .into_iter()
        .map(|event| event.id)
        .collect();
    assert_eq!(ids.len(), 2);
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test(start_paused = true)]
async fn what_was_held_is_not_lost_when_the_relay_stops_while_the_topic_does_not_answer() {
    let world = World::new().await;
    let relay = world.relay();
    world.is("carol", Attention::Looking);
    world.is("bob", Attention::Returning(wall().plus(NOTIFY_RETURN)));
    world.say("one").await;
    pass(2 * NOTIFY_GRACE).await;
    world.topic.fail([Fault::Unavailable; 20]);
    world.is("bob", Attention::Away);
    pass(NOTIFY_RETURN).await;
    relay.stop().await;
    world.topic.faults.lock().unwrap().clear();
    assert!(world.topic.events().is_empty(), "nobody was told yet");
    let _relay = world.relay();
    pass(2 * NOTIFY_GRACE).await;
    assert_eq!(world.topic.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn rings_are_told_at_once_and_of_reads_the_last() {
    let world = World::new().await;
    let rooms = Arc::new(world.store.clone());
    let announcer = Announcer::start(rooms, Arc::clone(&world.topic) as _, Arc::new(wall));
    let until = wall().plus(Duration::from_secs(45));
    let (room, from) = (world.room.clone(), user("alice"));
    world.topic.fail([Fault::Unavailable]);
    announcer.announce(Announcement::Ringing {
        user: user_id("bob"),
        room: room.clone(),
        from: from.clone(),
        until,
    });
    pass(Duration::from_millis(500)).await;
    let outcome = RingOutcome::Declined;
    announcer.announce(Announcement::RingOver {
        user: user_id("bob"),
        room: room.clone(),
        from,
        until,
        outcome,
    });
    for seq in [3, 9, 5] {
        announcer.announce(Announcement::Read {
            user: user_id("bob"),
            room: room.clone(),
            to: Position {
                epoch: Epoch(1),
                seq: Seq(seq),
            },
        });
    }
    pass(Duration::from_secs(5)).await;
    let events = world.topic.events();
    let [ring, over, read] = events.as_slice() else {
        panic!("three events: {events:?}");
    };
    let (Some(What::Call(ring)), Some(What::CallOver(over)), Some(What::Read(read))) =
        (&ring.what, &over.what, &read.what)
    else {
        panic!("a ring, its end, a read: {events:?}");
    };
    assert_eq!(ring.call_id, over.call_id);
    assert_eq!(
        (ring.room_title.as_str(), ring.caller_name.as_str()),
        ("Tea", "ALICE")
    );
    assert_eq!(read.seq, 9);
    assert_eq!(
        (announcer.stats().published(), announcer.stats().dropped()),
        (3, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_ring_goes_before_the_reads_that_wait() {
    let world = World::new().await;
    let rooms = Arc::new(world.store.clone());
    let announcer = Announcer::start(rooms, Arc::clone(&world.topic) as _, Arc::new(wall));
    world.topic.fail([Fault::Unavailable, Fault::Unavailable]);
    for reader in 0..30 {
        announcer.announce(Announcement::Read {
            user: user_id(&format!("reader{reader}")),
            room: world.room.clone(),
            to: Position {
                epoch: Epoch(1),
                seq: Seq(3),
            },
        });
    }
    // The topic has refused them once by now.
    pass(Duration::from_millis(1_100)).await;
    announcer.announce(Announcement::Ringing {
        user: user_id("bob"),
        room: world.room.clone(),
        from: user("alice"),
        until: wall().plus(Duration::from_secs(45)),
    });
    pass(Duration::from_secs(5)).await;
    let events = world.topic.events();
    let first = events.first().map(|event| &event.what);
    assert!(matches!(first, Some(Some(What::Call(_)))), "{first:?}");
    assert_eq!((events.len(), announcer.stats().dropped()), (31, 0));
}

#[tokio::test(start_paused = true)]
async fn a_clip_is_told_once_it_is_ready_and_its_post_is_not() {
    let world = World::new().await;
    let relay = world.relay();
    let here = Attention::Looking;
    world.here.0.lock().unwrap().insert(user_id("carol"), here);
    let posted = world
        .chat
        .post_clip(
            &world.room,
            &user("alice"),
            view(1, 1, ClipShown::Uploading),
        )
        .await
        .unwrap();
    let target = posted.position.seq;
    for (version, state) in [
        (2, ClipShown::Processing),
        (3, ClipShown::Ready),
        // Its subtitles came: it is still ready, and nobody is told again.
        (4, ClipShown::Ready),
    ] {
        let view = view(1, version, state);
        world
            .chat
            .show_clip(&world.room, target, view)
            .await
            .unwrap();
    }
    let ready = target.0 + 2;
    tokio::time::sleep(2 * NOTIFY_GRACE).await;
    let events = world.topic.events();
    let [event] = events.as_slice() else {
        panic!("one event: {events:?}");
    };
    // Who looks is left out; the uploader, who is away, is told.
    assert_eq!(event.recipients, ["alice", "bob"]);
    let Some(What::Clip(clip)) = &event.what else {
        panic!("a clip: {event:?}");
    };
    assert_eq!(clip.clip_id, clip_id(1).to_string());
    assert_eq!((clip.is_ready, clip.title.as_str()), (true, "clip 1"));
    assert_eq!(
        (clip.uploader_id.as_str(), clip.uploader_name.as_str()),
        ("alice", "ALICE")
    );
    assert_eq!((clip.seq, clip.message_seq), (ready, target.0));
    let id = event_id(&["clip", &clip_id(1).to_string(), "ready"]);
    assert_eq!(event.id, id.to_string());
    let day = 24 * 3600 * 1000;
    assert_eq!(event.expires_ms - event.time_ms, day);
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_a_clip_that_was_deleted_or_that_they_have_marked() {
    let world = World::new().await;
    let relay = world.relay();
    for (number, state) in [(1, ClipShown::Processing), (2, ClipShown::Ready)] {
        let view = view(number, 1, state);
        let posted = world
            .chat
            .post_clip(&world.room, &user("alice"), view)
            .await;
        let at = posted.unwrap().position;
        if number == 1 {
            let ready = crate::support::view(1, 2, ClipShown::Ready);
            world
                .chat
                .show_clip(&world.room, at.seq, ready)
                .await
                .unwrap();
            world.chat.remove_clip(&world.room, at.seq).await.unwrap();
        } else {
            world
                .chat
                .mark(&actor("bob"), &world.room, at)
                .await
                .unwrap();
        }
    }
    tokio::time::sleep(2 * NOTIFY_GRACE).await;
    let events = world.topic.events();
    let [event] = events.as_slice() else {
        panic!("one event: {events:?}");
    };
    assert_eq!(
        event.recipients,
        ["alice", "carol"],
        "of the second, posted as ready"
    );
    relay.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_clip_that_failed_is_told_to_its_uploader_alone() {
    let world = World::new().await;
    let topic = Arc::clone(&world.topic) as Arc<dyn Topic>;
    let announcer = Announcer::start(Arc::new(world.store.clone()), topic, Arc::new(wall));
    // A topic that is away for a while.
    world.topic.fail([Fault::Unavailable, Fault::Unavailable]);
    announcer.announce(Announcement::ClipFailed {
        user: user_id("alice"),
        room: world.room.clone(),
        clip: clip_id(1),
        version: 5,
        title: text("clip 1"),
        reason: "no picture in it".to_owned(),
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    let events = world.topic.events();
    let [event] = events.as_slice() else {
        panic!("one event: {events:?}");
    };
    assert_eq!(event.recipients, ["alice"]);
    let Some(What::Clip(clip)) = &event.what else {
        panic!("a clip: {event:?}");
    };
    assert_eq!(
        (clip.is_ready, clip.reason.as_str()),
        (false, "no picture in it")
    );
    assert_eq!(announcer.stats().published(), 1);
}
