use super::*;
use crate::control::Source;
use crate::unit::PayloadType;
use crate::wire::sdp::fixtures::{SCENARIOS, Step, scenario, steps};
use crate::wire::sdp::{
    Candidate, Direction, Fingerprint, Hash, Password, SectionKind, Setup, TransportAttributes,
    Ufrag,
};

mod codecs;
mod hostile;
mod simulation;

const ALL: Rights = Rights {
    microphone: true,
    camera: true,
    screen: true,
    subscribe: true,
};

fn negotiator() -> Negotiator {
    Negotiator::new(Config {
        session_id: 4_242,
        seed: 42,
        prefers_redundancy: true,
        video_codecs: VideoCodecs::default(),
    })
}

/// As the example `sdp_answer` has them in its nth round.
fn local(round: usize) -> LocalParameters {
    let ufrag = format!("serv{round}");
    let password = format!("passwordpasswordpassword{round}");
    LocalParameters {
        fresh: IceCredentials {
            ufrag: Ufrag::parse(&ufrag).unwrap(),
            password: Password::parse(&password).unwrap(),
        },
        fingerprint: Fingerprint::new(Hash::Sha256, &[0x42; 32]).unwrap(),
        candidates: vec![Candidate::host("192.0.2.1:7000".parse().unwrap(), 65_535)],
    }
}

fn mid(text: &str) -> Mid {
    Mid::parse(text.as_bytes()).unwrap()
}

fn tracks(text: &str) -> Vec<Track> {
    let track = |word: &str| {
        let (name, source) = word.split_once('=').unwrap();
        Track {
            mid: mid(name),
            source: match source {
                "microphone" => Source::Microphone,
                "camera" => Source::Camera,
                "screen" => Source::Screen,
                _ => panic!("{source}"),
            },
            is_muted: false,
        }
    };
    text.split_whitespace().map(track).collect()
}

fn offer(text: &str) -> Description {
    Description::parse(text).unwrap()
}

/// What each step of a scenario leads to.
fn run(steps: &[Step]) -> Vec<Negotiated> {
    let mut negotiator = negotiator();
    let mut all = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let (tracks, local) = (tracks(step.tracks), local(at + 1));
        let outcome = negotiator.handle_offer(&offer(step.offer), &local, &tracks, ALL);
        all.push(outcome.unwrap_or_else(|error| panic!("{}: {error}", step.name)));
    }
    all
}

fn publication(mline: &MLine) -> &Receiving {
    let Line::Receiving(receiving) = &mline.line else {
        panic!("no publication: {mline:?}");
    };
    receiving
}

fn slot(mline: &MLine) -> &Sending {
    let Line::Sending(sending) = &mline.line else {
        panic!("no slot: {mline:?}");
    };
    sending
}

fn names(receiving: &Receiving) -> Vec<&str> {
    let encodings = receiving.encodings.iter();
    encodings.map(|encoding| encoding.rid.as_str()).collect()
}

#[test]
fn answers_are_those_that_browsers_took() {
    for scenario in SCENARIOS {
        for (step, negotiated) in scenario.iter().zip(run(scenario)) {
            assert_eq!(negotiated.answer, step.answer, "{}", step.name);
        }
    }
}

#[test]
fn a_call_of_chromium_goes_through_its_changes() {
    let all = run(scenario("chromium_call"));
    let [
        first,
        screen,
        removed,
        back,
        stopped,
        recycled,
        pool,
        more,
        restart,
    ] = all.as_slice()
    else {
        panic!("nine steps");
    };
    assert_eq!(first.transport, TransportChange::New);
    assert_eq!(first.changes, [Change::Began(0), Change::Began(1)]);
    assert_eq!(screen.changes, [Change::Began(2)]);
    assert_eq!(removed.changes, [Change::Ended(screen.lines[2].clone())]);
    assert_eq!(removed.lines[2].line, Line::Inactive);
    assert_eq!(back.changes, [Change::Began(2)]);
    assert_eq!(stopped.changes, [Change::Ended(back.lines[2].clone())]);
    assert_eq!(stopped.lines[2].line, Line::Rejected(Rejection::Stopped));
    assert_eq!(recycled.changes, [Change::Began(2)]);
    assert_eq!(recycled.lines[2].mid, Some(mid("3")));
    assert_eq!(pool.changes, (3..12).map(Change::Began).collect::<Vec<_>>());
    assert_eq!(
        more.changes,
        (12..15).map(Change::Began).collect::<Vec<_>>()
    );
    assert_eq!(restart.changes, []);
    assert_eq!(restart.transport, TransportChange::Restarted);
    for later in [screen, removed, back, stopped, recycled, pool, more] {
        assert_eq!(later.transport, TransportChange::Kept);
        assert_eq!(later.local, first.local);
        assert_eq!(later.remote, first.remote);
    }
    assert_ne!(restart.local, first.local);
    assert_ne!(restart.remote.credentials, first.remote.credentials);
    assert_eq!(restart.remote.fingerprints, first.remote.fingerprints);
    assert_eq!(
        restart.lines, more.lines,
        "a restart concerns the transport alone"
    );
}

