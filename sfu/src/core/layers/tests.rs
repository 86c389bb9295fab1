use super::*;
use crate::core::ring::{Choices, Format};
use crate::unit::PayloadType;
use std::time::Instant;

fn picture(time: u32, temporal: u8, is_sync: bool) -> Meta {
    Meta {
        pt: PayloadType(96),
        time: RtpTime(time),
        received_at: Instant::now(),
        captured: None,
        payload_len: 1,
        descriptor_len: 0,
        format: Format::Primary,
        marker: false,
        starts_frame: true,
        is_keyframe: false,
        coding: Coding::Vp8(Vp8 {
            temporal,
            is_sync,
            ..Vp8::default()
        }),
        level: None,
    }
}

fn target(layer: u8, temporal: u8) -> Target {
    Target {
        layer,
        spatial: 0,
        temporal,
    }
}

fn admits(selector: &mut LayerSelector, meta: &Meta) -> bool {
    selector.admit(meta).is_some()
}

fn keyframe(time: u32) -> Meta {
    Meta {
        is_keyframe: true,
        ..picture(time, 0, false)
    }
}

fn selector(temporal: u8) -> LayerSelector {
    let mut selector = LayerSelector::new();
    selector.set_target(Some(target(0, temporal)));
    assert!(selector.try_switch(0, &keyframe(0)));
    assert!(admits(&mut selector, &keyframe(0)));
    selector
}

#[test]
fn a_layer_is_entered_on_a_key_frame_alone() {
    let mut selector = selector(2);
    selector.set_target(Some(target(1, 2)));
    assert!(!selector.try_switch(1, &picture(10, 0, true)));
    assert!(!selector.try_switch(2, &keyframe(10)));
    assert_eq!(selector.wanted_keyframe(), Some(1));
    assert_eq!(selector.current(), Some(0));
    assert!(selector.try_switch(1, &keyframe(10)));
    assert_eq!(selector.wanted_keyframe(), None);
    selector.handle_break();
    assert_eq!(selector.wanted_keyframe(), Some(1));
}

#[test]
fn a_higher_temporal_layer_is_entered_at_a_sync_picture_one_at_a_time() {
    let mut selector = selector(0);
    assert!(!admits(&mut selector, &picture(1, 1, true)));
    selector.set_target(Some(target(0, 2)));
    assert!(!admits(&mut selector, &picture(2, 2, true)));
    assert!(!admits(&mut selector, &picture(3, 1, false)));
    assert!(admits(&mut selector, &picture(4, 1, true)));
    assert!(!admits(&mut selector, &picture(5, 2, false)));
    assert!(admits(&mut selector, &picture(6, 2, true)));
    assert_eq!(selector.choice().map(|choice| choice.temporal), Some(2));
}

#[test]
fn a_late_packet_is_decided_as_its_picture_was() {
    let mut selector = selector(2);
    assert!(admits(&mut selector, &picture(1, 2, false)));
    selector.set_target(Some(target(0, 0)));
    assert!(admits(&mut selector, &picture(2, 0, false)));
    assert!(admits(&mut selector, &picture(1, 2, false)));
    assert!(!admits(&mut selector, &picture(3, 1, false)));
}

#[test]
fn a_key_frame_opens_all_temporal_layers() {
    let mut selector = selector(0);
    selector.set_target(Some(target(0, 2)));
    // Its second packet overtook the first.
    assert!(admits(&mut selector, &picture(u32::MAX, 0, false)));
    assert!(admits(&mut selector, &picture(7, 0, false)));
    assert!(admits(&mut selector, &keyframe(7)));
    assert!(admits(&mut selector, &picture(8, 2, false)));
}

#[test]
fn nothing_is_sent_without_a_target() {
    let mut selector = selector(2);
    selector.set_target(None);
    assert!(!admits(&mut selector, &picture(1, 0, false)));
    assert!(!selector.try_switch(0, &keyframe(2)));
    assert_eq!(selector.wanted_keyframe(), None);
}

