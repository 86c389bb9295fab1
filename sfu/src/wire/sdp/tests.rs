use super::fixtures::{scenario, steps};
use super::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};

mod generate;

fn parse(text: &str) -> Description {
    Description::parse(text).unwrap_or_else(|error| panic!("{error} in:\n{text}"))
}

fn rule(text: &str) -> (usize, Rule) {
    let error = Description::parse(text).expect_err(text);
    (error.line, error.rule)
}

/// A session with one audio m-line that has these attributes, from line 5 on.
fn audio(attributes: &[&str]) -> String {
    let mut text = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\n".to_owned();
    text += "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n";
    for attribute in attributes {
        text += &format!("a={attribute}\r\n");
    }
    text
}

#[test]
fn what_browsers_write_is_read_and_the_same_after_writing() {
    for step in steps() {
        for text in [step.offer, step.answer] {
            let description = parse(text);
            assert_eq!(
                parse(&description.to_string()),
                description,
                "{}",
                step.name
            );
        }
    }
}

#[test]
fn what_is_written_here_comes_back_byte_for_byte() {
    for step in steps() {
        assert_eq!(parse(step.answer).to_string(), step.answer, "{}", step.name);
    }
}

#[test]
fn a_simulcast_offer_of_chromium_is_read() {
    let offer = parse(scenario("chromium_call")[0].offer);
    assert!(offer.allows_mixed_extensions && !offer.is_ice_lite);
    assert_eq!(offer.bundles.len(), 1);
    let [audio, video] = offer.media.as_slice() else {
        panic!("two m-lines");
    };
    let opus = &audio.formats[0];
    assert_eq!((audio.mid, opus.pt), (Mid::parse(b"0"), PayloadType(111)));
    let map = opus.map.as_ref().unwrap();
    assert_eq!(
        (map.encoding.as_str(), map.clock_rate, map.channels),
        ("opus", 48_000, 2)
    );
    assert_eq!(opus.fmtp.as_deref(), Some("minptime=10;useinbandfec=1"));
    assert_eq!(audio.formats[1].fmtp.as_deref(), Some("111/111"));
    assert!(!audio.candidates.is_empty());
    assert_eq!(audio.sources.len(), 1);
    assert_eq!(audio.transport.setup, Some(Setup::Actpass));
    assert_eq!(audio.transport.fingerprints[0].hash(), Hash::Sha256);

    let vp8 = &video.formats[0];
    assert_eq!(vp8.feedback, Feedback::ALL.into_iter().collect());
    assert_eq!(video.direction, Direction::SendOnly);
    assert!(video.has_rtcp_mux && video.has_rtcp_rsize);
    assert!(video.sources.is_empty());
    let sent = &video.simulcast.as_ref().unwrap().send;
    let names: Vec<&str> = sent.iter().map(|choice| choice[0].rid.as_str()).collect();
    assert_eq!(names, ["q", "h", "f"]);
    assert!(video.extensions.iter().any(|extension| {
        extension.id == 10 && extension.uri == "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
    }));
}

#[test]
fn a_simulcast_offer_of_firefox_is_read() {
    let offer = parse(scenario("firefox_call")[0].offer);
    assert_eq!(offer.transport.fingerprints.len(), 1, "of the session");
    let video = &offer.media[1];
    assert!(
        video.is_bundle_only && !video.is_stopped(),
        "port 0 is not the end"
    );
    assert!(video.allows_mixed_extensions);
    assert_eq!(video.source_groups.len(), 3);
    assert_eq!(video.sources.len(), 6);
    let rid = video.extensions.iter().find(|extension| extension.id == 9);
    assert_eq!(rid.unwrap().direction, Some(Direction::SendOnly));
    assert!(offer.media[0].candidates.iter().any(|candidate| {
        candidate.transport == Transport::Tcp(TcpKind::Active)
            && candidate.address.ends_with(".local")
    }));
}

#[test]
fn unknown_lines_attributes_and_values_are_skipped() {
    let text = audio(&[
        "x-something",
        "x-other:1:2",
        "rtcp-fb:111 x-feedback",
        "rtcp-fb:99 nack",
        "rtpmap:99 foo/8000",
        "fmtp:99 bar",
        "extmap:4096 urn:x",
        "ssrc-group:X-GROUP 1 2 3",
        "fingerprint:sha-1 AB:CD",
        "candidate:1 1 sctp 1 192.0.2.1 9 typ host",
        "candidate:1 1 tcp 1 192.0.2.1 9 typ host",
        "candidate:1 1 udp 1 192.0.2.1 9 typ satellite",
    ]) + "b=AS:64\r\ni=A title\r\n\r\n";
    let with = parse(&text);
    assert_eq!(with, parse(&audio(&[])));
}

