//! Offers as encoders and players make them.

use super::*;
use crate::control::{Rights, Source, Track};
use crate::core::negotiate::{Config, LocalParameters, Negotiator, TransportChange, VideoCodecs};

const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n";
const ICE: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\n";

fn line(kind: &str, mid: &str, direction: &str, more: &str) -> String {
    let codec = if kind == "audio" {
        "opus/48000/2"
    } else {
        "VP8/90000"
    };
    let fingerprint = "AB:".repeat(31) + "CD";
    format!(
        "m={kind} 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\n{ICE}a=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:actpass\r\na=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\na=rtpmap:111 {codec}\r\n{more}"
    )
    .replace("111", if kind == "audio" { "111" } else { "96" })
}

fn offer(audio: &str, video: &str) -> String {
    HEAD.to_owned() + &line("audio", "0", audio, "") + &line("video", "1", video, "")
}

fn refused(way: Way, text: &str) -> Unacceptable {
    Offered::read(way, text).expect_err("a refusal")
}

/// As the unit of media answers it.
fn answer(negotiator: &mut Negotiator, offered: &Offered) -> (String, TransportChange) {
    let rights = Rights {
        microphone: true,
        camera: true,
        screen: true,
        subscribe: true,
    };
    let track = |(mid, kind): &(Mid, MediaKind)| Track {
        mid: *mid,
        source: match kind {
            MediaKind::Audio => Source::Microphone,
            MediaKind::Video => Source::Camera,
        },
        is_muted: false,
    };
    let tracks: Vec<Track> = match offered.way {
        Way::In => offered.media().iter().map(track).collect(),
        Way::Out => Vec::new(),
    };
    let offer = Description::parse(offered.sdp()).expect("a description");
    let local = LocalParameters::sample();
    let negotiated = negotiator.handle_offer(&offer, &local, &tracks, rights);
    let negotiated = negotiated.expect("an answer");
    (negotiated.answer, negotiated.transport)
}

fn negotiator() -> Negotiator {
    Negotiator::new(Config {
        session_id: 1,
        seed: 1,
        prefers_redundancy: true,
        video_codecs: VideoCodecs::default(),
    })
}

#[test]
fn an_encoders_offer_is_answered_to_receive_and_a_players_to_send() {
    for (way, offered, answered) in [
        (Way::In, "sendonly", "a=recvonly"),
        (Way::In, "sendrecv", "a=recvonly"),
        (Way::Out, "recvonly", "a=sendonly"),
        (Way::Out, "sendrecv", "a=sendonly"),
    ] {
        let offered = Offered::read(way, &offer(offered, offered)).expect("an offer");
        assert_eq!(offered.media().len(), 2);
        assert_eq!(offered.remote().ufrag.as_str(), "EsAw");
        let (sdp, _) = answer(&mut negotiator(), &offered);
        let answer = offered.answered(&sdp).expect("all of it");
        assert_eq!(
            answer.sdp.0.matches(answered).count(),
            2,
            "{}",
            answer.sdp.0
        );
        let mux = answer
            .sdp
            .0
            .matches("a=rtcp-mux\r\na=rtcp-mux-only\r\n")
            .count();
        assert_eq!(mux, 2);
        let streams = answer.sdp.0.matches("a=msid:kaiwa track-").count();
        assert_eq!(streams, if way == Way::Out { 2 } else { 0 });
    }
}

#[test]
fn what_goes_the_wrong_way_or_is_too_much_is_refused_with_its_reason() {
    for (way, wrong) in [
        (Way::In, "recvonly"),
        (Way::In, "inactive"),
        (Way::Out, "sendonly"),
        (Way::Out, "inactive"),
    ] {
        let error = refused(way, &offer("sendrecv", wrong));
        assert!(
            matches!(error, Unacceptable::Direction { .. }),
            "{wrong}: {error}"
        );
    }
    let two =
        HEAD.to_owned() + &line("video", "0", "sendonly", "") + &line("video", "1", "sendonly", "");
    assert_eq!(
        refused(Way::In, &two),
        Unacceptable::Several(MediaKind::Video)
    );
    assert_eq!(refused(Way::In, HEAD), Unacceptable::Nothing);
    let data = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n";
    let data = offer("sendonly", "sendonly") + data;
    assert!(matches!(refused(Way::In, &data), Unacceptable::NotMedia(_)));
    assert!(matches!(
        refused(Way::In, "v=1"),
        Unacceptable::Malformed(_)
    ));
    let bare = offer("sendonly", "sendonly").replace(ICE, "");
    assert_eq!(refused(Way::In, &bare), Unacceptable::NoCredentials);
    let msid = |one: &str, other: &str| {
        HEAD.to_owned()
            + &line("audio", "0", "sendonly", &format!("a=msid:{one} a\r\n"))
            + &line("video", "1", "sendonly", &format!("a=msid:{other} b\r\n"))
    };
    assert_eq!(refused(Way::In, &msid("s", "t")), Unacceptable::Streams);
    assert!(Offered::read(Way::In, &msid("s", "s")).is_ok());
}

#[test]
fn what_is_logged_of_an_exchange_has_no_secret() {
    let text = offer("sendonly", "sendonly");
    let password = text
        .lines()
        .find_map(|line| line.strip_prefix("a=ice-pwd:"));
    let password = password.expect("an offer has one");
    let offered = Offered::read(Way::In, &text).expect("an offer");
    let again = offered.restarted(offered.remote().clone());
    let answer = offer("recvonly", "recvonly");
    let answered = offered.answered(&answer).expect("an answer");
    let logged = format!("{offered:?} {again:?} {answered:?}");
    assert!(!logged.contains(password), "{logged}");
}

#[test]
fn an_answer_that_leaves_an_m_line_out_is_none() {
    let text = offer("sendonly", "sendonly").replace("VP8/90000", "H261/90000");
    let offered = Offered::read(Way::In, &text).expect("an offer");
    let (sdp, _) = answer(&mut negotiator(), &offered);
    assert!(matches!(offered.answered(&sdp), Err(Unacceptable::Left(_))));
}

#[test]
fn a_restart_is_the_same_offer_with_other_credentials_and_its_fragment_has_the_new_ones() {
    let first = Offered::read(Way::In, &offer("sendonly", "sendonly")).expect("an offer");
    let mut negotiator = negotiator();
    let (sdp, change) = answer(&mut negotiator, &first);
    assert_eq!(change, TransportChange::New);
    let fragment = first.answered(&sdp).expect("an answer").fragment;
    let fragment = Fragment::parse(&fragment.0).expect("a fragment");
    assert!(fragment.is_ice_lite);
    assert_eq!(fragment.candidates().count(), 1);
    assert!(fragment.credentials.is_some());
    let credentials = IceCredentials {
        ufrag: Ufrag::parse("ysXw").expect("four"),
        password: Password::parse("vw5LmwG4y/e6dPP/zAP9Gp5k").expect("24"),
    };
    let again = first.restarted(credentials.clone()).expect("it fits");
    assert_eq!(again.remote(), &credentials);
    assert_eq!(again.media(), first.media());
    let (_, change) = answer(&mut negotiator, &again);
    assert_eq!(change, TransportChange::Restarted);
}