/// A frame of L3T3, as VP9's descriptor tells of it. `time` of key pictures is a multiple of 100; every picture is
/// a switching point.
fn frame(time: u32, spatial: u8, temporal: u8) -> Meta {
    let is_key = time.is_multiple_of(100);
    let above = |choice: &Choice| choice.spatial >= spatial && choice.temporal >= temporal;
    let enters = |choice: &Choice| choice.spatial == spatial || (is_key && spatial == 0);
    let frame = Layered {
        spatial,
        temporal,
        part_of: Choice::all().filter(above).collect(),
        enters: Choice::all().filter(above).filter(enters).collect(),
        is_nested: true,
        ..Layered::default()
    };
    Meta {
        is_keyframe: is_key && spatial == 0,
        coding: Coding::Layered(frame),
        ..picture(time, temporal, false)
    }
}

fn within(spatial: u8, temporal: u8) -> Target {
    Target {
        spatial,
        ..target(0, temporal)
    }
}

/// The spatial layers of a picture that are sent.
fn sent(selector: &mut LayerSelector, time: u32, temporal: u8) -> Vec<u8> {
    let frames = (0..3).filter(|&spatial| admits(selector, &frame(time, spatial, temporal)));
    frames.collect()
}

fn svc_selector(target: Target) -> LayerSelector {
    let mut selector = LayerSelector::new();
    selector.set_target(Some(target));
    assert!(selector.try_switch(0, &frame(100, 0, 0)));
    selector
}

#[test]
fn a_lower_spatial_layer_is_gone_down_to_at_the_next_picture() {
    let mut selector = svc_selector(within(2, 2));
    assert_eq!(sent(&mut selector, 100, 0), [0, 1, 2]);
    assert!(admits(&mut selector, &frame(101, 0, 2)));
    selector.set_target(Some(within(0, 1)));
    assert_eq!(selector.wanted_keyframe(), None);
    // The picture that has begun is sent whole.
    assert!(admits(&mut selector, &frame(101, 2, 2)));
    assert_eq!(sent(&mut selector, 102, 1), [0]);
    assert!(sent(&mut selector, 103, 2).is_empty());
    assert!(admits(&mut selector, &frame(101, 1, 2)), "which is late");
}

#[test]
fn a_higher_spatial_layer_waits_for_a_key_picture() {
    let mut selector = svc_selector(within(0, 2));
    assert_eq!(sent(&mut selector, 100, 0), [0]);
    selector.set_target(Some(within(2, 2)));
    assert_eq!(selector.wanted_keyframe(), Some(0));
    assert_eq!(sent(&mut selector, 101, 2), [0]);
    assert_eq!(sent(&mut selector, 200, 0), [0, 1, 2]);
    assert_eq!(selector.wanted_keyframe(), None);
}

#[test]
fn a_higher_temporal_layer_is_entered_where_the_top_spatial_layer_allows_it() {
    let mut selector = svc_selector(within(1, 0));
    assert!(sent(&mut selector, 101, 1).is_empty());
    selector.set_target(Some(within(1, 2)));
    assert_eq!(selector.wanted_keyframe(), None);
    assert!(
        sent(&mut selector, 102, 2).is_empty(),
        "of which nothing was sent"
    );
    assert_eq!(sent(&mut selector, 103, 0), [0, 1]);
    assert_eq!(sent(&mut selector, 104, 2), [0, 1]);
}

#[test]
fn a_layer_that_rests_on_others_in_key_frames_alone_is_left_at_one() {
    let alone = |time: u32, spatial: u8| {
        let mut meta = frame(time, spatial, 0);
        if let Coding::Layered(frame) = &mut meta.coding {
            frame.is_nested = false;
            if !time.is_multiple_of(100) {
                let own = |choice: &Choice| choice.spatial == spatial;
                frame.part_of = Choice::all().filter(own).collect();
                frame.enters = Choices::default();
            }
        }
        meta
    };
    let mut selector = svc_selector(within(2, 0));
    let sent = |selector: &mut LayerSelector, time| -> Vec<u8> {
        let spatials = (0..3).filter(|&spatial| admits(selector, &alone(time, spatial)));
        spatials.collect()
    };
    assert_eq!(sent(&mut selector, 100), [0, 1, 2]);
    assert_eq!(sent(&mut selector, 101), [2]);
    selector.set_target(Some(within(1, 0)));
    assert_eq!(selector.wanted_keyframe(), Some(0));
    assert_eq!(sent(&mut selector, 102), [2]);
    assert_eq!(sent(&mut selector, 200), [0, 1]);
    assert_eq!(sent(&mut selector, 201), [1]);
}
