//! Offers of every wrong shape, and those that are only unusual.

use super::*;
use crate::unit::Ssrc;

const PRINT: &str = "01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20";

/// A microphone and a camera with three layers.
fn good() -> String {
    format!(
        "v=0
o=- 1 1 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE a v
a=ice-ufrag:cli1
a=ice-pwd:clientclientclientclient
a=fingerprint:sha-256 {PRINT}
a=setup:actpass
m=audio 9 UDP/TLS/RTP/SAVPF 111 63
a=mid:a
a=sendonly
a=rtcp-mux
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=ssrc:1 cname:c
m=video 9 UDP/TLS/RTP/SAVPF 96 97
a=mid:v
a=sendonly
a=rtcp-mux
a=rtcp-rsize
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
a=rid:q send
a=rid:h send
a=rid:f send
a=simulcast:send q;h;f
"
    )
}

fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(good(), |text, (from, to)| {
        assert!(text.contains(from), "nothing to replace: {from}");
        text.replace(from, to)
    })
}

const NAMED: &str = "a=microphone v=camera";

fn answer(negotiator: &mut Negotiator, text: &str) -> Result<Negotiated, NegotiateError> {
    negotiator.handle_offer(&offer(text), &local(1), &tracks(NAMED), ALL)
}

fn first(edits: &[(&str, &str)]) -> Negotiated {
    answer(&mut negotiator(), &edited(edits)).unwrap()
}

#[test]
fn a_first_offer_of_a_wrong_shape_is_refused_with_its_reason() {
    use NegotiateError as E;
    let v = mid("v");
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF";
    let video = "m=video 9 UDP/TLS/RTP/SAVPF";
    let cases: &[(&[(&str, &str)], E)] = &[
        (&[("s=-", "a=ice-lite")], E::BothLite),
        (&[("a=group:BUNDLE a v\n", "")], E::BundleCount(0)),
        (
            &[("BUNDLE a v", "BUNDLE a\na=group:BUNDLE v")],
            E::BundleCount(2),
        ),
        (&[("BUNDLE a v", "BUNDLE a")], E::NotInBundle(v)),
        (
            &[("BUNDLE a v", "BUNDLE a v x")],
            E::UnknownInBundle(mid("x")),
        ),
        (&[("a=rtcp-mux\na=rtcp-rsize\n", "")], E::NoRtcpMux(v)),
        (&[("a=ice-ufrag:cli1\n", "")], E::NoCredentials),
        (
            &[("a=ice-pwd:clientclientclientclient\n", "")],
            E::NoCredentials,
        ),
        (
            &[("fingerprint:sha-256", "fingerprint:sha-1")],
            E::NoFingerprint,
        ),
        (&[("a=setup:actpass\n", "")], E::WrongSetup),
        (&[("actpass", "holdconn")], E::WrongSetup),
        (
            &[("m=audio 9", "m=audio 0"), ("m=video 9", "m=video 0")],
            E::NothingAccepted,
        ),
        (
            &[(audio, "m=audio 9 RTP/AVP"), (video, "m=video 9 RTP/AVP")],
            E::NothingAccepted,
        ),
        (
            &[("96 97\n", "96 111\n"), (":97 ", ":111 ")],
            E::PayloadTypeChanged(PayloadType(111)),
        ),
        (
            &[("a=rtcp-rsize\na=extmap:4", "a=rtcp-rsize\na=extmap:5")],
            E::ExtensionChanged(5),
        ),
        (
            &[(
                "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
                "a=ssrc:1 cname:c",
            )],
            E::SourceTwice(Ssrc(1)),
        ),
    ];
    for (edits, expected) in cases {
        let mut negotiator = negotiator();
        let outcome = answer(&mut negotiator, &edited(edits));
        assert_eq!(outcome.as_ref().err(), Some(expected), "{edits:?}");
        assert!(
            answer(&mut negotiator, &good()).is_ok(),
            "nothing is left of it"
        );
    }
}

