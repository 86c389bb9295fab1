use super::*;
use kaiwa_sfu::control::trace::{Handshake, JoinTrace};
use kaiwa_sfu::control::{ParticipantId, PublicationId};
use kaiwa_sfu::inspect::{Change, LayerReport, MediaState, SentLayer};
use kaiwa_sfu::unit::Mid;

const NOW: UnixMs = UnixMs(1_800_000_000_000);

fn sample(in_loss: f32, out_loss: f32) -> Sample {
    Sample {
        at: NOW,
        incoming: Bitrate(300_000),
        outgoing: Bitrate(300_000),
        estimate: Bitrate(80_000),
        allocated: Bitrate(40_000),
        in_loss,
        out_loss,
        rtt: None,
        jitter: None,
        out_jitter: None,
        freezes: 0,
        keyframe_requests: 0,
        keyframes_sent: 0,
        nacks: 0,
        queued: 0,
        dropped: 0,
    }
}

fn report(samples: Vec<Sample>) -> ParticipantReport {
    ParticipantReport {
        participant: ParticipantId(1),
        state: MediaState::Connected,
        path: None,
        samples,
        publications: Vec::new(),
        subscriptions: Vec::new(),
        changes: Vec::new(),
        trace: JoinTrace {
            is_answered: true,
            was_connected: true,
            handshake: Handshake::Done,
            ..JoinTrace::default()
        },
    }
}

fn limited(layer: Option<u8>, since_s: i64) -> SubscriptionReport {
    SubscriptionReport {
        mid: Mid::parse(b"1").expect("a mid"),
        publication: PublicationId(1),
        publisher: ParticipantId(2),
        layer,
        target: layer.map(|layer| SentLayer { layer, temporal: 2 }),
        wanted: (640, 360),
        limited_by: Some(LimitedBy::Bandwidth),
        since: Some(UnixMs(NOW.0 - since_s * 1000)),
        fps: 0,
        is_frozen: false,
    }
}

fn kind(report: &ParticipantReport) -> Option<&'static str> {
    of_participant(report, NOW, &[]).map(|cause| cause.kind.as_str())
}

#[test]
fn a_loss_is_named_when_it_lasts_and_with_its_way() {
    let lossy = sample(0.1, 0.0);
    let good = sample(0.0, 0.0);
    assert_eq!(kind(&report(vec![good; 10])), None);
    assert_eq!(kind(&report(vec![lossy; 3])), None, "too few to say");
    let mut some = vec![good; 10];
    some[3] = lossy;
    some[7] = lossy;
    assert_eq!(kind(&report(some)), None, "two bad seconds");
    let up = of_participant(&report(vec![lossy; 5]), NOW, &[]).expect("a cause");
    assert_eq!(up.kind, Kind::Loss);
    assert!(
        up.text.contains("10 % of the packets from them"),
        "{}",
        up.text
    );
    let down = of_participant(&report(vec![sample(0.0, 0.2); 5]), NOW, &[]).expect("a cause");
    assert!(
        down.text.contains("from this server to them"),
        "{}",
        down.text
    );
}

#[test]
fn who_waits_for_a_key_frame_is_not_starved() {
    let mut waits = report(vec![sample(0.0, 0.0); 10]);
    waits.subscriptions = vec![SubscriptionReport {
        layer: None,
        ..limited(Some(0), 4)
    }];
    assert_eq!(kind(&waits), None);
}

#[test]
fn a_path_that_is_too_narrow_is_starved_and_no_loss() {
    let mut narrow = report(vec![sample(0.0, 0.1); 10]);
    narrow.samples.extend([sample(0.0, 0.0); 3]);
    narrow.subscriptions = vec![limited(None, 1)];
    assert_eq!(kind(&narrow), None, "it is too early to say");
    narrow.subscriptions = vec![limited(None, 4)];
    assert_eq!(kind(&narrow), Some("starved"));
    // Probes of it are lost.
    let mut probed = narrow.clone();
    probed.samples = vec![sample(0.0, 0.1); 10];
    assert_eq!(kind(&probed), Some("starved"));
    // It fits again, for now.
    probed.subscriptions = vec![SubscriptionReport {
        limited_by: None,
        ..limited(Some(0), 1)
    }];
    let gone = |ago_s: i64| Change {
        at: UnixMs(NOW.0 - ago_s * 1000),
        what: Changed::Layer {
            mid: None,
            from: None,
            to: None,
            why: Some(LimitedBy::Bandwidth),
        },
    };
    probed.changes = vec![gone(5)];
    assert_eq!(kind(&probed), None);
    probed.changes = vec![gone(20)];
    assert_eq!(kind(&probed), Some("loss"));
    // Less is sent, and as much is lost: it is the link.
    let mut lossy = report(vec![sample(0.0, 0.1); 10]);
    lossy.subscriptions = vec![limited(Some(0), 60)];
    assert_eq!(kind(&lossy), Some("loss"));
    // A lower layer than wanted is what layers are for.
    let mut lower = report(vec![sample(0.0, 0.0); 10]);
    lower.subscriptions = vec![limited(Some(0), 60)];
    assert_eq!(kind(&lower), None);
}

#[test]
fn a_publisher_who_leaves_requests_for_key_frames_unanswered_is_named() {
    let layer = |kbps, keyframe_requests| LayerReport {
        rid: None,
        spatial: 0,
        bitrate: Bitrate::kbps(kbps),
        fps: 25,
        size: (0, 0),
        keyframe_at: None,
        keyframe_requests,
    };
    let camera = |layer, is_muted| PublicationReport {
        id: PublicationId(1),
        source: Source::Camera,
        codec: Some("VP8"),
        is_muted,
        loss: 0.0,
        layers: vec![layer],
    };
    let named = |publication: &PublicationReport| of_publication(publication).is_some();
    assert!(named(&camera(layer(200, UNANSWERED), false)));
    assert!(
        !named(&camera(layer(200, UNANSWERED - 1), false)),
        "one may be on its way"
    );
    assert!(
        !named(&camera(layer(0, UNANSWERED), false)),
        "nothing is sent at all"
    );
    assert!(!named(&camera(layer(200, UNANSWERED), true)), "muted");
    let mut publisher = report(Vec::new());
    publisher.publications = vec![camera(layer(200, UNANSWERED), false)];
    assert_eq!(kind(&publisher), Some("no_keyframes"));
}
