//! What a subscriber costs: an allocator keeps account of what the shards' threads hold.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "each test uses a part")]
#[path = "call/client.rs"]
mod client;
#[path = "call/wait.rs"]
mod wait;

use client::{Client, Line, picture};
use kaiwa_common::id::RoomId;
use kaiwa_sfu::config::Config;
use kaiwa_sfu::control::{
    Event, Hears, Join, ParticipantId, Prefer, PublicationId, Rights, SfuControl, SfuEvents,
    Source, Wish,
};
use kaiwa_sfu::engine::Engine;
use kaiwa_sfu::unit::{Bitrate, Ssrc};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use wait::{block_on, pump};

/// By its address, the size of what a thread of the SFU's allocated, until somebody frees it.
static HELD: Mutex<Option<HashMap<usize, usize>>> = Mutex::new(None);

thread_local! {
    /// Whether this is a thread of the test's; those of the SFU are not marked.
    static IS_TESTS: Cell<bool> = const { Cell::new(false) };
    /// Whether this thread has the account open, which allocates too.
    static IS_ACCOUNTING: Cell<bool> = const { Cell::new(false) };
}

struct Accounting;

// SAFETY: every call goes to the system's allocator as it came. Reallocation is the trait's own: allocate,
// copy, free.
#[expect(unsafe_code, reason = "an allocator is one by its nature")]
unsafe impl GlobalAlloc for Accounting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promised.
        let at = unsafe { System.alloc(layout) };
        if !IS_TESTS.try_with(Cell::get).unwrap_or(true) {
            account(|held| held.insert(at.addr(), layout.size()));
        }
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        account(|held| held.remove(&at.addr()));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }
}

fn account(change: impl FnOnce(&mut HashMap<usize, usize>) -> Option<usize>) {
    if IS_ACCOUNTING.try_with(|is| is.replace(true)) == Ok(false) {
        if let Ok(mut held) = HELD.lock() {
            change(held.get_or_insert_default());
        }
        let _ = IS_ACCOUNTING.try_with(|is| is.set(false));
    }
}

#[global_allocator]
static ALLOCATOR: Accounting = Accounting;

/// Bytes that the SFU's threads hold.
fn held() -> usize {
    IS_ACCOUNTING.with(|is| is.set(true));
    let held = HELD.lock().unwrap();
    let bytes = held.iter().flat_map(HashMap::values).sum();
    drop(held);
    IS_ACCOUNTING.with(|is| is.set(false));
    bytes
}

/// Subscribers among whom the difference is divided.
const SUBSCRIBERS: usize = 16;

/// Packets that each of them is sent: what is remembered of them then has room for 256.
const PACKETS: u16 = 200;

/// What a subscriber may cost, in bytes: 6 KB are its own state, up to 4 KB what was sent, up to 2 KB what
/// waits for feedback, 4 KB its last minute for the inspector, a kilobyte its slot. A DTLS endpoint that was kept would
/// be 14 KB more.
const SUBSCRIBER_BYTES: usize = 21 * 1_024;

/// What each further slot may cost in which nothing was sent; 64 of it are for the inspector, and as many for the key
/// frame that is on its way and for decode targets.
const SLOT_BYTES: usize = 1_440;

#[derive(Default)]
struct Published(Mutex<Option<PublicationId>>);

impl SfuEvents for Published {
    fn handle(&self, event: Event) {
        if let Event::Published { publication, .. } = event {
            *self.0.lock().unwrap() = Some(publication.id);
        }
    }
}

struct Call {
    engine: Arc<Engine>,
    events: Arc<Published>,
    publisher: Client,
    subscribers: Vec<Client>,
    sent: u16,
}

impl Call {
    fn new() -> Self {
        let events = Arc::new(Published::default());
        let config = Config {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            loopback: true,
            shards: 1,
            assumed: Bitrate::kbps(50_000),
            is_paced: false,
            ..Config::default()
        };
        let engine = Engine::start(&config, Arc::clone(&events) as Arc<dyn SfuEvents>).unwrap();
        let mut publisher = Client::new(1, vec![Line::send(Source::Camera, 1_000)]);
        enter(&engine, &mut publisher);
        Self {
            engine,
            events,
            publisher,
            subscribers: Vec::new(),
            sent: 0,
        }
    }

    /// Somebody comes who wants to see the picture, and has so many slots.
    fn subscribe(&mut self, slots: usize) {
        let no = 2 + self.subscribers.len() as u64;
        let lines = (0..slots).map(|_| Line::receive("video"));
        let mut subscriber = Client::new(no, lines.collect()).blind();
        enter(&self.engine, &mut subscriber);
        // Which the SFU has made, and does not keep.
        subscriber.answer = None;
        let prefer = Prefer {
            participant: ParticipantId(no),
            wishes: vec![Wish {
                publication: self.events.0.lock().unwrap().expect("published"),
                width: 640,
                height: 360,
                is_paused: false,
            }],
            hears: Hears::Everybody,
        };
        block_on(self.engine.prefer(prefer)).expect("a participant");
        self.subscribers.push(subscriber);
    }

    /// Until everybody was sent so many packets.
    fn show(&mut self) {
        let mut left: Vec<_> = vec![usize::from(PACKETS); self.subscribers.len()];
        while left.iter().any(|left| *left > 0) {
            let no = self.sent;
            self.sent += 1;
            let payload = picture(no, no.is_multiple_of(10), 150);
            let (at, time) = (u64::from(no), u32::from(no) * 90);
            let sealed = self
                .publisher
                .sealed(0, None, Ssrc(1_000), at, time, &payload);
            self.publisher.send(&sealed);
            self.publisher.pump();
            self.publisher.reports.clear();
            for (subscriber, left) in self.subscribers.iter_mut().zip(&mut left) {
                subscriber.drain();
                *left = left.saturating_sub(subscriber.received.len());
                subscriber.received.clear();
                subscriber.reports.clear();
            }
        }
    }
}

fn enter(engine: &Arc<Engine>, client: &mut Client) {
    let join = Join {
        room: RoomId::parse("r_1").unwrap(),
        participant: client.participant,
        rights: Rights {
            microphone: true,
            camera: true,
            screen: true,
            subscribe: true,
        },
        video_codecs: None,
    };
    block_on(engine.join(join)).expect("joined");
    client.negotiate(engine);
    pump(&mut [client], |clients| clients[0].is_connected());
}

/// What a subscriber with so many slots costs.
fn cost(slots: usize) -> usize {
    let mut call = Call::new();
    call.subscribe(slots);
    call.show();
    let before = held();
    for _ in 0..SUBSCRIBERS {
        call.subscribe(slots);
    }
    call.show();
    (held() - before) / SUBSCRIBERS
}

#[test]
fn a_subscriber_costs_little_and_a_slot_that_is_not_used_less() {
    // The test harness runs tests in threads of its own; only what the engine starts counts.
    IS_TESTS.with(|is| is.set(true));
    let one = cost(1);
    assert!(one <= SUBSCRIBER_BYTES, "{one} bytes with a slot");

    let many = cost(9);
    assert!(
        many <= one + 8 * SLOT_BYTES,
        "{many} bytes with nine slots, {one} with one"
    );
}