#[test]
fn feedback_of_all_payload_types_is_each_ones() {
    let of = |attributes: &[&str]| parse(&audio(attributes)).media[0].formats.clone();
    let all = of(&["rtcp-fb:* nack", "rtcp-fb:111 ccm fir"]);
    assert!(
        all.iter()
            .all(|format| format.feedback.contains(Feedback::Nack))
    );
    assert!(all[0].feedback.contains(Feedback::Fir));
    assert!(!all[1].feedback.contains(Feedback::Fir));
}

#[test]
fn the_sessions_direction_is_that_of_m_lines_without_one() {
    let text = audio(&[]).replace("s=-", "a=sendonly");
    assert_eq!(parse(&text).media[0].direction, Direction::SendOnly);
    assert_eq!(parse(&audio(&[])).media[0].direction, Direction::SendRecv);
    let own = text + "a=inactive\r\n";
    assert_eq!(parse(&own).media[0].direction, Direction::Inactive);
}

#[test]
fn simulcast_has_alternatives_pauses_and_both_ways() {
    let text = audio(&["simulcast:recv a send 1,~2;3"]);
    let simulcast = parse(&text).media[0].simulcast.clone().unwrap();
    let stream = |name: &[u8], is_paused| SimulcastStream {
        rid: Rid::parse(name).unwrap(),
        is_paused,
    };
    let send = vec![
        vec![stream(b"1", false), stream(b"2", true)],
        vec![stream(b"3", false)],
    ];
    assert_eq!(simulcast.send, send);
    assert_eq!(simulcast.recv, [[stream(b"a", false)]]);
    assert_eq!(simulcast.to_string(), "send 1,~2;3 recv a");
}

#[test]
fn restrictions_of_a_rid_are_read() {
    let rid = |value: &str| parse(&audio(&[&format!("rid:{value}")])).media[0].rids[0].clone();
    let both = rid("hi send pt=96,97;max-width=1280;max-height=720");
    assert_eq!(both.formats, [PayloadType(96), PayloadType(97)]);
    assert_eq!(both.restrictions, "max-width=1280;max-height=720");
    assert!(!rid("lo recv max-fps=15").is_sent);
    assert_eq!(rid("lo recv max-fps=15").restrictions, "max-fps=15");
    assert_eq!(rid("x send pt=96").restrictions, "");
}

#[test]
fn fingerprints_are_of_their_hashs_length() {
    for (hash, len) in [(Hash::Sha256, 32), (Hash::Sha384, 48), (Hash::Sha512, 64)] {
        let fingerprint = Fingerprint::new(hash, &vec![0xab; len]).unwrap();
        assert_eq!(fingerprint.digest(), vec![0xab; len]);
        let text = fingerprint.to_string();
        assert_eq!(Fingerprint::parse(&text), Some(Some(fingerprint)));
        let lower = text.to_ascii_lowercase();
        assert_eq!(Fingerprint::parse(&lower), Some(Some(fingerprint)));
        assert_eq!(Fingerprint::parse(&text[..text.len() - 3]), None);
        assert_eq!(Fingerprint::parse(&format!("{text}:00")), None);
        assert_eq!(Fingerprint::new(hash, &vec![0; len - 1]), None);
        assert_eq!(Fingerprint::new(hash, &[0; 65]), None);
    }
    assert_eq!(Fingerprint::parse("sha-256 AB:+1"), None);
}

