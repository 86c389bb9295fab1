//! Codecs of pictures: which are answered, in which order, and who can decode what.

use super::*;
use crate::wire::sdp::fixtures::scenario;

fn with(codecs: &[VideoCodec]) -> Negotiator {
    Negotiator::new(Config {
        session_id: 1,
        seed: 1,
        prefers_redundancy: true,
        video_codecs: VideoCodecs::new(codecs),
    })
}

/// Chromium's first offer, which publishes a camera, as it is answered.
fn answered(codecs: &[VideoCodec]) -> Negotiated {
    let step = &scenario("chromium_call")[0];
    let mut negotiator = with(codecs);
    let outcome = negotiator.handle_offer(&offer(step.offer), &local(1), &tracks(step.tracks), ALL);
    outcome.unwrap()
}

fn numbers(receiving: &Receiving) -> Vec<u8> {
    receiving.payloads.iter().map(|one| one.pt.0).collect()
}

fn formats(answer: &str) -> Vec<&str> {
    let line = answer.lines().find(|line| line.starts_with("m=video"));
    line.unwrap().split(' ').skip(3).collect()
}

/// The payloads of an offer with these `a=fmtp` lines of H.264, in a slot.
fn h264(fmtps: &[&str]) -> Vec<Payload> {
    let step = &scenario("chromium_call")[0];
    let mut description = offer(step.offer);
    let media = description
        .media
        .iter_mut()
        .find(|media| lines::media_kind(media) == Some(MediaKind::Video));
    let media = media.unwrap();
    let template = media.formats[0].clone();
    media.formats = (100..)
        .zip(fmtps)
        .map(|(pt, fmtp)| {
            let mut format = template.clone();
            format.pt = PayloadType(pt);
            format.map.as_mut().unwrap().encoding = "H264".to_owned();
            format.fmtp = Some((*fmtp).to_owned());
            format
        })
        .collect();
    crate::core::negotiate::codecs::choose(
        MediaKind::Video,
        &media.formats,
        &VideoCodecs::default(),
    )
}

#[test]
fn an_answer_names_the_servers_favourite_first_and_what_everybody_decodes_before_the_rest() {
    let all = answered(&VideoCodec::ALL);
    let camera = publication(&all.lines[1]);
    // VP8; VP9 with 8 bits and with 10; H.264 constrained baseline in modes 1 and 0, then others; AV1.
    assert_eq!(
        numbers(camera),
        [96, 98, 100, 108, 114, 102, 104, 116, 39, 45]
    );
    assert!(camera.payloads.iter().all(|one| one.rtx.is_some()));
    let formats = formats(&all.answer);
    assert_eq!(formats[..4], ["96", "97", "98", "99"]);

    let two = answered(&[VideoCodec::H264, VideoCodec::Vp8]);
    assert_eq!(
        numbers(publication(&two.lines[1])),
        [108, 114, 102, 104, 116, 39, 96]
    );
    let fmtp = "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    assert!(two.answer.contains(fmtp), "{}", two.answer);
    assert!(two.answer.contains("a=fmtp:109 apt=108"));
    assert!(!two.answer.contains("VP9") && !two.answer.contains("AV1"));
}

#[test]
fn a_rooms_choice_goes_before_the_servers_and_not_beyond_it() {
    use VideoCodec::{Av1, H264, Vp8, Vp9};
    let servers = VideoCodecs::new(&[Vp8, Vp9, H264]);
    let narrowed = |wanted: &[VideoCodec]| servers.narrowed(Some(VideoCodecs::new(wanted)));
    assert_eq!(narrowed(&[H264, Av1, Vp8]), VideoCodecs::new(&[H264, Vp8]));
    for nothing in [&[][..], &[Av1]] {
        assert_eq!(narrowed(nothing), servers);
    }
    assert_eq!(servers.narrowed(None), servers);
}

#[test]
fn without_a_codec_in_common_the_m_line_is_rejected() {
    let step = &scenario("firefox_call")[0];
    let mut negotiator = with(&[VideoCodec::H264]);
    let tracks = tracks(step.tracks);
    let negotiated = negotiator
        .handle_offer(&offer(step.offer), &local(1), &tracks, ALL)
        .unwrap();
    let rejected = Line::Rejected(Rejection::NoCommonCodec);
    assert_eq!(negotiated.lines[1].line, rejected);
}

#[test]
fn profiles_and_modes_are_told_apart_and_each_is_there_once() {
    let payloads = h264(&[
        "packetization-mode=1;profile-level-id=42e01f",
        "packetization-mode=1;profile-level-id=42c034",
        "packetization-mode=0;profile-level-id=42e01f",
        "packetization-mode=2;profile-level-id=42e01f",
        "packetization-mode=1;profile-level-id=f4001f",
        "packetization-mode=1;profile-level-id=64001f",
    ]);
    let numbers: Vec<u8> = payloads.iter().map(|one| one.pt.0).collect();
    assert_eq!(numbers, [100, 102, 105]);
}

#[test]
fn a_subscriber_is_sent_its_own_number_of_the_same_or_a_wider_profile() {
    let sent = h264(&[
        "packetization-mode=1;profile-level-id=42e01f",
        "packetization-mode=0;profile-level-id=42e01f",
        "packetization-mode=1;profile-level-id=4d001f",
    ]);
    let has = h264(&[
        "packetization-mode=1;profile-level-id=64001f",
        "packetization-mode=1;profile-level-id=42e028",
    ]);
    let number = |codec| payload_for(codec, &has).map(|payload| payload.pt.0);
    assert_eq!(
        number(sent[0].codec),
        Some(101),
        "the same goes before a wider one"
    );
    assert_eq!(
        number(sent[1].codec),
        Some(101),
        "single units are taken in mode 1"
    );
    assert_eq!(number(sent[2].codec), Some(100), "high contains main");
    assert_eq!(number(Codec::Vp8), None);
    let single = &sent[1..2];
    assert_eq!(payload_for(sent[0].codec, single), None);
}

#[test]
fn a_number_that_stood_for_another_profile_is_refused() {
    let step = &scenario("chromium_call")[0];
    let mut negotiator = with(&VideoCodec::ALL);
    let tracks = tracks(step.tracks);
    let first = negotiator.handle_offer(&offer(step.offer), &local(1), &tracks, ALL);
    assert!(first.is_ok());
    let other = step.offer.replace(
        "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        "a=fmtp:108 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f",
    );
    let second = negotiator.handle_offer(&offer(&other), &local(2), &tracks, ALL);
    assert_eq!(
        second,
        Err(NegotiateError::PayloadTypeChanged(PayloadType(108)))
    );
}