#[test]
fn m_lines_and_tracks_have_to_have_names() {
    use NegotiateError as E;
    let nameless = edited(&[("a=mid:a\n", ""), ("BUNDLE a v", "BUNDLE v")]);
    let tracks = tracks("v=camera");
    let outcome = negotiator().handle_offer(&offer(&nameless), &local(1), &tracks, ALL);
    assert_eq!(outcome, Err(E::NoMid { index: 0 }));
    let named = |text: &str| {
        let tracks = super::tracks(text);
        negotiator().handle_offer(&offer(&good()), &local(1), &tracks, ALL)
    };
    assert_eq!(named("x=camera"), Err(E::UnknownTrack(mid("x"))));
    assert_eq!(
        named("a=microphone a=microphone"),
        Err(E::TrackTwice(mid("a")))
    );
}

#[test]
fn an_extension_id_has_one_meaning_in_the_bundle() {
    let twcc = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
    let same_id = edited(&[(
        "extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
        &format!("extmap:3 {twcc}"),
    )]);
    // What has this id in the other m-line is not even an extension that is used.
    let clash = same_id.replacen("a=rtcp-mux", "a=rtcp-mux\na=extmap:3 urn:x", 1);
    assert!(answer(&mut negotiator(), &same_id).is_ok());
    let outcome = answer(&mut negotiator(), &clash);
    assert_eq!(outcome, Err(NegotiateError::ExtensionChanged(3)));
}

#[test]
fn a_later_offer_of_a_wrong_shape_is_refused_with_its_reason() {
    use NegotiateError as E;
    let other = PRINT.replace("01:02", "02:01");
    let second = format!("a=fingerprint:sha-256 {other}\na=setup");
    let sound_alone = good().split("m=video").next().unwrap().to_owned();
    let sound_alone = sound_alone.replace("BUNDLE a v", "BUNDLE a");
    let renumbered = [
        ("96 97", "98 96"),
        ("rtpmap:96 VP8", "rtpmap:98 VP8"),
        ("rtpmap:97 rtx", "rtpmap:96 rtx"),
        ("fmtp:97 apt=96", "fmtp:96 apt=98"),
    ];
    let moved = [
        ("111 63", "112 63"),
        (":111 ", ":112 "),
        ("111/111", "112/112"),
    ];
    let mid_uri = "extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid";
    let cases = [
        (sound_alone, E::FewerLines { had: 2, has: 1 }),
        (
            edited(&[("BUNDLE a v", "BUNDLE a w"), ("mid:v", "mid:w")]),
            E::MidChanged { index: 1 },
        ),
        (
            edited(&[
                ("m=video 9", "m=video 0"),
                ("mid:v", "mid:w"),
                ("BUNDLE a v", "BUNDLE a"),
            ]),
            E::MidChanged { index: 1 },
        ),
        (
            edited(&[("m=video", "m=audio")]),
            E::KindChanged { index: 1 },
        ),
        (edited(&[("cli1", "cli2")]), E::HalfRestart),
        (
            edited(&[("clientclient", "anotheranother")]),
            E::HalfRestart,
        ),
        (edited(&[(PRINT, &other)]), E::FingerprintChanged),
        (edited(&[("a=setup", &second)]), E::FingerprintChanged),
        (edited(&moved), E::PayloadTypeChanged(PayloadType(112))),
        (edited(&renumbered), E::PayloadTypeChanged(PayloadType(98))),
        (
            edited(&[("96 97", "96 99"), (":97 ", ":99 ")]),
            E::PayloadTypeChanged(PayloadType(99)),
        ),
        (edited(&[("extmap:10", "extmap:9")]), E::ExtensionChanged(9)),
        (
            edited(&[(mid_uri, "extmap:4 urn:x")]),
            E::ExtensionChanged(4),
        ),
    ];
    for (text, expected) in cases {
        let mut negotiator = negotiator();
        let before = answer(&mut negotiator, &good()).unwrap();
        let later = offer(&text);
        let mut tracks = tracks(NAMED);
        tracks.retain(|track| later.by_mid(track.mid).is_some());
        let outcome = negotiator.handle_offer(&later, &local(2), &tracks, ALL);
        assert_eq!(outcome.as_ref().err(), Some(&expected), "{text}");
        let after = answer(&mut negotiator, &good()).unwrap();
        assert_eq!(after.lines, before.lines, "nothing is left of it");
        assert_eq!(after.changes, []);
        assert_eq!(after.local, before.local);
    }
}

