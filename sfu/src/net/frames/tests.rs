use super::*;
use crate::wire::framing::{Deframer, length_of};
use proptest::prelude::*;

fn framed(class: FrameClass, number: u32, len: usize) -> Vec<u8> {
    let first = match class {
        FrameClass::Media => 0x80,
        FrameClass::Control => 0x14,
    };
    let mut frame = vec![first; len.max(5)];
    frame[1..5].copy_from_slice(&number.to_be_bytes());
    let mut out = length_of(frame.len()).to_vec();
    out.extend(frame);
    out
}

/// A connection that takes so much before it is full.
#[derive(Default)]
struct Wire {
    room: usize,
    got: Vec<u8>,
}

impl Wire {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        for slice in slices {
            let part = slice.len().min(self.room);
            self.got.extend_from_slice(&slice[..part]);
            self.room -= part;
            taken += part;
        }
        if taken == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    fn frames(&self) -> (Vec<(FrameClass, u32)>, usize) {
        let mut deframer = Deframer::default();
        let mut frames = Vec::new();
        let taken = deframer.take(&mut self.got.clone(), |frame| {
            let class = if frame[0] == 0x80 {
                FrameClass::Media
            } else {
                FrameClass::Control
            };
            let number = u32::from_be_bytes(frame[1..5].try_into().unwrap());
            assert!(frame[5..].iter().all(|byte| *byte == frame[0]));
            frames.push((class, number));
        });
        taken.unwrap();
        (frames, deframer.held())
    }
}

#[test]
fn the_oldest_media_goes_at_the_bound_and_reports_stay() {
    let now = Instant::now();
    let mut queue = FrameQueue::new(now);
    queue
        .push(
            now,
            FrameClass::Control,
            &framed(FrameClass::Control, 0, 50),
        )
        .unwrap();
    for number in 0..400 {
        let frame = framed(FrameClass::Media, number, 1_000);
        queue.push(now, FrameClass::Media, &frame).unwrap();
        assert!(queue.bytes() <= MEDIA_BYTES + 52);
    }
    let mut wire = Wire {
        room: usize::MAX,
        ..Wire::default()
    };
    assert!(queue.flush(now, |slices| wire.write(slices)).unwrap());
    let (frames, _) = wire.frames();
    assert_eq!(frames[0], (FrameClass::Control, 0));
    let kept = u32::try_from(MEDIA_BYTES / 1_002).unwrap();
    let wanted: Vec<_> = (400 - kept..400).map(|n| (FrameClass::Media, n)).collect();
    assert_eq!(frames[1..], wanted);
    assert_eq!(queue.dropped(), u64::from(400 - kept));
}

#[test]
fn media_that_waited_too_long_is_dropped_but_for_the_frame_that_began() {
    let start = Instant::now();
    let mut queue = FrameQueue::new(start);
    for number in 0..3 {
        let frame = framed(FrameClass::Media, number, 100);
        queue.push(start, FrameClass::Media, &frame).unwrap();
    }
    let mut wire = Wire {
        room: 130,
        ..Wire::default()
    };
    assert!(!queue.flush(start, |slices| wire.write(slices)).unwrap());
    let later = start + MEDIA_WAIT;
    let fresh = framed(FrameClass::Media, 9, 100);
    queue.push(later, FrameClass::Media, &fresh).unwrap();
    wire.room = usize::MAX;
    assert!(queue.flush(later, |slices| wire.write(slices)).unwrap());
    let numbers: Vec<u32> = wire.frames().0.iter().map(|frame| frame.1).collect();
    assert_eq!(numbers, [0, 1, 9], "1 had begun, 2 was too old");
}

#[test]
fn what_must_arrive_and_does_not_fit_ends_the_connection() {
    let now = Instant::now();
    let mut queue = FrameQueue::new(now);
    let frame = framed(FrameClass::Control, 1, 1_000);
    let fit = CONTROL_BYTES / frame.len();
    for _ in 0..fit {
        queue.push(now, FrameClass::Control, &frame).unwrap();
    }
    let over = queue.push(now, FrameClass::Control, &frame);
    assert_eq!(over, Err(GivenUp::Overflow));
}

#[test]
fn who_takes_nothing_stalls_and_each_byte_counts() {
    let start = Instant::now();
    let mut queue = FrameQueue::new(start);
    assert_eq!(queue.stalls_at(), None);
    let frame = framed(FrameClass::Control, 1, 100);
    let begun = start + Duration::from_secs(60);
    queue.push(begun, FrameClass::Control, &frame).unwrap();
    assert_eq!(queue.stalls_at(), Some(begun + STALL));
    let mut wire = Wire {
        room: 1,
        ..Wire::default()
    };
    let later = begun + Duration::from_secs(9);
    assert!(!queue.flush(later, |slices| wire.write(slices)).unwrap());
    assert_eq!(queue.stalls_at(), Some(later + STALL));
}

proptest! {
    #[test]
    fn whatever_is_taken_when_only_whole_frames_arrive_and_in_order(
        steps in prop::collection::vec((0_usize..6, any::<bool>(), 0_usize..1_400, 0_u64..200, 0_usize..6_000), 1..120),
    ) {
        let mut now = Instant::now();
        let mut queue = FrameQueue::new(now);
        let mut wire = Wire::default();
        let mut number = 0;
        let mut sent = [0_u64; 2];
        for (count, is_media, len, wait_ms, room) in steps {
            now += Duration::from_millis(wait_ms);
            for _ in 0..count {
                let class = if is_media { FrameClass::Media } else { FrameClass::Control };
                if queue.push(now, class, &framed(class, number, len)).is_ok() {
                    sent[usize::from(is_media)] += 1;
                }
                number += 1;
            }
            wire.room = room;
            let is_empty = queue.flush(now, |slices| wire.write(slices)).unwrap();
            prop_assert_eq!(is_empty, queue.is_empty());
        }
        wire.room = usize::MAX;
        prop_assert!(queue.flush(now, |slices| wire.write(slices)).unwrap());
        let (frames, held) = wire.frames();
        prop_assert_eq!(held, 0, "no half frame");
        for class in [FrameClass::Media, FrameClass::Control] {
            let of: Vec<u32> = frames.iter().filter(|f| f.0 == class).map(|f| f.1).collect();
            prop_assert!(of.is_sorted(), "in order");
            let dropped = if class == FrameClass::Media { queue.dropped() } else { 0 };
            let is_media = usize::from(class == FrameClass::Media);
            prop_assert_eq!(of.len() as u64 + dropped, sent[is_media]);
        }
    }
}