#[test]
fn a_publication_of_chromium_is_described() {
    let lines = &run(scenario("chromium_call"))[1].lines;
    let (mic, cam, screen) = (
        publication(&lines[0]),
        publication(&lines[1]),
        publication(&lines[2]),
    );
    let codecs = |receiving: &Receiving| {
        let payloads = receiving.payloads.iter();
        payloads
            .map(|one| (one.codec, one.pt.0, one.rtx.map(|pt| pt.0)))
            .collect::<Vec<_>>()
    };
    let opus = Codec::Opus(Opus {
        has_fec: true,
        ..Opus::default()
    });
    assert_eq!(codecs(mic), [(Codec::Red, 63, None), (opus, 111, None)]);
    assert_eq!(codecs(cam)[0], (Codec::Vp8, 96, Some(97)));
    assert_eq!(names(cam), ["q", "h", "f"]);
    assert!(cam.sources.is_empty(), "known by their RIDs");
    assert!(names(screen).is_empty());
    assert_eq!(screen.sources.len(), 1);
    assert!(screen.sources[0].rtx.is_some());
    assert_eq!(screen.track.source, Source::Screen);
    assert_eq!(mic.sources.len(), 1);
    let audio = ExtensionIds {
        mid: Some(4),
        audio_level: Some(1),
        transport_cc: Some(3),
        abs_send_time: Some(2),
        ..ExtensionIds::default()
    };
    assert_eq!(mic.extensions, audio);
    let video = ExtensionIds {
        rid: Some(10),
        repaired_rid: Some(11),
        audio_level: None,
        dependency_descriptor: Some(12),
        ..audio
    };
    assert_eq!(cam.extensions, video);
}

#[test]
fn a_publication_of_firefox_is_described() {
    let lines = &run(scenario("firefox_call"))[0].lines;
    let (mic, cam) = (publication(&lines[0]), publication(&lines[1]));
    let opus = Codec::Opus(Opus {
        is_stereo: true,
        has_fec: true,
        has_dtx: false,
    });
    assert_eq!(mic.payloads[0].codec, opus);
    assert_eq!(mic.payloads.len(), 1, "no RED is offered");
    assert_eq!(cam.payloads[0].rtx, Some(PayloadType(124)));
    assert_eq!(names(cam), ["q", "h", "f"]);
    assert_eq!(cam.sources.len(), 3);
    assert!(cam.sources.iter().all(|source| source.rtx.is_some()));
    assert_eq!(cam.extensions.rid, Some(9));
}

#[test]
fn slots_have_sources_of_their_own() {
    for prefix in ["chromium_pool", "firefox_pool"] {
        let all = run(scenario(prefix));
        let of = |negotiated: &Negotiated| -> Vec<SlotSources> {
            let lines = negotiated.lines.iter().take(9);
            lines.map(|mline| slot(mline).sources).collect()
        };
        let sources = of(&all[0]);
        assert_eq!(of(&all[1]), sources, "for the slot's life");
        let mut ssrcs: Vec<_> = sources.iter().map(|one| one.primary).collect();
        ssrcs.extend(sources.iter().filter_map(|one| one.rtx));
        assert_eq!(ssrcs.len(), 9 + 6, "retransmissions of pictures alone");
        ssrcs.sort();
        ssrcs.dedup();
        assert_eq!(ssrcs.len(), 9 + 6);
        let answer = offer(&all[0].answer);
        for (mline, media) in all[0].lines.iter().zip(&answer.media) {
            let slot = slot(mline);
            assert_eq!(media.direction, Direction::SendOnly);
            assert_eq!(media.sources[0].ssrc, slot.sources.primary);
            assert_eq!(media.sources[0].cname, Some(negotiator().cname()));
            assert_eq!(media.msids, std::slice::from_ref(&slot.msid));
        }
    }
}

#[test]
fn the_transport_is_described_for_all_and_in_the_line_that_stands_for_it() {
    for step in steps() {
        let answer = offer(step.answer);
        assert!(answer.is_ice_lite);
        assert_eq!(answer.transport.setup, Some(Setup::Passive));
        assert!(answer.transport.ufrag.is_some());
        let with: Vec<_> = answer
            .media
            .iter()
            .filter(|media| !media.candidates.is_empty())
            .collect();
        assert_eq!(with.len(), 1, "{}", step.name);
        assert!(with[0].has_end_of_candidates);
        assert_eq!(with[0].mid, answer.bundles[0].first().copied());
        assert_eq!(with[0].transport, answer.transport);
        let elsewhere = answer.media.iter().filter(|media| media.mid != with[0].mid);
        for media in elsewhere {
            assert_eq!(media.transport, TransportAttributes::default());
        }
    }
}