#[test]
fn who_opens_dtls_is_settled_with_the_first_offer() {
    use NegotiateError::SetupChanged;
    for (first, later) in [
        ("actpass", ["passive", "actpass", "active"]),
        ("active", ["passive", "actpass", "active"]),
        ("passive", ["active", "actpass", "passive"]),
    ] {
        let of = |setup| edited(&[("actpass", setup)]);
        let mut negotiator = negotiator();
        let is_client = first == "passive";
        let before = answer(&mut negotiator, &of(first)).unwrap();
        let role = [DtlsRole::Server, DtlsRole::Client][usize::from(is_client)];
        assert_eq!(before.role, role);
        let answered = ["a=setup:passive\r\n", "a=setup:active\r\n"][usize::from(is_client)];
        assert!(before.answer.contains(answered), "{first}");
        let [other, any, same] = later;
        let outcome = answer(&mut negotiator, &of(other));
        assert_eq!(outcome, Err(SetupChanged), "{first}, then {other}");
        for setup in [any, same] {
            let again = answer(&mut negotiator, &of(setup)).unwrap();
            assert_eq!((again.role, again.transport), (role, TransportChange::Kept));
            assert!(again.answer.contains(answered), "{first}, then {setup}");
        }
    }
}

#[test]
fn what_is_only_unusual_is_answered() {
    let negotiated = first(&[("actpass", "active")]);
    assert!(negotiated.answer.contains("a=setup:passive\r\n"));
    // Everything in another case, and alone in its bundle group in another order.
    let negotiated = first(&[
        ("opus/", "OPUS/"),
        ("VP8/", "vp8/"),
        ("rtx/", "RTX/"),
        ("BUNDLE a v", "BUNDLE v a"),
    ]);
    assert!(negotiated.answer.contains("a=group:BUNDLE v a\r\n"));
    assert_eq!(names(publication(&negotiated.lines[1])), ["q", "h", "f"]);
    let answer = offer(&negotiated.answer);
    assert!(answer.media[0].candidates.is_empty());
    assert!(answer.media[1].has_end_of_candidates);
}

#[test]
fn the_bundles_first_accepted_m_line_stands_for_the_transport() {
    let own = "a=mid:v\na=ice-ufrag:cli9\na=ice-pwd:anotheranotheranother99";
    let edits = [("mid:v\n", "mid:v\n"), ("a=mid:v", own)];
    assert_eq!(first(&edits).remote.credentials.ufrag.as_str(), "cli1");
    let rejected = [("a=mid:v", own), ("opus/", "g722/")];
    let negotiated = first(&rejected);
    let why = Line::Rejected(Rejection::NoCommonCodec);
    assert_eq!(negotiated.lines[0].line, why);
    assert_eq!(negotiated.remote.credentials.ufrag.as_str(), "cli9");
    assert!(
        negotiated
            .answer
            .contains("m=audio 0 UDP/TLS/RTP/SAVPF 111\r\n")
    );
    assert!(negotiated.answer.contains("a=group:BUNDLE v\r\n"));
}

#[test]
fn codecs_that_are_not_whole_are_left_out() {
    let audio = |edits: &[(&str, &str)]| -> Vec<u8> {
        let negotiated = first(edits);
        let payloads = publication(&negotiated.lines[0]).payloads.iter();
        payloads.map(|payload| payload.pt.0).collect()
    };
    assert_eq!(audio(&[]), [63, 111]);
    assert_eq!(
        audio(&[("a=fmtp:63 111/111\n", "")]),
        [111],
        "RED of nothing"
    );
    assert_eq!(
        audio(&[("111/111", "111/0")]),
        [111],
        "RED of something else"
    );
    assert_eq!(audio(&[("red/48000/2", "red/8000")]), [111]);
    let video = |edits: &[(&str, &str)]| publication(&first(edits).lines[1]).payloads[0].rtx;
    assert_eq!(video(&[]), Some(PayloadType(97)));
    assert_eq!(video(&[("apt=96", "apt=95")]), None);
    assert_eq!(
        video(&[("apt=96", "rtx-time=100; apt=96")]),
        Some(PayloadType(97))
    );
    assert_eq!(video(&[("rtx/90000", "rtx/48000")]), None);
    let opus = first(&[]);
    assert!(
        opus.answer
            .contains("a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1\r\n")
    );
    assert!(opus.answer.contains("a=fmtp:63 111/111\r\n"));
    assert!(!opus.answer.contains("goog-remb"));
}