#[test]
fn candidates_are_checked() {
    let good = [
        "1 1 udp 2130706431 192.0.2.1 7000 typ host",
        "1 1 UDP 1 2001:db8::1 0 typ srflx raddr 0.0.0.0 rport 0 generation 0 network-id 1",
        "a+/ 256 tcp 2147483647 name.local 9 typ relay tcptype so",
    ];
    for text in good {
        let candidate = Candidate::parse(text).expect(text);
        assert_eq!(
            Candidate::parse(&candidate.to_string()),
            Some(candidate),
            "{text}"
        );
    }
    let bad = [
        "",
        "1 1 udp 1 192.0.2.1 7000",
        "1 1 udp 1 192.0.2.1 7000 typ",
        "1 1 udp 1 192.0.2.1 7000 type host",
        "1 1 udp 1 192.0.2.1 7000 typ host raddr",
        "1 0 udp 1 192.0.2.1 7000 typ host",
        "1 257 udp 1 192.0.2.1 7000 typ host",
        "1 1 udp 0 192.0.2.1 7000 typ host",
        "1 1 udp 2147483648 192.0.2.1 7000 typ host",
        "1 1 udp 1 192.0.2.1 65536 typ host",
        "1 1 udp 1 192.0.2.256 7000 typ host",
        "1 1 udp 1 na!me 7000 typ host",
        "fou,ndation 1 udp 1 192.0.2.1 7000 typ host",
        "123456789012345678901234567890123 1 udp 1 192.0.2.1 7000 typ host",
    ];
    for text in bad {
        assert_eq!(Candidate::parse(text), None, "{text}");
        let line = format!("candidate:{text}");
        assert_eq!(
            rule(&audio(&[&line])),
            (5, Rule::Malformed("candidate")),
            "{text}"
        );
    }
}

#[test]
fn a_host_candidate_has_the_priority_of_its_preference() {
    let v4 = Candidate::host("192.0.2.1:7000".parse().unwrap(), 65_535);
    assert_eq!(
        v4.to_string(),
        "465535 1 udp 2130706431 192.0.2.1 7000 typ host"
    );
    let v6 = Candidate::host("[2001:db8::1]:7000".parse().unwrap(), 65_534);
    assert!(v6.priority < v4.priority);
    assert_eq!(Candidate::parse(&v6.to_string()), Some(v6));
}

#[test]
fn a_password_is_not_shown() {
    let password = Password::parse("secretsecretsecretsecret").unwrap();
    assert!(!format!("{password:?}").contains("secret"));
}

#[test]
fn wrong_values_name_their_line_and_rule() {
    let malformed = [
        ("mid", "mid:"),
        ("mid", "mid:with space"),
        ("mid", "mid:seventeen-letters"),
        ("ice-ufrag", "ice-ufrag:abc"),
        ("ice-ufrag", "ice-ufrag:abc!"),
        ("ice-pwd", "ice-pwd:tooshort"),
        ("setup", "setup:maybe"),
        ("fingerprint", "fingerprint:sha-256"),
        ("fingerprint", "fingerprint:sha-256 AB:CD"),
        ("fingerprint", "fingerprint:sha-256 zz"),
        ("rtpmap", "rtpmap:111"),
        ("rtpmap", "rtpmap:128 opus/48000"),
        ("rtpmap", "rtpmap:111 opus"),
        ("rtpmap", "rtpmap:111 opus/0"),
        ("rtpmap", "rtpmap:111 opus/48000/0"),
        ("rtpmap", "rtpmap:111 opus/48000/2/2"),
        ("rtpmap", "rtpmap:111 op us/48000"),
        ("rtpmap", "rtpmap:99 nonsense"),
        ("fmtp", "fmtp:111"),
        ("fmtp", "fmtp:x a=b"),
        ("rtcp-fb", "rtcp-fb:111"),
        ("rtcp-fb", "rtcp-fb:-1 nack"),
        ("extmap", "extmap:1"),
        ("extmap", "extmap:0 urn:x"),
        ("extmap", "extmap:15 urn:x"),
        ("extmap", "extmap:256 urn:x"),
        ("extmap", "extmap:1/both urn:x"),
        ("msid", "msid:"),
        ("msid", "msid:a b c"),
        ("msid", "msid:a b,"),
        ("ssrc", "ssrc:1"),
        ("ssrc", "ssrc:4294967296 cname:x"),
        ("ssrc", "ssrc:+1 cname:x"),
        ("ssrc", "ssrc:1 cname:"),
        ("ssrc-group", "ssrc-group:FID 1"),
        ("ssrc-group", "ssrc-group:FID 1 1"),
        ("ssrc-group", "ssrc-group:FID 1 2 3"),
        ("ssrc-group", "ssrc-group:SIM"),
        ("ssrc-group", "ssrc-group:SIM 1 x"),
        ("rid", "rid:q"),
        ("rid", "rid:q both"),
        ("rid", "rid:q! send"),
        ("rid", "rid:q send pt=x"),
        ("simulcast", "simulcast:"),
        ("simulcast", "simulcast:send"),
        ("simulcast", "simulcast:both q"),
        ("simulcast", "simulcast:send q;q"),
        ("simulcast", "simulcast:send q;;h"),
        ("simulcast", "simulcast:send q send h"),
    ];
    for (name, attribute) in malformed {
        assert_eq!(
            rule(&audio(&[attribute])),
            (5, Rule::Malformed(name)),
            "{attribute}"
        );
    }
}

