use super::*;
use proptest::prelude::*;

fn framed(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        out.extend(length_of(frame.len()));
        out.extend(frame);
    }
    out
}

/// What comes out of pieces, and how it ended.
fn taken(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), TooLong>, usize) {
    let mut deframer = Deframer::default();
    let mut frames = Vec::new();
    for piece in pieces {
        let outcome = deframer.take(&mut piece.to_vec(), |frame| frames.push(frame.to_vec()));
        if outcome.is_err() {
            return (frames, outcome, deframer.held());
        }
    }
    (frames, Ok(()), deframer.held())
}

#[test]
fn frames_of_one_read_come_out_one_by_one() {
    let frames = vec![vec![1; 20], vec![2], vec![3; FRAME_BYTES_MAX]];
    let (out, outcome, held) = taken(&[&framed(&frames)]);
    assert_eq!((out, outcome, held), (frames, Ok(()), 0));
}

#[test]
fn a_frame_may_be_split_at_any_byte() {
    let frames = vec![vec![1, 2, 3], vec![4; 300], vec![5]];
    let bytes = framed(&frames);
    for at in 0..=bytes.len() {
        let (front, back) = bytes.split_at(at);
        assert_eq!(taken(&[front, back]).0, frames, "split at {at}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(taken(&single).0, frames);
}

#[test]
fn an_empty_frame_is_passed_over_wherever_it_is_cut() {
    let bytes = framed(&[vec![], vec![7], vec![], vec![]]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    for pieces in [&single[..], &[&bytes[..]]] {
        assert_eq!(taken(pieces), (vec![vec![7]], Ok(()), 0));
    }
}

#[test]
fn a_frame_that_is_too_long_is_refused_by_its_length_alone() {
    let mut bytes = framed(&[vec![1]]);
    bytes.extend(2_049_u16.to_be_bytes());
    let (frames, outcome, _) = taken(&[&bytes]);
    assert_eq!((frames, outcome), (vec![vec![1]], Err(TooLong(2_049))));
    let cut = bytes.len() - 1;
    let (front, back) = bytes.split_at(cut);
    assert_eq!(taken(&[front, back]).1, Err(TooLong(2_049)));
}

#[test]
fn what_is_held_is_bounded_and_its_room_is_made_once() {
    let mut deframer = Deframer::default();
    let begun = framed(&[vec![9; FRAME_BYTES_MAX]]);
    for _ in 0..3 {
        for piece in begun.chunks(7) {
            deframer.take(&mut piece.to_vec(), |_| {}).unwrap();
            assert!(deframer.held() < begun.len());
            assert!(deframer.held.capacity() <= begun.len());
        }
    }
}

#[test]
fn only_the_lengths_of_checks_begin_as_media_may() {
    assert!(may_begin_with(length_of(FRAME_BYTES_MAX - 1)[0]));
    for other in [b'G', b'P', b'O', b'H', b'D', b'C', b' ', 0x16, 0x80, 0xff] {
        assert!(!may_begin_with(other));
    }
}

proptest! {
    #[test]
    fn however_bytes_are_cut_the_frames_are_the_same(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..12),
        cuts in prop::collection::vec(1_usize..300, 0..64),
    ) {
        let bytes = framed(&frames);
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let (out, outcome, held) = taken(&pieces);
        let wanted: Vec<_> = frames.into_iter().filter(|frame| !frame.is_empty()).collect();
        prop_assert_eq!((out, outcome, held), (wanted, Ok(()), 0));
    }
}
