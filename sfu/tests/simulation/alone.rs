//! Pictures without any sound, in one encoding that costs more than a path is taken to carry at first.

use crate::client::Client;
use crate::network::Weather;
use crate::sdp::Use;
use crate::whims;
use crate::world::{ALL, Given, World};
use kaiwa_sfu::control::{ParticipantId, Rights, Source, Wish};
use kaiwa_sfu::unit::{Bitrate, MediaKind, Ssrc};
use std::collections::BTreeSet;
use std::time::Duration;

/// Until a probe has shown what the path carries, and layers were raised to it.
const SETTLED_MS: u64 = 6_000;

/// Packets of the picture in three seconds: all of them, but for chance.
const ALL_OF_IT: u64 = 3 * 200 * 3 / 2 * 85 / 100;

/// One publishes a heavy picture; the other, who subscribes, is in the world's hands.
struct Call {
    world: World,
    subscriber: ParticipantId,
}

impl Call {
    fn new(given: Given, change: impl FnOnce(&mut Client)) -> Self {
        let mut world = World::with(1, 3, |_| Weather::FINE, given);
        let lines = vec![Use::Send(Source::Camera, Ssrc(1_000), 1)];
        let publisher = world.enter(ALL, lines);
        let person = world.people.get_mut(&publisher).unwrap();
        person.client.sources[0].is_heavy = true;
        let lines = vec![Use::Receive(MediaKind::Video)];
        let subscriber = world.enter_as(ALL, lines, |client| {
            client.is_fed_back = true;
            change(client);
        });
        let mut call = Self { world, subscriber };
        call.wish(false);
        call
    }

    fn wish(&mut self, is_paused: bool) {
        let wish = Wish {
            publication: self.world.sources_of(MediaKind::Video)[0].2,
            width: 1_280,
            height: 720,
            is_paused,
        };
        whims::wish(&mut self.world, self.subscriber, vec![wish]);
    }

    /// Packets of pictures that were sent in so long.
    fn sent_in(&mut self, ms: u64) -> u64 {
        let before = self.world.people[&self.subscriber].tap.pictures;
        let until = self.world.ms() + ms;
        self.world.run_until(until);
        self.world.people[&self.subscriber].tap.pictures - before
    }

    /// Lets time pass until packets wait in the pacer.
    fn until_some_wait(&mut self) {
        for _ in 0..5_000 {
            self.sent_in(1);
            let flow = self.world.shard.flow(self.subscriber);
            if flow.is_some_and(|flow| flow.waiting > 10) {
                return;
            }
        }
        panic!("nothing waits");
    }

    fn set_muted(&mut self, is_muted: bool) {
        let (_, owner, publication) = self.world.sources_of(MediaKind::Video)[0];
        whims::set_muted(&mut self.world, owner, publication, is_muted);
    }

    fn change_path(&mut self, rate_bps: u64) {
        let person = self.world.people.get_mut(&self.subscriber).unwrap();
        person.client.down.weather.rate_bps = rate_bps;
    }
}

/// All of the picture comes in the end.
fn check(given: Given, change: impl FnOnce(&mut Client)) {
    let mut call = Call::new(given, change);
    call.sent_in(SETTLED_MS);
    let sent = call.sent_in(3_000);
    assert!(sent >= ALL_OF_IT, "{sent} packets of {ALL_OF_IT}");
    call.world.end(false);
}

fn unpaced() -> Given {
    Given {
        is_paced: false,
        ..Given::default()
    }
}

#[test]
fn a_probe_begins_what_no_sound_has_begun() {
    check(Given::default(), |_| {});
}

#[test]
fn without_repairs_an_idle_slot_is_probed_on() {
    let mut call = Call::new(Given::default(), |client| client.has_rtx = false);
    let sent = call.sent_in(SETTLED_MS);
    assert!(sent > 0, "something is tried");
    call.world.end(false);
}

#[test]
fn what_is_not_paced_is_not_held_back_by_what_nobody_has_measured() {
    check(unpaced(), |_| {});
    let mut call = Call::new(unpaced(), |client| client.has_rtx = false);
    let sent = call.sent_in(SETTLED_MS);
    assert!(sent > 0, "something is tried");
    call.world.end(false);
}

#[test]
fn an_assumption_does_not_keep_the_only_picture_away() {
    let assumed = Given {
        assumed: Bitrate::kbps(100),
        ..Given::default()
    };
    let mut call = Call::new(assumed, |client| client.is_fed_back = false);
    let sent = call.sent_in(SETTLED_MS);
    assert!(sent > 0, "its lowest step");
    call.world.end(false);
}

