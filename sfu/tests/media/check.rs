//! What must hold of what came out.

use crate::publisher::FrameKey;
use crate::world::{Out, World};
use kaiwa_sfu::core::keyframes::Spacing;
use kaiwa_sfu::wire::vp8::Descriptor;
use std::collections::{BTreeMap, BTreeSet};

/// A frame as it went out.
struct Sent<'a> {
    key: FrameKey,
    first: &'a Out,
    indexes: BTreeSet<u8>,
}

/// On every path.
pub(crate) fn all(world: &World, seed: u64) {
    let frames = frames(world, seed);
    assert!(frames.len() > 60, "seed {seed}: {} frames", frames.len());
    times_go_forward(&frames, seed);
    pictures_go_forward(world, &frames, seed);
    layers_begin_with_key_frames(world, &frames, seed);
    frames_are_whole(world, &frames, seed);
    needs_are_met(world, &frames, seed);
    closed_are_unwanted(world, &frames, seed);
    holes_are_losses(world, seed);
    plis_are_few(world, seed);
    let (layer, temporal) = (
        world.forwarder.current_layer(),
        world
            .forwarder
            .current_choice()
            .map(|choice| choice.temporal),
    );
    assert_eq!((layer, temporal), (Some(2), Some(2)), "seed {seed}");
}

/// Where nothing was lost, late or twice.
pub(crate) fn without_loss(world: &World, seed: u64) {
    let first = world.out.keys().next().unwrap();
    let last = world.out.keys().next_back().unwrap();
    assert_eq!(world.out.len() as u64, last - first + 1, "seed {seed}");
    assert!(world.filled.is_empty(), "seed {seed}");
    assert_eq!(world.late, 0, "seed {seed}");
    let mut sorted = world.out.values().map(|out| out.ms);
    assert!(sorted.by_ref().is_sorted(), "seed {seed}: out of order");
    for pair in frames(world, seed).windows(2) {
        let (a, b) = (pair[0].first, pair[1].first);
        assert_eq!(picture_steps(a, b), 1, "seed {seed}: {:?}", b.key);
        let lowest = world.frames[&b.key].temporal == 0;
        assert_eq!(
            tl0_steps(a, b),
            u8::from(lowest),
            "seed {seed}: {:?}",
            b.key
        );
    }
}

/// In the order of numbers; a frame's packets lie together.
fn frames(world: &World, seed: u64) -> Vec<Sent<'_>> {
    let mut frames: Vec<Sent<'_>> = Vec::new();
    let mut seen = BTreeMap::new();
    for out in world.out.values() {
        let descriptor = Descriptor::parse(&out.payload).unwrap();
        let id = descriptor.picture_id.map(|id| id.value());
        assert_eq!(id, out.rewrite.picture_id, "seed {seed}");
        assert_eq!(descriptor.tl0, out.rewrite.tl0, "seed {seed}");
        let is_last = out.index + 1 == world.frames[&out.key].packets;
        assert_eq!(out.rewrite.marker, is_last, "seed {seed}");
        match frames.last_mut() {
            Some(frame) if frame.key == out.key => {
                assert_eq!(frame.first.rewrite.time, out.rewrite.time, "seed {seed}");
                assert_eq!(picture_steps(frame.first, out), 0, "seed {seed}");
                assert!(frame.indexes.last() < Some(&out.index), "seed {seed}");
                frame.indexes.insert(out.index);
            }
            Some(_) | None => frames.push(Sent {
                key: out.key,
                first: out,
                indexes: BTreeSet::from([out.index]),
            }),
        }
        let place = frames.len();
        let before = seen.insert(out.key, place);
        assert!(before.is_none_or(|before| before == place), "seed {seed}");
    }
    frames
}

