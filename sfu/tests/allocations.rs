//! In steady state the media path allocates nothing for a packet: a counting allocator watches the
//! shards' threads.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[allow(dead_code, reason = "each test uses a part")]
#[path = "call/client.rs"]
mod client;
#[path = "call/wait.rs"]
mod wait;

use client::{Client, Line, picture};
use kaiwa_common::id::RoomId;
use kaiwa_sfu::config::{Config, TcpConfig, TcpListen};
use kaiwa_sfu::control::{
    Event, Hears, Join, Prefer, PublicationId, Rights, SfuControl, SfuEvents, Source, Wish,
};
use kaiwa_sfu::engine::Engine;
use kaiwa_sfu::unit::{Bitrate, Ssrc};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wait::{block_on, pump};

static COUNTED: AtomicU64 = AtomicU64::new(0);
static IS_COUNTING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Whether this is a thread of the test's; those of the SFU are not marked.
    static IS_TESTS: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
#[expect(unsafe_code, reason = "an allocator is one by its nature")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn count() {
    let is_tests = IS_TESTS.try_with(Cell::get).unwrap_or(true);
    if !is_tests && IS_COUNTING.load(Ordering::Relaxed) {
        COUNTED.fetch_add(1, Ordering::Relaxed);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Default)]
struct Published(Mutex<Option<PublicationId>>);

impl SfuEvents for Published {
    fn handle(&self, event: Event) {
        if let Event::Published { publication, .. } = event
            && publication.source == Source::Camera
        {
            *self.0.lock().unwrap() = Some(publication.id);
        }
    }
}

/// Packets before counting: buffers and rings reach their size, and the path its estimate.
const WARM: u16 = 3_000;

/// Allocations that are no packet's: a machine that stops a thread for a while makes a queue grow to a
/// new maximum, once. One for each packet would be thousands.
const GROWTH: u64 = 8;

/// Packets that are counted.
const COUNTED_PACKETS: u16 = 2_000;

/// A packet is waited for so long before it is taken for lost.
const PATIENCE: Duration = Duration::from_millis(100);

/// A publisher and a subscriber of sound and pictures, both connected.
fn call(by_tcp: bool) -> (Arc<Engine>, Client, Client) {
    let events = Arc::new(Published::default());
    let config = Config {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        loopback: true,
        shards: 1,
        assumed: Bitrate::kbps(50_000),
        tcp: TcpConfig {
            listen: TcpListen::Beside,
            shared: None,
        },
        ..Config::default()
    };
    let engine = Engine::start(&config, Arc::clone(&events) as Arc<dyn SfuEvents>).unwrap();
    let all = Rights {
        microphone: true,
        camera: true,
        screen: true,
        subscribe: true,
    };
    let lines = vec![
        Line::send(Source::Camera, 1_000),
        Line::send(Source::Microphone, 2_000),
    ];
    let mut alice = Client::new(1, lines);
    let mut bob = Client::new(2, vec![Line::receive("audio"), Line::receive("video")]).blind();
    if by_tcp {
        (alice, bob) = (alice.by_tcp(), bob.by_tcp());
    }
    for client in [&mut alice, &mut bob] {
        let join = Join {
            room: RoomId::parse("r_1").unwrap(),
            participant: client.participant,
            rights: all,
            video_codecs: None,
        };
        block_on(engine.join(join)).expect("joined");
        client.negotiate(&engine);
        pump(&mut [client], |clients| clients[0].is_connected());
    }
    let publication = events.0.lock().unwrap().expect("published");
    let wish = Wish {
        publication,
        width: 640,
        height: 360,
        is_paused: false,
    };
    let prefer = Prefer {
        participant: bob.participant,
        wishes: vec![wish],
        hears: Hears::Everybody,
    };
    block_on(engine.prefer(prefer)).expect("a participant");
    (engine, alice, bob)
}

#[test]
fn nothing_is_allocated_for_a_packet_by_udp_or_by_tcp() {
    // One after the other: what is counted is the process's.
    for by_tcp in [false, true] {
        let allocated = allocated(by_tcp);
        assert!(
            allocated <= GROWTH,
            "{allocated} allocations of the media threads, by TCP: {by_tcp}"
        );
    }
}

/// What the media threads allocate while packets are counted.
fn allocated(by_tcp: bool) -> u64 {
    COUNTED.store(0, Ordering::Relaxed);
    // The test harness runs tests in threads of its own; only those that the engine starts count.
    IS_TESTS.with(|is| is.set(true));
    let (engine, mut alice, mut bob) = call(by_tcp);
    let mut seen = 0;
    let began = Instant::now();
    for no in 0..WARM + COUNTED_PACKETS {
        if no == WARM {
            seen = 0;
            IS_COUNTING.store(true, Ordering::Relaxed);
        }
        let at = u64::from(no);
        let payload = picture(no, no.is_multiple_of(50), 150);
        alice.send(&alice.sealed(0, None, Ssrc(1_000), at, u32::from(no) * 90, &payload));
        if no.is_multiple_of(20) {
            let time = u32::from(no) * 48;
            alice.send(&alice.sealed(1, None, Ssrc(2_000), at / 20, time, &[7; 80]));
        }
        // One packet each millisecond, as a camera would; on a machine that is behind, one after the other.
        let sent = Instant::now();
        while began.elapsed() < Duration::from_millis(at)
            || (bob.received.is_empty() && sent.elapsed() < PATIENCE)
        {
            bob.drain();
            alice.drain();
        }
        seen += bob.received.len();
        bob.received.clear();
        bob.reports.clear();
        alice.reports.clear();
    }
    IS_COUNTING.store(false, Ordering::Relaxed);
    assert!(
        seen > usize::from(COUNTED_PACKETS),
        "{seen} packets were forwarded"
    );
    drop(engine);
    COUNTED.load(Ordering::Relaxed)
}