#[test]
fn what_feedback_has_shown_does_and_probes_tell_when_it_is_over() {
    for is_paced in [true, false] {
        let given = Given {
            is_paced,
            ..Given::default()
        };
        let mut call = Call::new(given, |client| client.down.weather.rate_bps = 300_000);
        call.sent_in(10_000);
        assert_eq!(call.sent_in(4_000), 0, "its lowest step is too much");
        call.change_path(Weather::FINE.rate_bps);
        call.sent_in(15_000);
        let sent = call.sent_in(3_000);
        assert!(sent >= ALL_OF_IT, "{sent} packets of {ALL_OF_IT}");
        call.world.end(false);
    }
}

/// The model looks at the numbers of all that was sent.
#[test]
fn what_waited_and_was_given_up_leaves_no_hole() {
    let mut call = Call::new(Given::default(), |_| {});
    call.sent_in(SETTLED_MS);
    for _ in 0..3 {
        call.change_path(700_000);
        call.until_some_wait();
        call.wish(true);
        call.change_path(Weather::FINE.rate_bps);
        call.sent_in(1_000);
        call.wish(false);
        assert!(call.sent_in(10_000) > 0, "it goes on");
    }
    call.world.end(true);
}

/// The model knows what is muted.
#[test]
fn what_waited_when_it_was_muted_does_not_leave() {
    let mut call = Call::new(Given::default(), |_| {});
    call.sent_in(SETTLED_MS);
    call.change_path(700_000);
    call.until_some_wait();
    call.set_muted(true);
    assert_eq!(call.sent_in(2_000), 0);
    call.change_path(Weather::FINE.rate_bps);
    call.set_muted(false);
    assert!(call.sent_in(10_000) > 0, "it goes on");
    call.world.end(true);
}

#[test]
fn who_asks_for_a_key_frame_while_one_is_under_way_gets_no_second() {
    let mut call = Call::new(Given::default(), |_| {});
    call.sent_in(SETTLED_MS);
    let asked = |call: &Call| call.world.shard.counts().keyframe_requests;
    let ask = |call: &mut Call| {
        let person = call.world.people.get_mut(&call.subscriber);
        person.unwrap().client.wants_pli = true;
    };
    for round in 0..3 {
        let before = asked(&call);
        ask(&mut call);
        while asked(&call) == before {
            call.sent_in(1);
        }
        // It has come to the server, and is on its way further.
        call.sent_in(100);
        ask(&mut call);
        call.sent_in(2_000);
        assert_eq!(asked(&call), before + 1, "round {round}");
    }
    call.world.end(true);
}

#[test]
fn another_address_is_another_path() {
    let mut call = Call::new(Given::default(), |_| {});
    call.sent_in(SETTLED_MS);
    let estimate = |call: &Call| call.world.shard.flow(call.subscriber).unwrap().estimate;
    assert!(estimate(&call) > Bitrate::kbps(2_000));
    let ms = call.world.ms();
    let person = call.world.people.get_mut(&call.subscriber).unwrap();
    person.client.move_away(ms);
    let is_reset = (0..100).any(|_| {
        call.sent_in(1);
        estimate(&call) == Bitrate::kbps(300)
    });
    assert!(is_reset, "nothing is known of it");
    call.sent_in(SETTLED_MS);
    let sent = call.sent_in(3_000);
    assert!(sent >= ALL_OF_IT, "{sent} packets of {ALL_OF_IT}");
    call.world.end(true);
}

#[test]
fn a_right_that_is_lost_ends_what_it_allowed_and_one_that_is_back_needs_an_offer_alone() {
    let mut call = Call::new(Given::default(), |_| {});
    call.sent_in(SETTLED_MS);
    let (_, publisher, publication) = call.world.sources_of(MediaKind::Video)[0];
    let without = Rights {
        camera: false,
        ..ALL
    };
    call.world.set_rights(publisher, without);
    assert!(!call.world.publications.contains_key(&publication));
    assert_eq!(call.sent_in(1_000), 0);
    assert_eq!(call.world.people[&publisher].gone, None);
    // Once without an offer in between, once with one.
    for offers in [false, true] {
        if offers {
            call.world.offer(publisher);
            assert!(call.world.sources_of(MediaKind::Video).is_empty());
        }
        call.world.set_rights(publisher, ALL);
        call.world.offer(publisher);
        assert_eq!(call.world.sources_of(MediaKind::Video).len(), 1);
        call.wish(false);
        assert!(call.sent_in(5_000) > 0, "it is seen again");
        call.world.set_rights(publisher, without);
    }
    call.world.end(false);
}