fn times_go_forward(frames: &[Sent<'_>], seed: u64) {
    for pair in frames.windows(2) {
        let (a, b) = (pair[0].first, pair[1].first);
        let step = b.rewrite.time.since(a.rewrite.time);
        assert!(step > 0, "seed {seed}: {step} ticks to {:?}", b.key);
    }
    // Nor do they run away from the time that passes.
    let (a, b) = (frames[0].first, frames[frames.len() - 1].first);
    let ticks = i64::from(b.rewrite.time.since(a.rewrite.time));
    let passed = i64::try_from((b.ms - a.ms) * 90).unwrap();
    assert!(
        (ticks - passed).abs() < 90_000,
        "seed {seed}: {ticks} {passed}"
    );
}

fn pictures_go_forward(world: &World, frames: &[Sent<'_>], seed: u64) {
    for pair in frames.windows(2) {
        let (a, b) = (pair[0].first, pair[1].first);
        let steps = picture_steps(a, b);
        assert!(
            (1..100).contains(&steps),
            "seed {seed}: {steps} pictures from {:?} at {} to {:?} at {}: {:?} {:?}",
            a.key,
            a.ms,
            b.key,
            b.ms,
            a.rewrite,
            b.rewrite
        );
        let lowest = world.frames[&b.key].temporal == 0;
        let counted = tl0_steps(a, b);
        assert!(counted < 60, "seed {seed}: {counted} of the lowest layer");
        assert!(!lowest || counted > 0, "seed {seed}: {:?}", b.key);
    }
}

fn layers_begin_with_key_frames(world: &World, frames: &[Sent<'_>], seed: u64) {
    let mut last = None;
    for frame in frames {
        let layer = Some((frame.key.source, frame.key.layer));
        if layer != last {
            let begins = world.frames[&frame.key].is_key && frame.indexes.contains(&0);
            assert!(begins, "seed {seed}: {:?} after {last:?}", frame.key);
        }
        last = layer;
    }
}

/// What came of a frame that is sent at all is sent.
fn frames_are_whole(world: &World, frames: &[Sent<'_>], seed: u64) {
    for frame in frames
        .iter()
        .filter(|frame| !world.cut.contains(&frame.key))
    {
        let received = &world.received[&frame.key];
        assert_eq!(&frame.indexes, received, "seed {seed}: {:?}", frame.key);
    }
}

/// What a frame needs was sent as well, unless the path lost it.
fn needs_are_met(world: &World, frames: &[Sent<'_>], seed: u64) {
    let sent: BTreeSet<FrameKey> = frames.iter().map(|frame| frame.key).collect();
    for frame in frames {
        for &needed in &world.frames[&frame.key].needs {
            let needed = FrameKey {
                frame: needed,
                ..frame.key
            };
            let came = world.received.contains_key(&needed) && !world.cut.contains(&needed);
            assert!(
                sent.contains(&needed) || !came,
                "seed {seed}: {:?} without {needed:?}",
                frame.key
            );
        }
    }
}

/// A number that was closed before its packet came was of a frame that is not sent.
fn closed_are_unwanted(world: &World, frames: &[Sent<'_>], seed: u64) {
    for key in &world.closed {
        let is_sent = frames.iter().any(|frame| frame.key == *key);
        assert!(!is_sent, "seed {seed}: {key:?} is sent in part");
        let temporal = world.frames[key].temporal;
        assert_ne!(temporal, 0, "seed {seed}: {key:?} is needed by others");
    }
}

/// A number is open only for what the publisher's path lost or brought too late.
fn holes_are_losses(world: &World, seed: u64) {
    let first = *world.out.keys().next().unwrap();
    let last = *world.out.keys().next_back().unwrap();
    let open = (first..=last)
        .filter(|seq| !world.out.contains_key(seq) && !world.filled.contains(seq))
        .count() as u64;
    assert!(
        world.out.keys().all(|seq| !world.filled.contains(seq)),
        "seed {seed}: filled and sent"
    );
    // Most losses are repaired.
    let bound = (world.lost + world.late) / 4 + 60;
    assert!(open <= bound, "seed {seed}: {open} open, at most {bound}");
}

fn plis_are_few(world: &World, seed: u64) {
    let spacing = u64::try_from(Spacing::CAMERA.0.as_millis()).unwrap();
    let mut last = BTreeMap::new();
    for &(source, layer, ms) in &world.plis {
        if let Some(before) = last.insert((source, layer), ms) {
            assert!(ms >= before + spacing, "seed {seed}: {before} {ms}");
        }
    }
}

fn picture_steps(a: &Out, b: &Out) -> u16 {
    let (a, b) = (a.rewrite.picture_id.unwrap(), b.rewrite.picture_id.unwrap());
    b.wrapping_sub(a) & 0x7fff
}

fn tl0_steps(a: &Out, b: &Out) -> u8 {
    b.rewrite.tl0.unwrap().wrapping_sub(a.rewrite.tl0.unwrap())
}
