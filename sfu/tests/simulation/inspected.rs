//! What the call inspector says of a call, against what its network and its people did.

use crate::client::Client;
use crate::network::Weather;
use crate::sdp::Use;
use crate::whims;
use crate::world::{ALL, Given, World};
use kaiwa_common::time::UnixMs;
use kaiwa_sfu::control::{LimitedBy, ParticipantId, Source, Wish};
use kaiwa_sfu::inspect::{
    Changed, Inspect, MediaState, ParticipantReport, Protocol, Sample, SubscriptionReport,
};
use kaiwa_sfu::unit::{Bitrate, MediaKind, Ssrc};
use std::time::Duration;

/// Until probes have shown what paths carry, and layers were raised to it.
const SETTLED_MS: u64 = 8_000;

/// One publishes a picture and a voice, two subscribe to it.
struct Call {
    world: World,
    publisher: ParticipantId,
    subscribers: [ParticipantId; 2],
}

impl Call {
    fn new(layers: u8) -> Self {
        Self::with(Given::default(), layers, |_| {})
    }

    fn with(given: Given, layers: u8, change: impl FnOnce(&mut Client)) -> Self {
        let mut world = World::with(1, 3, |_| Weather::FINE, given);
        let lines = vec![
            Use::Send(Source::Camera, Ssrc(1_000), layers),
            Use::Send(Source::Microphone, Ssrc(2_000), 1),
        ];
        let publisher = world.enter_as(ALL, lines, |client| {
            client.is_fed_back = true;
            change(client);
        });
        let person = world.people.get_mut(&publisher).unwrap();
        person.client.sources[0].is_heavy = true;
        let lines = || {
            vec![
                Use::Receive(MediaKind::Video),
                Use::Receive(MediaKind::Audio),
            ]
        };
        let feeds_back = |client: &mut Client| client.is_fed_back = true;
        let subscribers = [(); 2].map(|()| world.enter_as(ALL, lines(), feeds_back));
        // As large as the publisher sends at most.
        let (width, height) = if layers == 1 { (160, 90) } else { (640, 360) };
        let wish = Wish {
            publication: world.sources_of(MediaKind::Video)[0].2,
            width,
            height,
            is_paused: false,
        };
        for subscriber in subscribers {
            whims::wish(&mut world, subscriber, vec![wish]);
        }
        Self {
            world,
            publisher,
            subscribers,
        }
    }

    fn run(&mut self, ms: u64) {
        self.world.run_until(self.world.ms() + ms);
    }

    fn client(&mut self, id: ParticipantId) -> &mut Client {
        &mut self.world.people.get_mut(&id).unwrap().client
    }

    fn report(&self, id: ParticipantId) -> ParticipantReport {
        let inspect = Inspect {
            room: self.world.room.clone(),
            participants: vec![id],
            seconds: 60,
        };
        let report = self.world.shard.inspect(self.world.now(), &inspect);
        report.participants.into_iter().next().expect("present")
    }

    /// The last so many seconds of somebody.
    fn last(&self, id: ParticipantId, seconds: usize) -> Vec<Sample> {
        let samples = self.report(id).samples;
        assert!(samples.len() >= seconds, "{} samples", samples.len());
        samples[samples.len() - seconds..].to_vec()
    }

    fn picture(&self, id: ParticipantId) -> SubscriptionReport {
        let subscriptions = self.report(id).subscriptions;
        let found = subscriptions.into_iter().find(|one| one.since.is_some());
        found.expect("a picture")
    }

    fn end(mut self) {
        self.world.end(false);
    }
}

fn mean(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    samples.iter().map(of).sum::<f64>() / samples.len() as f64
}

fn kbps(rate: Bitrate) -> f64 {
    rate.0 as f64 / 1_000.0
}

fn freezes(samples: &[Sample]) -> u32 {
    samples.iter().map(|sample| u32::from(sample.freezes)).sum()
}

