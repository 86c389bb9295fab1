//! Rules of the session one by one, and a seeded simulation of a client that loses connections.

use super::*;
use crate::transport::Format;
use kaiwa_common::id::RoomId;
use kaiwa_common::limits::{PONG_GRACE, WRITE_STALL};
use kaiwa_common::position::{Epoch, Position, Seq};
use proptest::prelude::*;
use std::time::Duration;
use watch::Progress;

const HOUR: Duration = Duration::from_secs(3600);

fn session(limits: &Limits, now: Instant) -> SessionCore {
    let mut core = SessionCore::new(Codec::Proto, now + HOUR, limits, now);
    core.handle_connected(core.link_no(), frame(b"connected"));
    assert!(matches!(
        core.poll_transmit(core.link_no(), now),
        Transmit::Frame(_)
    ));
    core
}

fn frame(payload: &[u8]) -> Frame {
    Frame::new(Format::Binary, payload)
}

fn push(number: u64) -> Reliable {
    let room = RoomId::parse("r").expect("a room id");
    let position = Position {
        epoch: Epoch(1),
        seq: Seq(number),
    };
    Reliable {
        room: Some((room, position)),
        frame: frame(&number.to_be_bytes()),
        pushes: 1,
    }
}

fn closes(core: &mut SessionCore, now: Instant) -> Option<CloseCode> {
    match core.poll_transmit(core.link_no(), now) {
        Transmit::Close(code) => Some(code),
        Transmit::Frame(_) | Transmit::Ping { .. } | Transmit::Nothing => None,
    }
}

#[test]
fn a_ping_is_due_at_its_interval_and_states_the_count() {
    let now = Instant::now();
    let mut core = session(&Limits::default(), now);
    core.handle_push(push(1));
    let link = core.link_no();
    assert!(matches!(core.poll_transmit(link, now), Transmit::Frame(_)));
    assert!(matches!(core.poll_transmit(link, now), Transmit::Nothing));
    assert_eq!(core.poll_timeout(true), Some(now + PING_INTERVAL));
    let due = now + PING_INTERVAL;
    assert!(matches!(
        core.poll_transmit(link, due),
        Transmit::Ping { count: 1 }
    ));
    assert!(matches!(core.poll_transmit(link, due), Transmit::Nothing));
}

#[test]
fn the_tokens_end_is_the_connections_end_unless_it_is_refreshed() {
    let now = Instant::now();
    let mut core = session(&Limits::default(), now);
    let mut heard = now;
    while heard < now + HOUR {
        heard += Duration::from_secs(20);
        core.handle_heard(core.link_no(), heard);
    }
    core.handle_timeout(now + HOUR - Duration::from_millis(1));
    assert_eq!(closes(&mut core, now), None);
    core.handle_refreshed(now + 2 * HOUR);
    core.handle_timeout(now + HOUR);
    assert_eq!(closes(&mut core, now), None);
    core.handle_heard(core.link_no(), now + 2 * HOUR);
    core.handle_timeout(now + 2 * HOUR);
    assert_eq!(closes(&mut core, now), Some(CloseCode::TokenExpired));
}

#[test]
fn a_silent_link_is_given_up_and_can_be_resumed() {
    let start = Instant::now();
    let mut core = session(&Limits::default(), start);
    let late = start + PING_INTERVAL + PONG_GRACE;
    assert_eq!(core.gives_up(late), Some(CloseCode::NoPong));
    core.handle_timeout(late);
    let until = core.detach(core.link_no(), late).expect("it waits");
    assert!(
        core.attach(
            0,
            Codec::Proto,
            start + HOUR,
            until - Duration::from_millis(1)
        )
        .is_ok()
    );
}

#[test]
fn a_link_that_cannot_write_is_not_woken_for_its_ping_and_ends_when_it_stalls() {
    let start = Instant::now();
    let mut core = session(&Limits::default(), start);
    let blocked = Progress {
        written_bytes: 7,
        queued_bytes: 99_999,
        is_mid_frame: false,
    };
    core.handle_progress(core.link_no(), blocked, start);
    core.handle_heard(core.link_no(), start + PING_INTERVAL);
    let wake = core.poll_timeout(false).expect("a deadline");
    assert_eq!(wake, start + WRITE_STALL);
    core.handle_progress(core.link_no(), blocked, wake);
    assert_eq!(core.gives_up(wake), Some(CloseCode::SlowConsumer));
}

#[test]
fn an_older_link_is_replaced_and_has_no_say() {
    let now = Instant::now();
    let mut core = session(&Limits::default(), now);
    let old = core.link_no();
    let new = core
        .attach(0, Codec::Proto, now + HOUR, now)
        .expect("a take-over");
    assert!(matches!(
        core.poll_transmit(old, now),
        Transmit::Close(CloseCode::Replaced)
    ));
    assert_eq!(core.detach(old, now), None, "its end is not the session's");
    core.handle_connected(core.link_no(), frame(b"connected"));
    assert!(matches!(core.poll_transmit(new, now), Transmit::Frame(_)));
}