#[test]
fn what_is_said_twice_is_refused() {
    let hash = Fingerprint::new(Hash::Sha256, &[1; 32]).unwrap();
    let twice = [
        ("mid", "mid:0"),
        ("direction", "sendonly"),
        ("ice-ufrag", "ice-ufrag:abcd"),
        ("ice-pwd", "ice-pwd:abcdabcdabcdabcdabcdabcd"),
        ("setup", "setup:actpass"),
        ("rtpmap", "rtpmap:111 opus/48000/2"),
        ("fmtp", "fmtp:111 a=1"),
        ("extmap id", "extmap:1 urn:x"),
        ("cname", "ssrc:1 cname:x"),
        ("rid", "rid:q send"),
        ("simulcast", "simulcast:send q"),
    ];
    for (name, attribute) in twice {
        assert_eq!(
            rule(&audio(&[attribute, attribute])),
            (6, Rule::Twice(name))
        );
    }
    let fingerprint = format!("fingerprint:{hash}");
    parse(&audio(&[&fingerprint, &fingerprint]));
    let origin = audio(&[]).replace("s=-", "o=- 1 2 IN IP4 127.0.0.1");
    assert_eq!(rule(&origin), (3, Rule::Twice("o=")));
    let mids = audio(&["mid:0"]) + "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n";
    assert_eq!(rule(&mids).1, Rule::MidTwice);
}

#[test]
fn the_frame_of_a_description_has_to_be_right() {
    let good = audio(&["mid:0"]);
    let cases = [
        ("", Rule::Version),
        ("hello", Rule::Version),
        ("\r\nv=0", Rule::Version),
        ("v=1\r\n", Rule::Version),
        ("v=0\r\n", Rule::NoOrigin),
        ("v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", Rule::NoOrigin),
        ("v=0\r\no=- 1 2 IN\r\n", Rule::Malformed("o=")),
        ("v=0\r\no=- x 2 IN IP4 0.0.0.0\r\n", Rule::Malformed("o=")),
        ("v=0\r\no=- 1 2 IN IP5 0.0.0.0\r\n", Rule::Malformed("o=")),
        ("v=0\r\nhello\r\n", Rule::NotALine),
        ("v=0\r\n=x\r\n", Rule::NotALine),
        ("v=0\r\nab=x\r\n", Rule::NotALine),
        ("v=0\r\ns=a\0b\r\n", Rule::NotALine),
        ("v=0\r\ns=a\rb\r\n", Rule::NotALine),
    ];
    for (text, expected) in cases {
        assert_eq!(rule(text).1, expected, "{text:?}");
    }
    for media in [
        "audio",
        "audio 9",
        "audio 9 UDP/TLS/RTP/SAVPF",
        "audio x UDP/TLS/RTP/SAVPF 111",
        "audio 9/2 UDP/TLS/RTP/SAVPF 111",
        "audio 65536 UDP/TLS/RTP/SAVPF 111",
        "audio 9 UDP/TLS/RTP/SAVPF 128",
        "audio 9 UDP/TLS/RTP/SAVPF 111 111",
        "audio 9 UDP/TLS/RTP/SAVPF 111  63",
        "au:dio 9 UDP/TLS/RTP/SAVPF 111",
        "audio 9 UDP//SAVPF 111",
    ] {
        let text = good.replace("audio 9 UDP/TLS/RTP/SAVPF 111 63", media);
        assert_eq!(rule(&text), (4, Rule::Malformed("m=")), "{media}");
    }
    for group in ["BUNDLEx 0", "BUNDLE 0 0", "BUNDLE a,b"] {
        let text = good.replace("s=-", &format!("a=group:{group}"));
        assert_eq!(rule(&text), (3, Rule::Malformed("group:BUNDLE")), "{group}");
    }
    parse(&good.replace("\r\n", "\n"));
    parse(good.trim_end());
}