#[test]
fn rates_and_times_are_those_of_the_links() {
    let mut call = Call::new(1);
    call.run(SETTLED_MS);
    let [subscriber, _] = call.subscribers;
    call.client(subscriber).jitter = 900;
    let passed = |call: &mut Call| {
        let publisher = call.publisher;
        let up = call.client(publisher).up.bytes;
        (up, call.client(subscriber).down.bytes)
    };
    let before = passed(&mut call);
    call.run(10_000);
    let after = passed(&mut call);
    let said_in = mean(&call.last(call.publisher, 10), |s| kbps(s.incoming));
    let said_out = mean(&call.last(subscriber, 10), |s| kbps(s.outgoing));
    let (real_in, real_out) = (after.0 - before.0, after.1 - before.1);
    for (said, real) in [(said_in, real_in), (said_out, real_out)] {
        let real = real as f64 * 8.0 / 10_000.0;
        // Links carry RTCP and checks too.
        let share = said / real;
        assert!((0.95..=1.01).contains(&share), "{said} of {real} kbit/s");
    }
    let samples = call.last(subscriber, 10);
    for pair in samples.windows(2) {
        let apart = pair[1].at.since(pair[0].at);
        assert!((995..=1_030).contains(&apart.as_millis()), "{apart:?}");
    }
    for sample in &samples {
        // 15 ms each way, and the client looks every 5 ms.
        let rtt = sample.rtt.expect("reports");
        assert!((28..=45).contains(&rtt.as_millis()), "{rtt:?}");
        // 900 ticks, which are more of a voice's clock.
        assert_eq!(sample.out_jitter, Some(Duration::from_micros(18_700)));
        assert_eq!((sample.in_loss, sample.out_loss), (0.0, 0.0));
        assert!(sample.allocated <= sample.estimate, "{sample:?}");
        assert!(kbps(sample.allocated) > said_in * 0.8, "{sample:?}");
        assert_eq!((sample.freezes, sample.nacks, sample.dropped), (0, 0, 0));
    }
    let publisher = call.report(call.publisher);
    assert_eq!(publisher.state, MediaState::Connected);
    let path = publisher.path.expect("a path");
    assert_eq!(path.protocol, Protocol::Udp);
    assert_eq!(
        path.remote,
        call.world.people[&call.publisher].client.address
    );
    let sample = publisher.samples.last().expect("samples");
    assert!(sample.jitter.expect("it sends") < Duration::from_millis(6));
    assert_eq!(sample.rtt, None, "who only publishes reports nothing of it");
    let [picture, voice] = publisher.publications.try_into().expect("two");
    assert_eq!(
        (picture.codec, picture.source),
        (Some("VP8"), Source::Camera)
    );
    assert_eq!(voice.layers.len(), 1);
    let [layer] = picture.layers.try_into().expect("one encoding");
    assert!((kbps(layer.bitrate) / said_in - 1.0).abs() < 0.15);
    assert!(
        (195..=205).contains(&layer.fps),
        "{} pictures a second",
        layer.fps
    );
    let picture = call.picture(subscriber);
    assert!((190..=210).contains(&picture.fps), "{}", picture.fps);
    assert_eq!((picture.layer, picture.limited_by), (Some(0), None));
    assert_eq!(picture.publisher, call.publisher);
    assert_eq!(picture.wanted, (160, 90));
    call.end();
}

#[test]
fn who_is_behind_a_bottleneck_is_limited_by_it_and_nobody_else_is() {
    let mut call = Call::new(3);
    call.run(SETTLED_MS * 2);
    let [limited, free] = call.subscribers;
    assert_eq!(call.picture(limited).limited_by, None);
    let wide = mean(&call.last(limited, 3), |sample| kbps(sample.estimate));
    call.client(limited).down.weather.rate_bps = 700_000;
    call.run(8_000);
    let samples = call.last(limited, 5);
    let narrow = mean(&samples, |sample| kbps(sample.estimate));
    assert!(narrow < wide / 2.0 && narrow < 800.0, "{wide} to {narrow}");
    let picture = call.picture(limited);
    assert_eq!(picture.limited_by, Some(LimitedBy::Bandwidth));
    assert!(picture.layer < Some(2), "{picture:?}");
    let lowered = call.report(limited).changes.into_iter().any(|change| {
        matches!(
            change.what,
            Changed::Layer { mid: Some(_), from: Some(from), why: Some(LimitedBy::Bandwidth), .. }
                if from.layer == 2
        )
    });
    assert!(lowered, "{:?}", call.report(limited).changes);
    let other = call.picture(free);
    assert_eq!((other.layer, other.limited_by), (Some(2), None));
    assert_eq!(freezes(&call.last(free, 8)), 0);
    call.end();
}

