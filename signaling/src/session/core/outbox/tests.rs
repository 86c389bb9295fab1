use super::*;
use kaiwa_common::position::{Epoch, Seq};
use prost::Message as _;

fn outbox(soft: u32, hard: u32) -> Outbox {
    let limits = Limits {
        outbox_soft_bytes: soft,
        outbox_hard_bytes: hard,
        resume_frames: 4,
        resume_bytes: 1000,
        ..Limits::default()
    };
    let mut outbox = Outbox::new(Codec::Proto, &limits);
    outbox.release();
    outbox
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).expect("a room id")
}

fn at(seq: u64) -> Position {
    Position {
        epoch: Epoch(1),
        seq: Seq(seq),
    }
}

fn event(name: &str, seq: u64, bytes: usize) -> Reliable {
    let mut payload = format!("{name}:{seq}").into_bytes();
    payload.resize(bytes.max(payload.len()), b' ');
    let frame = Frame::new(crate::transport::Format::Binary, payload);
    Reliable {
        room: Some((room(name), at(seq))),
        frame,
        pushes: 1,
    }
}

fn text(frame: &Frame) -> String {
    String::from_utf8_lossy(&frame.payload()).trim().to_owned()
}

fn drain(outbox: &mut Outbox) -> Vec<String> {
    std::iter::from_fn(|| outbox.pop_reliable())
        .map(|frame| text(&frame))
        .collect()
}

#[test]
fn nothing_of_the_log_leaves_before_the_reply_to_connect() {
    let mut outbox = Outbox::new(Codec::Proto, &Limits::default());
    outbox.push_reliable(event("a", 1, 0)).expect("fits");
    assert!(outbox.pop_reliable().is_none());
    outbox.release();
    assert_eq!(drain(&mut outbox), ["a:1"]);
    assert_eq!(outbox.sent(), 1);
}

#[test]
fn past_the_soft_cap_a_rooms_events_become_one_gap_with_the_latest_head() {
    let mut outbox = outbox(250, 10_000);
    for seq in 1..=2 {
        outbox.push_reliable(event("a", seq, 100)).expect("fits");
        outbox.push_reliable(event("b", seq, 10)).expect("fits");
    }
    for seq in 3..=9 {
        outbox.push_reliable(event("a", seq, 100)).expect("fits");
    }
    assert_eq!(text(&outbox.pop_reliable().expect("b's first")), "b:1");
    assert_eq!(text(&outbox.pop_reliable().expect("b's second")), "b:2");
    let gap = outbox.pop_reliable().expect("a's gap");
    let message =
        wire::ServerMessage::decode_length_delimited(gap.payload()).expect("a server message");
    let Some(wire::server_message::Message::Push(wire::Push {
        push: Some(wire::push::Push::Gap(gap)),
    })) = message.message
    else {
        panic!("not a gap: {message:?}");
    };
    assert_eq!((gap.room.as_str(), gap.head), ("a", 9));
    assert!(outbox.pop_reliable().is_none());
    outbox.push_reliable(event("a", 10, 100)).expect("fits");
    assert_eq!(
        drain(&mut outbox),
        ["a:10"],
        "after the gap the room goes on as before"
    );
}

#[test]
fn one_large_event_alone_is_no_reason_for_a_gap() {
    let mut outbox = outbox(50, 10_000);
    outbox.push_reliable(event("a", 1, 200)).expect("fits");
    assert_eq!(drain(&mut outbox), ["a:1"]);
}

#[test]
fn past_the_hard_cap_the_session_is_given_up() {
    let mut outbox = outbox(100, 300);
    let state = |bytes| Reliable {
        room: None,
        ..event("x", 1, bytes)
    };
    outbox
        .push_reliable(state(200))
        .expect("states are not replaced");
    assert_eq!(outbox.push_reliable(state(200)), Err(Overflow));
}

#[test]
fn a_rewind_sends_again_what_the_client_has_not_counted() {
    let mut outbox = outbox(10_000, 10_000);
    for seq in 1..=3 {
        outbox.push_reliable(event("a", seq, 0)).expect("fits");
    }
    assert_eq!(drain(&mut outbox), ["a:1", "a:2", "a:3"]);
    outbox.push_reliable(event("a", 4, 0)).expect("fits");
    assert_eq!(outbox.rewind(1), Ok(()));
    assert!(outbox.pop_reliable().is_none(), "held until the reply");
    outbox.release();
    assert_eq!(outbox.sent(), 1);
    assert_eq!(drain(&mut outbox), ["a:2", "a:3", "a:4"]);
    assert_eq!(outbox.sent(), 4);
}

