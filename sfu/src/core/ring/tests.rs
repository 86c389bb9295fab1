use super::*;
use crate::unit::RtpTime;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn meta(received_at: Instant) -> Meta {
    Meta {
        pt: crate::unit::PayloadType(96),
        time: RtpTime(0),
        received_at,
        captured: None,
        payload_len: 0,
        descriptor_len: 0,
        format: Format::Primary,
        marker: false,
        starts_frame: false,
        is_keyframe: false,
        coding: crate::core::ring::Coding::Plain,
        level: None,
    }
}

fn at(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

/// Bytes that tell the number.
fn payload(seq: u64, len: usize) -> Vec<u8> {
    seq.to_be_bytes().repeat(len / 8 + 1)[..len].to_vec()
}

#[test]
fn an_idle_layer_holds_nothing_and_a_small_one_little() {
    let mut ring = PayloadRing::new(MediaKind::Audio);
    assert_eq!(ring.footprint(), 0);
    let start = Instant::now();
    for seq in 0..1_000 {
        let now = meta(at(start, seq * 20));
        ring.insert(ExtSeqNo(seq), now, &payload(seq, 80)).unwrap();
    }
    assert_eq!(ring.capacity(), 64);
    assert!(ring.footprint() < 20 * 1_024, "{}", ring.footprint());
    ring.clear();
    assert_eq!(ring.footprint(), 0);
}

#[test]
fn an_arena_grows_to_what_a_second_needs_and_no_further() {
    let start = Instant::now();
    let mut ring = PayloadRing::new(MediaKind::Video);
    // A second is 275,000 bytes.
    for seq in 0..5_000 {
        let now = meta(at(start, seq * 4));
        let bytes = payload(seq, 1_100);
        ring.insert(ExtSeqNo(seq), now, &bytes).unwrap();
        for kept in seq.saturating_sub(249)..=seq {
            let found = ring.get(ExtSeqNo(kept)).map(|(_, bytes)| bytes.to_vec());
            assert_eq!(found, Some(payload(kept, 1_100)), "{kept} at {seq}");
        }
    }
    assert_eq!(ring.arena.len(), 512 * 1_024);
}

#[test]
fn a_packet_is_kept_once_and_found_by_its_number() {
    let now = meta(Instant::now());
    let mut ring = PayloadRing::new(MediaKind::Video);
    ring.insert(ExtSeqNo(7), now, b"seven").unwrap();
    let again = ring.insert(ExtSeqNo(7), now, b"other");
    assert_eq!(again, Err(RingError::Duplicate));
    let (meta, bytes) = ring.get(ExtSeqNo(7)).unwrap();
    assert_eq!((meta.payload_len, bytes), (5, &b"seven"[..]));
    assert!(ring.get(ExtSeqNo(7 + 64)).is_none());
    assert!(ring.has(ExtSeqNo(7)) && !ring.has(ExtSeqNo(6)));
}

#[test]
fn a_late_packet_takes_no_newer_ones_place() {
    let start = Instant::now();
    let mut ring = PayloadRing::new(MediaKind::Audio);
    for seq in (0..128).filter(|&seq| seq != 60 && seq != 100) {
        let now = meta(at(start, seq * 20));
        ring.insert(ExtSeqNo(seq), now, &payload(seq, 50)).unwrap();
    }
    let late = meta(at(start, 128 * 20));
    assert_eq!(
        ring.insert(ExtSeqNo(60), late, b"x"),
        Err(RingError::TooOld)
    );
    assert_eq!(ring.insert(ExtSeqNo(100), late, b"x"), Ok(()));
    assert_eq!(ring.get(ExtSeqNo(100)).unwrap().1, b"x");
}

#[test]
fn it_grows_until_it_remembers_a_second_and_no_further_than_its_bound() {
    let start = Instant::now();
    let mut ring = PayloadRing::new(MediaKind::Video);
    for seq in 0..2_000 {
        let now = meta(at(start, seq * 4));
        let bytes = payload(seq, 1_100);
        ring.insert(ExtSeqNo(seq), now, &bytes).unwrap();
    }
    assert_eq!(ring.capacity(), 256);
    for seq in 2_000 - 249..2_000 {
        let (_, bytes) = ring.get(ExtSeqNo(seq)).expect("a second is kept");
        assert_eq!(bytes, payload(seq, 1_100));
    }
    let flood = meta(at(start, 8_000));
    let bytes = payload(0, 1_500);
    for seq in 2_000..10_000 {
        ring.insert(ExtSeqNo(seq), flood, &bytes).unwrap();
    }
    assert_eq!(ring.capacity(), 1_024);
    assert!(ring.footprint() < 1_200 * 1_024, "{}", ring.footprint());
}

#[test]
fn a_payload_too_large_is_refused() {
    let now = meta(Instant::now());
    let mut ring = PayloadRing::new(MediaKind::Video);
    for len in [MAX_PAYLOAD_BYTES + 1, 70_000] {
        let refused = ring.insert(ExtSeqNo(1), now, &vec![0; len]);
        assert_eq!(refused, Err(RingError::TooLarge));
    }
    let whole = vec![7; MAX_PAYLOAD_BYTES];
    assert_eq!(ring.insert(ExtSeqNo(1), now, &whole), Ok(()));
    assert_eq!(ring.insert(ExtSeqNo(2), now, b""), Ok(()));
    assert_eq!(ring.get(ExtSeqNo(2)).unwrap().1, b"");
}

proptest! {
    /// Whatever comes in whatever order: what is found is what was put there, and what is young and
    /// within the bounds is found.
    #[test]
    fn what_is_found_is_what_was_inserted(
        steps in prop::collection::vec((0u64..200, 0usize..1_501, 0u64..30), 1..400),
        audio in any::<bool>(),
    ) {
        let start = Instant::now();
        let kind = if audio { MediaKind::Audio } else { MediaKind::Video };
        let mut ring = PayloadRing::new(kind);
        let mut model = BTreeMap::new();
        let (mut newest, mut ms) = (1_000u64, 0);
        for (back, len, pause) in steps {
            ms += pause;
            // Mostly forward, sometimes far back.
            let seq = if back < 150 { newest + 1 } else { newest - (back - 150) * 20 };
            newest = newest.max(seq);
            let bytes = payload(seq, len);
            let result = ring.insert(ExtSeqNo(seq), meta(at(start, ms)), &bytes);
            match result {
                Ok(()) => prop_assert!(model.insert(seq, bytes).is_none()),
                Err(RingError::Duplicate) => prop_assert!(model.contains_key(&seq)),
                Err(error) => prop_assert_eq!(error, RingError::TooOld),
            }
            prop_assert!(ring.capacity() <= 1_024);
            prop_assert!(ring.get(ExtSeqNo(seq)).is_some() || result.is_err());
        }
        for (&seq, bytes) in &model {
            if let Some((_, found)) = ring.get(ExtSeqNo(seq)) {
                prop_assert_eq!(found, bytes.as_slice());
            }
        }
    }
}