#[test]
fn layers_are_taken_where_they_can_be_told_apart() {
    let layers = |edits: &[(&str, &str)]| -> Vec<String> {
        let negotiated = first(edits);
        let encodings = &publication(&negotiated.lines[1]).encodings;
        let names = encodings.iter().map(|encoding| encoding.rid.to_string());
        names.collect()
    };
    assert_eq!(layers(&[("send q;h;f", "send f;q")]), ["f", "q"]);
    assert_eq!(layers(&[("send q;h;f", "send x,q;h,y;z")]), ["q", "h"]);
    assert_eq!(layers(&[("a=rid:h send", "a=rid:h recv")]), ["q", "f"]);
    assert_eq!(
        layers(&[
            ("rid:h send", "rid:h send pt=99"),
            ("rid:q send", "rid:q send pt=96")
        ]),
        ["q", "f"]
    );
    let four = [
        ("a=rid:q send", "a=rid:q send\na=rid:x send"),
        ("q;h;f", "q;h;f;x"),
    ];
    assert_eq!(layers(&four), ["q", "h", "f"], "the first three");
    assert!(!first(&four).answer.contains("rid:x"));
    let none: [&[(&str, &str)]; 3] = [
        &[(
            "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\n",
            "",
        )],
        &[("a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\n", "")],
        &[("extmap:10", "extmap:20")],
    ];
    for edits in none {
        assert!(layers(edits).is_empty());
        assert!(!first(edits).answer.contains("simulcast"));
    }
}

#[test]
fn sources_without_rids_are_ordered_and_paired() {
    let sources = |lines: &str| {
        let text = format!("{lines}\na=rtcp-rsize");
        let edits = [("a=rtcp-rsize", text.as_str())];
        publication(&first(&edits).lines[1]).sources.clone()
    };
    let source = |primary, rtx: Option<u32>| MediaSource {
        primary: Ssrc(primary),
        rtx: rtx.map(Ssrc),
    };
    let all = "a=ssrc:10 cname:c\na=ssrc:11 cname:c\na=ssrc:20 cname:c\na=ssrc:21 cname:c";
    let pairs = "a=ssrc-group:FID 10 20\na=ssrc-group:FID 11 21";
    let both = format!("{all}\n{pairs}");
    assert_eq!(sources(&both), [source(10, Some(20)), source(11, Some(21))]);
    let layered = format!("{both}\na=ssrc-group:SIM 11 10");
    assert_eq!(
        sources(&layered),
        [source(11, Some(21)), source(10, Some(20))]
    );
    let repaired = format!("{all}\na=ssrc-group:FEC-FR 10 20");
    assert_eq!(
        sources(&repaired),
        [source(10, None), source(11, None), source(21, None)]
    );
}

#[test]
fn a_track_has_to_fit_its_m_line() {
    let answered = |text: &str| {
        let tracks = super::tracks(text);
        let outcome = negotiator().handle_offer(&offer(&good()), &local(1), &tracks, ALL);
        outcome.unwrap().lines
    };
    let lines = answered("a=camera v=microphone");
    assert_eq!(lines[0].line, Line::Refused(Refusal::WrongKind));
    assert_eq!(lines[1].line, Line::Refused(Refusal::WrongKind));
    let lines = answered("");
    assert_eq!(lines[0].line, Line::Refused(Refusal::NotNamed));
}

#[test]
fn a_source_that_changes_is_another_publication() {
    let mut negotiator = negotiator();
    let before = answer(&mut negotiator, &good()).unwrap();
    let mut tracks = tracks("a=microphone v=screen");
    tracks[0].is_muted = true;
    let outcome = negotiator.handle_offer(&offer(&good()), &local(2), &tracks, ALL);
    let after = outcome.unwrap();
    let ended = Change::Ended(before.lines[1].clone());
    assert_eq!(after.changes, [ended, Change::Began(1)]);
    assert_eq!(
        after.lines[0], before.lines[0],
        "muting later is not the offer's"
    );
}

#[test]
fn sendrecv_is_a_publication_alone() {
    let negotiated = first(&[("a=sendonly", "a=sendrecv")]);
    publication(&negotiated.lines[0]);
    assert!(negotiated.answer.contains("a=recvonly\r\n"));
    assert!(!negotiated.answer.contains("sendonly") && !negotiated.answer.contains("msid:"));
}