#[test]
fn a_reply_to_a_replaced_link_is_not_given_to_the_new_one() {
    let now = Instant::now();
    let mut core = session(&Limits::default(), now);
    let old = core.link_no();
    let new = core
        .attach(0, Codec::Proto, now + HOUR, now)
        .expect("a take-over");
    core.handle_reply(old, frame(b"late"));
    core.handle_connected(old, frame(b"late"));
    assert!(matches!(core.poll_transmit(new, now), Transmit::Nothing));
    core.handle_push(push(1));
    assert!(
        matches!(core.poll_transmit(new, now), Transmit::Nothing),
        "held for its own reply"
    );
}

#[test]
fn after_its_time_or_a_code_that_says_stop_a_session_is_gone() {
    let now = Instant::now();
    let mut core = session(&Limits::default(), now);
    let until = core.detach(core.link_no(), now).expect("it waits");
    assert_eq!(
        core.attach(0, Codec::Proto, now + HOUR, until),
        Err(ResumeRefused::Expired)
    );
    assert!(core.expire(until));
    assert!(core.is_ended());

    let mut refused = session(&Limits::default(), now);
    refused.handle_close(CloseCode::ProtocolError);
    assert_eq!(closes(&mut refused, now), Some(CloseCode::ProtocolError));
    assert_eq!(refused.detach(refused.link_no(), now), None);
    assert!(refused.is_ended());
}

#[test]
fn an_overflow_closes_as_slow_consumer_and_keeps_nothing() {
    let now = Instant::now();
    let limits = Limits {
        outbox_hard_bytes: 20,
        ..Limits::default()
    };
    let mut core = session(&limits, now);
    for number in 1..=3 {
        core.handle_push(Reliable {
            room: None,
            ..push(number)
        });
    }
    assert_eq!(closes(&mut core, now), Some(CloseCode::SlowConsumer));
    assert_eq!(
        core.detach(core.link_no(), now),
        None,
        "it begins anew from the room logs"
    );
}

#[test]
fn a_session_that_was_told_to_go_is_not_taken_over_before_its_link_is_gone() {
    let now = Instant::now();
    let limits = Limits {
        outbox_hard_bytes: 20,
        ..Limits::default()
    };
    let mut overflowed = session(&limits, now);
    for number in 1..=3 {
        overflowed.handle_push(Reliable {
            room: None,
            ..push(number)
        });
    }
    let mut refused = session(&limits, now);
    refused.handle_close(CloseCode::ProtocolError);
    for (mut core, what) in [
        (overflowed, "its pushes are gone"),
        (refused, "it is refused"),
    ] {
        assert_eq!(
            core.attach(0, Codec::Proto, now + HOUR, now),
            Err(ResumeRefused::Expired),
            "{what}"
        );
    }

    let mut drained = session(&limits, now);
    drained.handle_close(CloseCode::Drain);
    assert!(drained.attach(0, Codec::Proto, now + HOUR, now).is_ok());
}

/// What the simulated world does next.
#[derive(Debug, Clone)]
enum Step {
    /// The server pushes.
    Push,
    /// The link sends up to this many frames; the client reads them.
    Deliver(usize),
    /// The link sends up to this many frames, and the connection is cut before they arrive.
    Lose(usize),
    /// The client comes back and resumes.
    Resume,
    /// The client comes back while the server believes the older connection.
    TakeOver,
    /// The client states its count.
    Pong,
    /// Time passes, in seconds.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Push),
        6 => (1..8_usize).prop_map(Step::Deliver),
        2 => (0..6_usize).prop_map(Step::Lose),
        3 => Just(Step::Resume),
        1 => Just(Step::TakeOver),
        1 => Just(Step::Pong),
        1 => (1..50_u64).prop_map(Step::Wait),
    ]
}

/// A client, as docs/protocol.md has it: it counts reliable pushes and holds holes against the seq.
struct Client {
    link: Option<LinkNo>,
    count: u64,
    last: u64,
}

impl Client {
    /// Reads what the link sends; true for a frame that was there.
    fn read(&mut self, core: &mut SessionCore, link: LinkNo, now: Instant) -> bool {
        match core.poll_transmit(link, now) {
            Transmit::Frame(frame) => {
                core.handle_heard(core.link_no(), now);
                if frame.payload().as_ref() == b"connected" {
                    return true;
                }
                self.count += 1;
                match <[u8; 8]>::try_from(frame.payload().as_ref()) {
                    Ok(number) => {
                        let number = u64::from_be_bytes(number);
                        assert_eq!(number, self.last + 1, "each push once and in order");
                        self.last = number;
                    }
                    // A gap: the client reads the log up to the head it names.
                    Err(_) => self.last = gap_head(&frame),
                }
                true
            }
            Transmit::Ping { count } => {
                assert_eq!(
                    count, self.count,
                    "a ping's count is what the client has read"
                );
                core.handle_heard(core.link_no(), now);
                true
            }
            Transmit::Close(_) | Transmit::Nothing => false,
        }
    }
}