#[test]
fn loss_on_one_link_is_that_links_loss() {
    let mut call = Call::new(1);
    call.run(SETTLED_MS);
    let [lossy, clean] = call.subscribers;
    let publisher = call.publisher;
    call.client(lossy).down.weather.loss_permille = 50;
    call.run(10_000);
    let lost_out = |call: &Call, id| mean(&call.last(id, 9), |s| f64::from(s.out_loss));
    let lost_in = |call: &Call, id| mean(&call.last(id, 9), |s| f64::from(s.in_loss));
    let share = lost_out(&call, lossy);
    assert!((0.03..=0.07).contains(&share), "{share}");
    assert_eq!(lost_out(&call, clean), 0.0);
    assert_eq!(lost_in(&call, publisher), 0.0);
    let asked = |id| mean(&call.last(id, 9), |sample| f64::from(sample.nacks));
    assert!(asked(lossy) > 5.0 && asked(clean) == 0.0);
    call.client(lossy).down.weather.loss_permille = 0;
    call.client(publisher).up.weather.loss_permille = 100;
    call.run(10_000);
    let share = lost_in(&call, publisher);
    assert!((0.07..=0.13).contains(&share), "{share}");
    for subscriber in call.subscribers {
        assert_eq!(lost_out(&call, subscriber), 0.0);
    }
    let loss = call.report(publisher).publications[0].loss;
    assert!((0.05..=0.15).contains(&loss), "{loss}");
    call.end();
}

#[test]
fn without_feedback_loss_is_what_reports_say() {
    // The world's clients report none, and agree on no feedback.
    let mut call = Call::new(1);
    call.run(1_000);
    let lines = vec![Use::Receive(MediaKind::Video)];
    let quiet = call.world.enter_as(ALL, lines, |client| {
        client.is_fed_back = false;
        client.fraction_lost = 64;
    });
    let publication = call.world.sources_of(MediaKind::Video)[0].2;
    let wish = Wish {
        publication,
        width: 640,
        height: 360,
        is_paused: false,
    };
    whims::wish(&mut call.world, quiet, vec![wish]);
    call.run(5_000);
    let sample = call.last(quiet, 1)[0];
    assert!((sample.out_loss - 0.25).abs() < 1e-6, "{sample:?}");
    call.end();
}

#[test]
fn a_publisher_without_key_frames_shows() {
    let mut call = Call::with(Given::default(), 1, |client| client.is_stubborn = true);
    call.run(SETTLED_MS);
    let before = call.report(call.publisher).publications[0].layers[0];
    let lines = vec![Use::Receive(MediaKind::Video)];
    let newcomer = call
        .world
        .enter_as(ALL, lines, |client| client.is_fed_back = true);
    let publication = call.world.sources_of(MediaKind::Video)[0].2;
    let wish = Wish {
        publication,
        width: 640,
        height: 360,
        is_paused: false,
    };
    whims::wish(&mut call.world, newcomer, vec![wish]);
    call.run(5_000);
    let picture = call.picture(newcomer);
    assert!(picture.is_frozen, "{picture:?}");
    assert_eq!((picture.layer, picture.fps), (None, 0));
    assert!(picture.target.is_some(), "it waits: {picture:?}");
    assert_eq!(freezes(&call.last(newcomer, 4)), 1);
    let after = call.report(call.publisher).publications[0].layers[0];
    assert_eq!(after.keyframe_at, before.keyframe_at);
    assert!(
        after.keyframe_requests > before.keyframe_requests,
        "{after:?}"
    );
    let sent: u32 = call
        .last(call.publisher, 4)
        .iter()
        .map(|sample| u32::from(sample.keyframes_sent))
        .sum();
    assert_eq!(sent, 0);
    // They send one after all.
    let publisher = call.publisher;
    call.client(publisher).is_stubborn = false;
    call.run(5_000);
    let picture = call.picture(newcomer);
    assert!(
        !picture.is_frozen && picture.layer == Some(0),
        "{picture:?}"
    );
    let layer = call.report(publisher).publications[0].layers[0];
    assert!(layer.keyframe_at > after.keyframe_at && layer.keyframe_requests == 0);
    call.end();
}

