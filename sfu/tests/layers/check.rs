//! What must hold of what came out.

use crate::source::{Frame, Kind};
use crate::world::{Out, World};
use std::collections::{BTreeMap, BTreeSet};

/// On every path.
pub(crate) fn all(world: &World, seed: u64) {
    assert!(
        world.out.len() > 400,
        "seed {seed}: {} packets",
        world.out.len()
    );
    frames_can_be_decoded(world, seed);
    numbers_have_no_more_holes_than_losses(world, seed);
    pictures_end_with_a_marker(world, seed);
    frame_numbers_keep_their_distances(world, seed);
    assert_eq!(world.asked_to_go_down, 0, "seed {seed}");
    let whole = world.whole();
    let (layer, choice) = (
        world.forwarder.current_layer(),
        world.forwarder.current_choice(),
    );
    assert_eq!(layer, Some(whole.layer), "seed {seed}");
    assert_eq!(
        choice.map(|choice| choice.spatial),
        Some(whole.spatial),
        "seed {seed}"
    );
    assert_eq!(world.forwarder.wanted_keyframe(), None, "seed {seed}");
}

fn packets_of(world: &World) -> BTreeMap<usize, BTreeSet<u8>> {
    let mut frames: BTreeMap<usize, BTreeSet<u8>> = BTreeMap::new();
    for out in world.out.values() {
        frames.entry(out.frame).or_default().insert(out.index);
    }
    frames
}

/// A frame that came whole and is sent at all is sent whole, and so is what it needs.
fn frames_can_be_decoded(world: &World, seed: u64) {
    let sent = packets_of(world);
    let mut cut = cut_off(world, seed);
    cut.extend(unsure(world));
    let is_whole = |at: usize| {
        let frame = &world.frames[at];
        let indexes = sent.get(&at).map_or(0, BTreeSet::len);
        let is_cut = cut.contains(&(frame.encoding, frame.picture));
        frame.is_hurt || is_cut || indexes == usize::from(frame.packets)
    };
    for &at in sent.keys() {
        let frame = &world.frames[at];
        assert!(
            is_whole(at),
            "seed {seed}: {at} in part: {frame:?} {:?}",
            sent[&at]
        );
        for &needed in &frame.needs {
            let other = &world.frames[needed];
            assert!(
                is_whole(needed),
                "seed {seed}: {at} {frame:?} without {needed} {other:?}"
            );
        }
    }
}

/// Pictures of streams whose layers come and go after a key picture that was lost in part: until it is repaired, it is
/// not known of which layers they are, and more is sent than is needed.
fn unsure(world: &World) -> BTreeSet<(u8, u32)> {
    let is_one = |frame: &&Frame| frame.is_hurt && frame.is_key && !world.kind.is_nested();
    let keys = world.frames.iter().filter(is_one);
    keys.flat_map(|frame| (1..=3).map(|after| (frame.encoding, frame.picture + after)))
        .collect()
}

/// The last pictures of an encoding before another one goes on, whose ends its key frame may have overtaken.
fn cut_off(world: &World, seed: u64) -> BTreeSet<(u8, u32)> {
    let frames: Vec<_> = world
        .out
        .values()
        .map(|out| &world.frames[out.frame])
        .collect();
    let mut cut = BTreeSet::new();
    for pair in frames.windows(2) {
        let (last, next) = (pair[0], pair[1]);
        if last.encoding != next.encoding {
            assert!(next.is_key, "seed {seed}: {next:?} after {last:?}");
            // A key frame that was repaired is older than what it takes the place of.
            let (from, to) = (
                last.picture.min(next.picture),
                last.picture.max(next.picture) + 1,
            );
            cut.extend((from..=to).map(|picture| (last.encoding, picture)));
        }
    }
    cut
}

fn numbers_have_no_more_holes_than_losses(world: &World, seed: u64) {
    let first = *world.out.keys().next().unwrap();
    let last = *world.out.keys().next_back().unwrap();
    let is_open = |seq: &u64| !world.out.contains_key(seq) && !world.filled.contains(seq);
    let open = (first..=last).filter(is_open).count() as u64;
    assert!(
        world.filled.iter().all(|seq| !world.out.contains_key(seq)),
        "seed {seed}"
    );
    assert!(
        open <= world.lost / 4 + 30,
        "seed {seed}: {open} open of {}",
        world.lost
    );
    // What an encoding's end had left open when another one went on stays so.
    if world.lost == 0 && world.kind != Kind::H264 {
        assert_eq!(open, 0, "seed {seed}");
    }
}

/// The last packet of a picture that is sent has the marker, and none before it.
fn pictures_end_with_a_marker(world: &World, seed: u64) {
    let mut pictures: BTreeMap<(u8, u32), Vec<&Out>> = BTreeMap::new();
    for out in world.out.values() {
        let frame = &world.frames[out.frame];
        pictures
            .entry((frame.encoding, frame.picture))
            .or_default()
            .push(out);
    }
    let hurt = world.frames.iter().filter(|frame| frame.is_hurt);
    let mut spared: BTreeSet<_> = hurt.map(|frame| (frame.encoding, frame.picture)).collect();
    spared.extend(cut_off(world, seed));
    spared.extend(unsure(world));
    for (picture, packets) in pictures {
        if spared.contains(&picture) {
            continue;
        }
        let spatial = |out: &Out| world.frames[out.frame].spatial;
        assert!(
            packets.is_sorted_by_key(|out| spatial(out)),
            "seed {seed}: {picture:?}"
        );
        let (last, others) = packets.split_last().unwrap();
        assert!(
            last.rewrite.marker,
            "seed {seed}: {picture:?} has no end: {packets:?}"
        );
        let early = others.iter().find(|out| out.rewrite.marker);
        assert!(
            early.is_none(),
            "seed {seed}: {picture:?} ends at {early:?} of {packets:?}"
        );
    }
}

/// Towards the subscriber as on the publisher's side, and always forward.
fn frame_numbers_keep_their_distances(world: &World, seed: u64) {
    let mut last: Option<(usize, u16)> = None;
    for out in world.out.values() {
        let number = match world.kind {
            Kind::Vp9 => out.rewrite.picture_id.map(|id| id << 1),
            Kind::Described { .. } => out.rewrite.frame,
            Kind::H264 => None,
        };
        let Some(number) = number else {
            assert_eq!(world.kind, Kind::H264);
            continue;
        };
        if let Some((frame, before)) = last
            && frame != out.frame
        {
            let steps = number.wrapping_sub(before);
            assert!(
                steps < 0x4000,
                "seed {seed}: {steps} from {frame} to {}",
                out.frame
            );
            if matches!(world.kind, Kind::Described { .. }) {
                assert_eq!(usize::from(steps), out.frame - frame, "seed {seed}");
            }
        }
        last = Some((out.frame, number));
    }
}