fn gap_head(frame: &Frame) -> u64 {
    use kaiwa_proto::client::v1::{ServerMessage, push::Push, server_message::Message};
    use prost::Message as _;
    let message = ServerMessage::decode_length_delimited(frame.payload());
    match message.expect("a message").message {
        Some(Message::Push(push)) => match push.push {
            Some(Push::Gap(gap)) => gap.head,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn simulate(steps: &[Step]) {
    let mut now = Instant::now();
    let limits = Limits {
        outbox_soft_bytes: 200,
        resume_frames: 10,
        resume_bytes: 10_000,
        ..Limits::default()
    };
    let mut core = session(&limits, now);
    let mut client = Client {
        link: Some(core.link_no()),
        count: 0,
        last: 0,
    };
    let mut pushed = 0;
    for step in steps {
        match step {
            Step::Push => {
                pushed += 1;
                core.handle_push(push(pushed));
            }
            Step::Deliver(frames) => {
                let Some(link) = client.link else { continue };
                for _ in 0..*frames {
                    client.read(&mut core, link, now);
                }
            }
            Step::Lose(frames) => {
                let Some(link) = client.link.take() else {
                    continue;
                };
                for _ in 0..*frames {
                    let _ = core.poll_transmit(link, now);
                }
                core.detach(link, now);
            }
            Step::Resume if client.link.is_some() => {}
            Step::Resume | Step::TakeOver => {
                match core.attach(client.count, Codec::Proto, now + HOUR, now) {
                    Ok(link) => {
                        core.handle_connected(core.link_no(), frame(b"connected"));
                        client.link = Some(link);
                    }
                    Err(_) => {
                        // Told plainly: a new session, and the room's log up to its head.
                        core = session(&limits, now);
                        let link = core.link_no();
                        client = Client {
                            link: Some(link),
                            count: 0,
                            last: pushed,
                        };
                    }
                }
            }
            Step::Pong => core.handle_pong(client.count),
            Step::Wait(seconds) => {
                now += Duration::from_secs(*seconds);
                core.handle_heard(core.link_no(), now);
                core.handle_timeout(now);
                core.expire(now);
            }
        }
    }
    // In the end the client comes back, and has everything.
    simulate_end(core, client, pushed, now);
}

fn simulate_end(mut core: SessionCore, mut client: Client, pushed: u64, now: Instant) {
    if client.link.is_none() {
        match core.attach(client.count, Codec::Proto, now + HOUR, now) {
            Ok(link) => {
                core.handle_connected(core.link_no(), frame(b"connected"));
                client.link = Some(link);
            }
            Err(_) => return,
        }
    }
    let link = client.link.expect("attached");
    while client.read(&mut core, link, now) {}
    assert_eq!(client.last, pushed, "nothing is missing");
    assert_eq!(client.count, core.count(), "both sides count the same");
}

#[test]
fn a_signal_without_a_link_is_dropped_and_one_with_a_link_follows_the_pushes() {
    use outbox::SignalKey;
    let now = Instant::now();
    let mut core = session(&Limits::default(), now);
    let link = core.link_no();
    core.handle_signal(SignalKey::Speakers, frame(b"signal"));
    core.handle_push(push(1));
    assert!(!core.is_quiet());
    for expected in [&1_u64.to_be_bytes()[..], b"signal"] {
        let Transmit::Frame(sent) = core.poll_transmit(link, now) else {
            panic!("two frames wait");
        };
        assert_eq!(sent.payload(), expected);
    }
    assert!(core.is_quiet());
    core.handle_signal(SignalKey::Speakers, frame(b"old"));
    core.detach(link, now).expect("it waits");
    core.handle_signal(SignalKey::Speakers, frame(b"nobody hears it"));
    let link = core
        .attach(1, Codec::Proto, now + HOUR, now)
        .expect("resumed");
    core.handle_connected(link, frame(b"connected"));
    assert!(matches!(core.poll_transmit(link, now), Transmit::Frame(_)));
    assert!(matches!(core.poll_transmit(link, now), Transmit::Nothing));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn a_resumed_session_sees_each_push_once_and_in_order_or_is_told(
        steps in proptest::collection::vec(step(), 1..120)
    ) {
        simulate(&steps);
    }
}

/// `make soak` asks for more.
fn cases() -> u32 {
    std::env::var("KAIWA_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(512)
}
