use super::*;
use crate::call::ice::Credentials;
use proptest::prelude::*;

const ANSWER: &str = "v=0\r\no=- 7 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE 0 1 2\r\n\
a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AB:CD\r\na=setup:passive\r\n\
m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n\
a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:111 opus/48000/2\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
a=candidate:1 1 udp 100 192.0.2.9 4000 typ host\r\na=candidate:2 1 udp 200 2001:db8::1 4000 typ host\r\n\
a=candidate:3 1 tcp 300 192.0.2.9 4000 typ host tcptype passive\r\na=candidate:4 1 udp 1 x.local 4000 typ host\r\n\
m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\n\
a=fmtp:97 apt=96\r\na=ssrc-group:FID 11 12\r\na=ssrc:11 cname:x\r\na=ssrc:12 cname:x\r\n\
m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=inactive\r\n";

#[test]
fn a_servers_answer_says_where_it_is_and_what_it_sends() {
    let answer = Description::parse(ANSWER).unwrap();
    assert_eq!(answer.credentials.ufrag, "abcd");
    assert_eq!(answer.fingerprint, "AB:CD");
    assert!(!answer.is_active);
    let active = ANSWER.replace("setup:passive", "setup:active");
    assert!(Description::parse(&active).unwrap().is_active);
    let wanted: [std::net::SocketAddr; 2] =
        ["[2001:db8::1]:4000", "192.0.2.9:4000"].map(|text| text.parse().unwrap());
    assert_eq!(answer.candidates, wanted);
    assert_eq!(answer.tcp_candidates, wanted[1..]);
    let [audio, video, rejected] = &answer.media[..] else {
        panic!("{answer:?}")
    };
    assert!(audio.receives && !audio.sends && audio.prefers_red);
    assert_eq!(audio.extensions.mid, Some(4));
    assert!(video.sends && !video.prefers_red);
    assert_eq!(video.sources, [(11, Some(12))]);
    assert_eq!(video.payload_types.rtx, Some(97));
    assert!(rejected.is_rejected);
}

fn local(credentials: &Credentials) -> Local<'_> {
    Local {
        session_id: 5,
        version: 2,
        credentials,
        fingerprint: "AA:BB",
        has_red: true,
        has_feedback: true,
        coding: crate::call::coding::Coding::Vp8,
    }
}

fn section(mid: &str, kind: Kind, sends: Option<Simulcast>) -> Section {
    Section {
        mid: mid.to_owned(),
        kind,
        sends,
    }
}

#[test]
fn an_offer_says_what_it_means() {
    let credentials = Credentials {
        ufrag: "uuuu".to_owned(),
        password: "pppppppppppppppppppppppp".to_owned(),
    };
    let one = Simulcast {
        rids: Vec::new(),
        sources: vec![(1, None)],
    };
    let three = Simulcast {
        rids: ["q", "h", "f"].map(str::to_owned).into(),
        sources: vec![(2, Some(3)), (4, Some(5)), (6, Some(7))],
    };
    let sections = [
        section("0", Kind::Audio, Some(one)),
        section("1", Kind::Video, Some(three)),
        section("2", Kind::Video, None),
    ];
    let text = local(&credentials).offer(&sections);
    let offer = Description::parse(&text).unwrap();
    assert_eq!(offer.credentials, credentials);
    assert_eq!(offer.media.len(), 3);
    assert_eq!(offer.media[0].sources, [(1, None)]);
    assert_eq!(offer.media[0].extensions.rid, None);
    assert_eq!(offer.media[1].rids, ["q", "h", "f"]);
    assert!(
        offer.media[1].sources.is_empty(),
        "a simulcast has RIDs, and no sources"
    );
    assert_eq!(offer.media[1].extensions.repaired_rid, Some(11));
    assert!(offer.media[2].receives && !offer.media[2].sends);
    assert!(text.contains("a=simulcast:send q;h;f\r\n"));
    assert!(
        text.lines()
            .all(|line| line.as_bytes().get(1) == Some(&b'='))
    );
}

#[test]
fn what_is_not_wanted_is_not_offered() {
    let credentials = Credentials::default();
    let plain = Local {
        has_red: false,
        has_feedback: false,
        ..local(&credentials)
    };
    let sections = [
        section("0", Kind::Audio, None),
        section("1", Kind::Video, None),
    ];
    let text = plain.offer(&sections);
    assert!(
        !text.contains("transport-cc") && !text.contains("wide-cc"),
        "{text}"
    );
    assert!(!text.contains("red/48000"), "{text}");
    assert!(
        local(&credentials)
            .offer(&sections)
            .contains("transport-cc")
    );
}

#[test]
fn a_servers_offer_is_answered_with_its_own_numbers() {
    let text = ANSWER.replace("96", "120").replace("apt=97", "apt=120");
    let offered = Description::parse(&text).unwrap();
    let credentials = Credentials::default();
    let text = local(&credentials).answer(&offered.media[1..2]);
    let answer = Description::parse(&text).unwrap();
    assert_eq!(answer.media[0].payload_types.video, 120);
    assert_eq!(answer.media[0].mid, "1");
    assert!(answer.media[0].receives && text.contains("a=setup:active"));
}

#[test]
fn what_every_participant_needs_must_be_there() {
    for name in ["ice-ufrag", "ice-pwd", "fingerprint"] {
        let text: Vec<&str> = ANSWER.lines().filter(|line| !line.contains(name)).collect();
        assert_eq!(
            Description::parse(&text.join("\n")),
            Err(SdpError::Missing(name))
        );
    }
}

proptest! {
    #[test]
    fn any_text_can_be_read(text in "\\PC{0,200}") {
        let _ = Description::parse(&text);
    }

    #[test]
    fn any_changed_answer_can_be_read(at in any::<prop::sample::Index>(), with in "\\PC{0,3}") {
        let mut text = ANSWER.to_owned();
        let at = at.index(text.len());
        text.replace_range(at..=at, &with);
        let _ = Description::parse(&text);
    }
}