#[test]
fn who_may_not_subscribe_any_more_is_sent_nothing_until_they_may_again() {
    let mut call = Call::new(Given::default(), |_| {});
    assert!(call.sent_in(SETTLED_MS) > 0);
    let without = Rights {
        subscribe: false,
        ..ALL
    };
    call.world.set_rights(call.subscriber, without);
    assert_eq!(call.sent_in(2_000), 0);
    call.world.set_rights(call.subscriber, ALL);
    assert!(call.sent_in(5_000) > 0);
    call.world.end(true);
}

#[test]
fn a_publisher_is_told_when_its_packets_came_and_not_when_they_were_read() {
    let first_arrival = |waited| {
        let mut call = Call::new(Given::default(), |_| {});
        call.world.waited = waited;
        call.sent_in(1_000);
        let mut people = call.world.people.values();
        let told = people.find_map(|person| person.client.first_arrival);
        told.expect("feedback")
    };
    let late = first_arrival(Duration::ZERO) - first_arrival(Duration::from_millis(20));
    assert_eq!(late, 20 * 4);
}

#[test]
fn who_agrees_on_feedback_and_gives_none_is_taken_for_one_without() {
    let assumed = Given {
        assumed: Bitrate::kbps(5_000),
        ..Given::default()
    };
    let mut call = Call::new(assumed, |client| client.is_mute = true);
    call.sent_in(2 * SETTLED_MS);
    let sent = call.sent_in(3_000);
    assert!(sent >= ALL_OF_IT, "{sent} packets of {ALL_OF_IT}");
    call.world.end(true);
}

#[test]
fn who_sees_nothing_any_more_is_taken_to_want_nothing() {
    let mut call = Call::new(Given::default(), |_| {});
    call.sent_in(SETTLED_MS);
    // Less than the picture takes, so that there is something to probe for.
    call.change_path(1_500_000);
    call.sent_in(5_000);
    let allocated = |call: &Call| call.world.shard.flow(call.subscriber).unwrap().allocated;
    assert!(allocated(&call) > Bitrate(0));
    let publisher = call.world.sources_of(MediaKind::Video)[0].1;
    call.world.leave(publisher);
    call.sent_in(1_000);
    assert_eq!(allocated(&call), Bitrate(0));
    let packets = |call: &Call| call.world.people[&call.subscriber].tap.packets;
    let before = packets(&call);
    call.sent_in(20_000);
    assert_eq!(packets(&call), before, "nothing is probed for");
}

/// So many that what came of a picture waits for the rest of it.
#[test]
fn a_bottleneck_of_one_changes_no_layer_of_the_many_others() {
    let mut world = World::with(1, 3, |_| Weather::FINE, Given::default());
    let publisher = world.enter(ALL, vec![Use::Send(Source::Camera, Ssrc(1_000), 3)]);
    let person = world.people.get_mut(&publisher).unwrap();
    person.client.sources[0].is_heavy = true;
    let lines = || vec![Use::Receive(MediaKind::Video)];
    let feeds_back = |client: &mut Client| client.is_fed_back = true;
    let subscribers: Vec<_> = (0..6)
        .map(|_| world.enter_as(ALL, lines(), feeds_back))
        .collect();
    let wish = Wish {
        publication: world.sources_of(MediaKind::Video)[0].2,
        width: 1_280,
        height: 720,
        is_paused: false,
    };
    for &subscriber in &subscribers {
        whims::wish(&mut world, subscriber, vec![wish]);
    }
    let mut layers_in = |limited: Option<u64>| -> (BTreeSet<u8>, BTreeSet<u8>) {
        let (one, many) = subscribers.split_first().unwrap();
        if let Some(rate_bps) = limited {
            let client = &mut world.people.get_mut(one).unwrap().client;
            client.down.weather.rate_bps = rate_bps;
        }
        for person in world.people.values_mut() {
            person.tap.layers.clear();
        }
        world.run_until(world.ms() + 10_000);
        let layers = |id| world.people[id].tap.layers.clone();
        (layers(one), many.iter().flat_map(layers).collect())
    };
    layers_in(None);
    let high = BTreeSet::from([2]);
    assert_eq!(layers_in(None), (high.clone(), high.clone()));
    let (one, many) = layers_in(Some(1_000_000));
    assert!(one.len() > 1, "{one:?}");
    assert_eq!(many, high);
    world.end(false);
}
