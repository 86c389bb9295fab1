//! Commands about what is somebody else's, or nobody's.

use super::client::{Line, mid};
use super::scene::{ALL, Scene};
use super::wait::block_on;
use kaiwa_common::id::RoomId;
use kaiwa_sfu::control::*;

fn microphone() -> Vec<Line> {
    vec![Line::send(Source::Microphone, 31), Line::receive("video")]
}

#[test]
fn nobody_mutes_what_is_not_theirs() {
    let mut scene = Scene::new(2);
    let mallory = scene.intruder(microphone());
    for publication in [
        scene.published(1, Source::Screen),
        scene.published(1, Source::Microphone),
        PublicationId(u64::MAX),
    ] {
        let mute = Mute {
            participant: mallory.participant,
            publication,
            is_muted: true,
        };
        let muted = block_on(scene.engine.mute(mute));
        assert_eq!(muted, Err(SfuError::NoSuchPublication));
    }
    scene.goes_on(10);
}

#[test]
fn a_room_that_one_is_not_in_is_neither_seen_nor_heard() {
    let mut scene = Scene::new(1);
    let mut mallory = scene.stranger(microphone());
    let elsewhere = RoomId::parse("r_2").unwrap();
    scene
        .join(mallory.participant, &elsewhere, ALL)
        .expect("joined");
    mallory.negotiate(&scene.engine);
    scene.until_with(&mut mallory, |_, mallory| mallory.is_connected());
    let theirs = [
        scene.published(1, Source::Screen),
        scene.published(1, Source::Microphone),
    ];
    scene
        .prefer(mallory.participant, &theirs)
        .expect("passed over");
    scene.goes_on(30);
    mallory.pump();
    assert!(mallory.payloads().is_empty());
    // Joining the other room as the same participant is no way in either.
    let room = scene.room.clone();
    let again = scene.join(mallory.participant, &room, ALL);
    assert_eq!(again, Err(SfuError::Forbidden));
    scene
        .prefer(mallory.participant, &theirs)
        .expect("passed over");
    scene.goes_on(30);
    mallory.pump();
    assert!(mallory.payloads().is_empty());
    block_on(scene.engine.leave(mallory.participant)).expect("left");
    scene.until(|scene| scene.engine.placed() == (1, 2));
}

#[test]
fn without_rights_nothing_is_published_and_nothing_received() {
    let mut scene = Scene::new(1);
    let mut mallory = scene.stranger(microphone());
    let room = scene.room.clone();
    scene
        .join(mallory.participant, &room, Rights::default())
        .expect("joined");
    mallory.negotiate(&scene.engine);
    let answer = mallory.answer.as_ref().unwrap();
    assert_eq!(answer.tracks, [(mid(0), Err(SfuError::Forbidden))]);
    let camera = scene.published(1, Source::Screen);
    scene
        .prefer(mallory.participant, &[camera])
        .expect("passed over");
    scene.until_with(&mut mallory, |_, mallory| mallory.is_connected());
    let sent = mallory.sealed(0, None, kaiwa_sfu::unit::Ssrc(31), 1, 0, &[7; 80]);
    scene.refuses(1, |_| mallory.send(&sent));
    scene.goes_on(20);
    mallory.pump();
    assert!(mallory.payloads().is_empty());
    let theirs = |e: &Event| matches!(e, Event::Published { publication, .. } if publication.participant == mallory.participant);
    assert_eq!(scene.events.count(theirs), 0);
}

#[test]
fn offers_that_cannot_be_answered_leave_the_peer_as_it_was() {
    let mut scene = Scene::new(1);
    let mallory = scene.intruder(microphone());
    let good = mallory.sdp();
    let bad = [
        String::new(),
        "v=0".to_owned(),
        "\0".repeat(1_000),
        good.replace("a=group:BUNDLE 0 1\r\n", ""),
        good.replace("a=mid:0", "a=mid:7"),
        good.replace("a=mid:0", "a=mid:1"),
        good.replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:"),
        good.replace("a=setup:actpass", "a=setup:holdconn"),
        good.replace("a=rtcp-mux\r\n", ""),
        good.replace("m=audio", "m=video"),
        good.split_once("m=video").unwrap().0.to_owned(),
        good.repeat(60),
    ];
    for sdp in bad {
        let offer = Offer {
            participant: mallory.participant,
            sdp: sdp.clone(),
            tracks: mallory.tracks(),
        };
        let answer = block_on(scene.engine.offer(offer));
        assert!(
            matches!(answer, Err(SfuError::BadOffer(_))),
            "{sdp} gives {answer:?}"
        );
    }
    // Tracks that name nothing, and one twice.
    let track = |mid| Track {
        mid,
        source: Source::Microphone,
        is_muted: false,
    };
    for tracks in [vec![track(mid(9))], vec![track(mid(0)), track(mid(0))]] {
        let offer = Offer {
            participant: mallory.participant,
            sdp: good.clone(),
            tracks,
        };
        let answer = block_on(scene.engine.offer(offer));
        assert!(matches!(answer, Err(SfuError::BadOffer(_))), "{answer:?}");
    }
    // What was, is: the good one is answered again, and the publication is the same.
    let before = scene.published(3, Source::Microphone);
    let offer = Offer {
        participant: mallory.participant,
        sdp: good,
        tracks: mallory.tracks(),
    };
    let answer = block_on(scene.engine.offer(offer)).expect("answered");
    assert_eq!(answer.tracks, [(mid(0), Ok(before))]);
    assert_eq!(scene.events.gone(mallory.participant), None);
    scene.goes_on(10);
}