#[test]
fn a_rewind_beyond_what_is_kept_or_was_sent_is_refused_and_changes_nothing() {
    let mut outbox = outbox(10_000, 10_000);
    for seq in 1..=6 {
        outbox.push_reliable(event("a", seq, 0)).expect("fits");
    }
    drain(&mut outbox);
    assert_eq!(
        outbox.rewind(1),
        Err(ResumeRefused::TooFarBehind),
        "4 frames are kept"
    );
    assert_eq!(
        outbox.rewind(7),
        Err(ResumeRefused::TooFarBehind),
        "6 were sent"
    );
    assert_eq!(outbox.rewind(2), Ok(()));
    outbox.release();
    assert_eq!(drain(&mut outbox), ["a:3", "a:4", "a:5", "a:6"]);
    outbox.forget(5);
    assert_eq!(
        outbox.rewind(4),
        Err(ResumeRefused::TooFarBehind),
        "the client had it"
    );
    assert_eq!(outbox.rewind(5), Ok(()));
}

#[test]
fn a_count_within_a_frame_is_refused() {
    let mut outbox = outbox(10_000, 10_000);
    outbox
        .push_reliable(Reliable {
            pushes: 3,
            ..event("a", 3, 0)
        })
        .expect("fits");
    drain(&mut outbox);
    assert_eq!(outbox.sent(), 3);
    assert_eq!(outbox.rewind(2), Err(ResumeRefused::TooFarBehind));
    assert_eq!(outbox.rewind(0), Ok(()));
}

#[test]
fn the_ring_keeps_no_more_than_its_frames_and_bytes() {
    let mut outbox = outbox(100_000, 100_000);
    for seq in 1..=3 {
        outbox.push_reliable(event("a", seq, 400)).expect("fits");
    }
    drain(&mut outbox);
    assert_eq!((outbox.ring.len(), outbox.ring_bytes), (2, 800));
}

#[test]
fn signals_go_last_and_uncounted_and_the_latest_of_a_kind_replaces_one_that_waits() {
    let mut outbox = outbox(10_000, 10_000);
    let signal = |text: &str| Frame::new(crate::transport::Format::Binary, text.as_bytes());
    outbox.push_signal(SignalKey::Speakers, signal("alice speaks"));
    outbox.push_signal(SignalKey::Quality, signal("fair"));
    outbox.push_signal(SignalKey::Speakers, signal("bob speaks"));
    outbox.push_reliable(event("a", 1, 0)).expect("fits");
    assert!(outbox.pop_signal().is_none(), "the log goes first");
    assert_eq!(drain(&mut outbox), ["a:1"]);
    let told: Vec<String> = std::iter::from_fn(|| outbox.pop_signal())
        .map(|frame| text(&frame))
        .collect();
    assert_eq!(told, ["bob speaks", "fair"]);
    assert_eq!(outbox.sent(), 1, "signals are not counted");
    assert!(outbox.is_empty());
    assert!(outbox.signals.is_none(), "what is not used takes no memory");
}

#[test]
fn the_progress_of_a_clip_takes_no_place_of_another_rooms() {
    let mut outbox = outbox(10_000, 10_000);
    let signal = |text: &str| Frame::new(crate::transport::Format::Binary, text.as_bytes());
    let key = |room| SignalKey::Clip(RoomId::parse(room).expect("a room"), Seq(7));
    outbox.push_signal(key("r_a"), signal("a 10 %"));
    outbox.push_signal(key("r_b"), signal("b 10 %"));
    outbox.push_signal(key("r_a"), signal("a 20 %"));
    let told: Vec<String> = std::iter::from_fn(|| outbox.pop_signal())
        .map(|frame| text(&frame))
        .collect();
    assert_eq!(told, ["a 20 %", "b 10 %"]);
}

#[test]
fn a_rewind_forgets_signals() {
    let mut outbox = outbox(10_000, 10_000);
    let frame = Frame::new(crate::transport::Format::Binary, b"old");
    outbox.push_signal(SignalKey::Speakers, frame);
    assert_eq!(outbox.rewind(0), Ok(()));
    outbox.release();
    assert!(outbox.pop_signal().is_none());
}

#[test]
fn a_ring_gives_back_what_it_no_longer_needs() {
    let mut outbox = Outbox::new(Codec::Proto, &Limits::default());
    outbox.release();
    for seq in 0..200 {
        outbox.push_reliable(event("a", seq, 10)).expect("room");
    }
    assert_eq!(drain(&mut outbox).len(), 200);
    assert!(outbox.ring.capacity() >= 200 && outbox.log.capacity() <= 8);
    outbox.forget(197);
    assert!((3..=8).contains(&outbox.ring.capacity()));
    assert_eq!(outbox.rewind(197), Ok(()));
    outbox.release();
    assert_eq!(drain(&mut outbox).len(), 3);
}