#[test]
fn each_pause_of_a_publisher_is_one_freeze_of_each_who_watches() {
    let mut call = Call::new(1);
    call.run(SETTLED_MS);
    let publisher = call.publisher;
    for _ in 0..3 {
        let until = call.world.ms() + 2_300;
        call.client(publisher).silent_until_ms = until;
        call.run(5_000);
    }
    for subscriber in call.subscribers {
        let samples = call.last(subscriber, 15);
        assert_eq!(freezes(&samples), 3, "{samples:?}");
        let noted = call.report(subscriber).changes.into_iter();
        let noted = noted.filter(|change| matches!(change.what, Changed::Freeze { .. }));
        assert_eq!(noted.count(), 3);
    }
    // What is muted is not frozen.
    let (_, owner, publication) = call.world.sources_of(MediaKind::Video)[0];
    whims::set_muted(&mut call.world, owner, publication, true);
    call.run(4_000);
    let [subscriber, _] = call.subscribers;
    assert_eq!(freezes(&call.last(subscriber, 4)), 0);
    let picture = call.picture(subscriber);
    assert_eq!(picture.limited_by, Some(LimitedBy::Muted));
    assert!(!picture.is_frozen);
    call.end();
}

#[test]
fn key_frames_that_somebody_asks_for_are_counted_on_both_sides() {
    let mut call = Call::new(1);
    call.run(SETTLED_MS);
    let [asks, other] = call.subscribers;
    for _ in 0..4 {
        call.client(asks).wants_pli = true;
        call.run(1_000);
    }
    call.run(1_000);
    let count = |id, of: fn(&Sample) -> u8| -> u32 {
        let samples = call.last(id, 6);
        samples.iter().map(|sample| u32::from(of(sample))).sum()
    };
    // It asks on each of its two sources.
    assert_eq!(count(asks, |sample| sample.keyframe_requests), 8);
    assert_eq!(count(other, |sample| sample.keyframe_requests), 0);
    assert_eq!(count(call.publisher, |sample| sample.keyframes_sent), 4);
    call.end();
}

#[test]
fn a_minute_is_kept_and_no_more() {
    let mut call = Call::new(1);
    let person = call.world.people.get_mut(&call.publisher).unwrap();
    person.client.sources[0].is_heavy = false;
    call.run(70_000);
    let samples = call.report(call.publisher).samples;
    assert_eq!(samples.len(), 60);
    let whole = samples[59].at.since(samples[0].at);
    assert!((58_500..=60_500).contains(&whole.as_millis()), "{whole:?}");
    let inspect = Inspect {
        room: call.world.room.clone(),
        participants: vec![call.publisher, ParticipantId(99)],
        seconds: 7,
    };
    let report = call.world.shard.inspect(call.world.now(), &inspect);
    let [publisher] = report.participants.try_into().expect("who is there");
    assert_eq!(publisher.samples, samples[53..]);
    assert!(report.at.since(samples[59].at) <= Duration::from_millis(1_030));
    let other = Inspect {
        room: kaiwa_common::id::RoomId::parse("r_2").unwrap(),
        ..inspect
    };
    let report = call.world.shard.inspect(call.world.now(), &other);
    assert_eq!(report.participants, [], "of another room nothing is told");
    call.end();
}

#[test]
fn as_much_is_kept_as_is_set() {
    for inspect_s in [0, 5] {
        let given = Given {
            inspect_s,
            ..Given::default()
        };
        let mut call = Call::with(given, 3, |_| {});
        call.run(SETTLED_MS);
        let report = call.report(call.subscribers[0]);
        assert_eq!(report.samples.len(), usize::from(inspect_s));
        assert_eq!(report.changes.is_empty(), inspect_s == 0);
        assert_eq!(report.subscriptions.len(), 2, "how it is now is told");
        call.end();
    }
}

#[test]
fn who_is_not_heard_is_interrupted_until_they_are() {
    let mut call = Call::new(1);
    call.run(2_000);
    let [subscriber, _] = call.subscribers;
    let until = call.world.ms() + 9_000;
    call.client(subscriber).silent_until_ms = until;
    call.run(8_800);
    let report = call.report(subscriber);
    assert_eq!(report.state, MediaState::Interrupted);
    let last = report.samples.last().expect("samples go on");
    assert!(report_age(&call, last.at) <= Duration::from_millis(1_100));
    call.run(4_000);
    let report = call.report(subscriber);
    assert_eq!(report.state, MediaState::Connected);
    let whats = report.changes.iter().map(|change| change.what);
    let connectivity: Vec<_> = whats
        .filter(|what| matches!(what, Changed::Interrupted | Changed::Recovered))
        .collect();
    assert_eq!(connectivity, [Changed::Interrupted, Changed::Recovered]);
    call.end();
}

fn report_age(call: &Call, at: UnixMs) -> Duration {
    let inspect = Inspect {
        room: call.world.room.clone(),
        participants: Vec::new(),
        seconds: 1,
    };
    let report = call.world.shard.inspect(call.world.now(), &inspect);
    report.at.since(at)
}