#[test]
fn bounds_hold() {
    let good = audio(&[]);
    let fill = "i=".to_owned() + &"x".repeat(MAX_LINE_BYTES - 2);
    parse(&(good.clone() + &fill));
    assert_eq!(rule(&(good.clone() + &fill + "x")).1, Rule::LineTooLong);
    let many = good.clone() + &"a=x\r\n".repeat(MAX_ATTRIBUTES);
    parse(&many);
    let too_many = many + "a=x\r\n";
    assert_eq!(
        rule(&too_many),
        (5 + MAX_ATTRIBUTES, Rule::TooManyAttributes)
    );
    let session = good.replace("s=-\r\n", &"a=x\r\n".repeat(MAX_ATTRIBUTES + 1));
    assert_eq!(rule(&session).1, Rule::TooManyAttributes);
    let line = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n";
    let media = good.clone() + &line.repeat(MAX_MEDIA - 1);
    assert_eq!(parse(&media).media.len(), MAX_MEDIA);
    assert_eq!(rule(&(media + line)).1, Rule::TooManyMedia);
    let room = MAX_TEXT_BYTES - good.len();
    let long = good + &"i=\r\n".repeat(room / 4 + 1);
    assert_eq!(rule(&long).1, Rule::TextTooLong);
}

/// Attributes that form lists keep their order among themselves.
fn is_listed(line: &str) -> bool {
    [
        "ssrc:",
        "ssrc-group:",
        "msid:",
        "candidate:",
        "fingerprint:",
        "group:",
    ]
    .iter()
    .any(|name| line.starts_with(&format!("a={name}")))
}

/// The text with the attributes of each section in another order.
fn shuffled(text: &str, keys: &[u32]) -> String {
    let mut key = keys.iter().cycle();
    let mut sections: Vec<Vec<(u32, &str)>> = vec![vec![]];
    for line in text.lines() {
        if line.starts_with("m=") {
            sections.push(vec![]);
        }
        let is_free = line.starts_with("a=") && !is_listed(line);
        let rank = match (is_free, line.starts_with("a=")) {
            (true, _) => 1 + *key.next().expect("endless") % 1_000,
            (false, true) => 500,
            (false, false) => 0,
        };
        sections.last_mut().expect("one").push((rank, line));
    }
    for section in &mut sections {
        section.sort_by_key(|(rank, _)| *rank);
    }
    let lines = sections.iter().flatten();
    lines.map(|(_, line)| format!("{line}\r\n")).collect()
}

/// A browser's text with some lines gone, doubled, swapped or cut, and some bytes changed.
fn spoilt() -> impl Strategy<Value = String> {
    let offers: Vec<&str> = steps().map(|step| step.offer).collect();
    let edit = (any::<Index>(), any::<Index>(), 0..5_u8, any::<char>());
    (select(offers), prop::collection::vec(edit, 1..8)).prop_map(|(text, edits)| {
        let mut lines: Vec<String> = text.lines().take(300).map(str::to_owned).collect();
        for (at, other, what, letter) in edits {
            let (at, other) = (at.index(lines.len()), other.index(lines.len()));
            match what {
                0 => lines[at] = String::new(),
                1 => lines[at] = lines[other].clone(),
                2 => lines.swap(at, other),
                3 => lines[at] = lines[at].chars().take(other % 40).collect(),
                _ => lines[at].insert(0, letter),
            }
        }
        lines.join("\r\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,400}") {
        fuzz_sdp(text.as_bytes());
    }

    #[test]
    fn any_lines_of_attributes_are_read_or_refused(
        lines in prop::collection::vec("a=(mid|extmap|rid|simulcast|ssrc|ssrc-group|candidate|rtpmap|fmtp|rtcp-fb|msid|setup|fingerprint):[ -~]{0,30}", 0..8)
    ) {
        let text = audio(&[]) + &lines.join("\r\n");
        fuzz_sdp(text.as_bytes());
    }

    #[test]
    fn a_spoilt_offer_is_read_or_refused(text in spoilt()) {
        fuzz_sdp(text.as_bytes());
    }

    #[test]
    fn the_order_of_attributes_changes_nothing(
        offer in select(steps().map(|step| step.offer).collect::<Vec<_>>()),
        keys in prop::collection::vec(any::<u32>(), 1..97),
    ) {
        prop_assert_eq!(parse(&shuffled(offer, &keys)), parse(offer));
    }

    #[test]
    fn what_is_written_is_read_again(description in generate::description()) {
        let text = description.to_string();
        prop_assert_eq!(parse(&text), description);
    }
}