#[test]
fn data_channels_are_rejected_and_stay_out_of_the_bundle() {
    for prefix in ["chromium_data", "firefox_data"] {
        for negotiated in run(scenario(prefix)) {
            let answer = offer(&negotiated.answer);
            let at = answer
                .media
                .iter()
                .position(|media| media.kind == SectionKind::Application)
                .unwrap();
            let data = &answer.media[at];
            assert_eq!((data.port, data.direction), (0, Direction::Inactive));
            assert_eq!(data.other_formats, "webrtc-datachannel");
            assert!(!answer.bundles[0].contains(&data.mid.unwrap()));
            let line = &negotiated.lines[at].line;
            let stopped = Line::Rejected(Rejection::Stopped);
            assert!(*line == Line::Rejected(Rejection::NotMedia) || *line == stopped);
        }
    }
}

#[test]
fn a_refused_camera_keeps_its_layers_for_later() {
    for prefix in ["chromium_refused", "firefox_refused"] {
        let all = run(scenario(prefix));
        assert_eq!(all[0].lines[1].line, Line::Refused(Refusal::NotNamed));
        let answer = offer(&all[0].answer);
        assert_eq!(answer.media[1].direction, Direction::Inactive);
        assert_eq!(answer.media[1].simulcast.as_ref().unwrap().recv.len(), 3);
        assert_eq!(names(publication(&all[1].lines[1])), ["q", "h", "f"]);
        assert_eq!(all[1].changes, [Change::Began(1)]);
    }
}

#[test]
fn a_paused_encoding_stays_paused() {
    let all = run(scenario("chromium_paused"));
    let paused = |negotiated: &Negotiated| -> Vec<bool> {
        let encodings = publication(&negotiated.lines[0]).encodings.iter();
        encodings.map(|encoding| encoding.is_paused).collect()
    };
    assert_eq!(paused(&all[0]), [false, false, true]);
    assert!(all[0].answer.contains("a=simulcast:recv q;h;~f\r\n"));
    assert_eq!(paused(&all[1]), [false, false, false]);
    assert_eq!(all[1].changes, [Change::Changed(0)]);
}

#[test]
fn without_the_wish_for_redundancy_the_clients_order_stays() {
    let mut negotiator = Negotiator::new(Config {
        prefers_redundancy: false,
        video_codecs: VideoCodecs::default(),
        ..negotiator().config
    });
    let step = scenario("chromium_call")[0];
    let outcome = negotiator.handle_offer(&offer(step.offer), &local(1), &tracks(step.tracks), ALL);
    let negotiated = outcome.unwrap();
    assert!(
        negotiated
            .answer
            .contains("m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n")
    );
    let mic = publication(&negotiated.lines[0]);
    assert_eq!(mic.payloads[1].codec, Codec::Red);
}

#[test]
fn rights_decide_what_is_used() {
    let step = scenario("chromium_call")[6];
    let answered = |rights| {
        let mut negotiator = negotiator();
        let (offer, tracks) = (offer(step.offer), tracks(step.tracks));
        let outcome = negotiator.handle_offer(&offer, &local(1), &tracks, rights);
        outcome.unwrap().lines
    };
    let forbidden = Line::Refused(Refusal::Forbidden);
    let of = |rights| -> Vec<bool> {
        let lines = answered(rights);
        lines.iter().map(|mline| mline.line == forbidden).collect()
    };
    let expect = |mic, cam, screen, slots| {
        let mut all = vec![mic, cam, screen];
        all.extend([slots; 9]);
        all
    };
    assert_eq!(of(ALL), expect(false, false, false, false));
    assert_eq!(of(Rights::default()), expect(true, true, true, true));
    let only = |change: fn(&mut Rights)| {
        let mut rights = Rights::default();
        change(&mut rights);
        of(rights)
    };
    assert_eq!(
        only(|r| r.microphone = true),
        expect(false, true, true, true)
    );
    assert_eq!(only(|r| r.camera = true), expect(true, false, true, true));
    assert_eq!(only(|r| r.screen = true), expect(true, true, false, true));
    assert_eq!(
        only(|r| r.subscribe = true),
        expect(true, true, true, false)
    );
}

#[test]
fn equal_seeds_give_equal_answers() {
    let first = |seed| {
        let config = Config {
            seed,
            ..negotiator().config
        };
        let step = scenario("chromium_pool")[0];
        let outcome = Negotiator::new(config).handle_offer(&offer(step.offer), &local(1), &[], ALL);
        outcome.unwrap().answer
    };
    assert_eq!(first(7), first(7));
    assert_ne!(first(7), first(8));
}

#[test]
fn what_is_fuzzed_holds_for_real_offers() {
    steps().for_each(|step| fuzz_offer(step.offer.as_bytes()));
}
