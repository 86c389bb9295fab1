//! Floods of a shard that need no sockets, and silence that needs no waiting: datagrams come from made-up
//! addresses, and time is an argument.

use super::{CONNECT, Letter, Parcel, Path, SEED_BYTES, Setup, Shard, Sink};
use crate::control::{Event, GoneReason, Join, Offer, ParticipantId, Rights};
use crate::core::ice::{EXPIRED_AFTER, MAX_REMOTES};
use crate::dtls::{Dtls as _, Identity, RtcDtls};
use crate::net::address::Destination;
use crate::net::socket::{Local, LocalIndex};
use crate::srtp::Profile;
use crate::unit::{Bitrate, NtpTime};
use crate::wire::stun::{BindingRequest, IntegrityKey, Role, TransactionId, write_request};
use kaiwa_common::id::RoomId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where nothing arrives.
pub(super) struct Nowhere;

impl Sink for Nowhere {
    fn put(
        &mut self,
        _: &(Local, Destination),
        max_len: usize,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<usize> {
        write(&mut vec![0; max_len])
    }
}

/// A shard that the test drives.
pub(super) struct Stand {
    pub(super) shard: Shard<Nowhere>,
    pub(super) now: Instant,
    checks: u64,
}

/// A peer's credentials at the server.
#[derive(Clone)]
struct Credentials {
    username: String,
    password: String,
}

impl Stand {
    pub(super) fn new(shards: usize) -> Self {
        Self::with_index(shards, 0)
    }

    fn with_index(shards: usize, index: usize) -> Self {
        let now = Instant::now();
        let setup = Setup {
            index,
            shards,
            audio_slots: 3,
            is_paced: true,
            inspect_s: 60,
            assumed: Bitrate::kbps(2_000),
            video_codecs: crate::core::negotiate::VideoCodecs::default(),
            identity: Arc::new(Identity::generate().expect("an identity")),
            candidates: Vec::new(),
            started: now,
            probe: None,
            started_ntp: NtpTime(0),
            seed: [7; SEED_BYTES],
        };
        Self {
            shard: Shard::new(setup, Nowhere),
            now,
            checks: 0,
        }
    }

    fn join(&mut self, id: u64) -> Credentials {
        self.enter(id);
        let offer = Offer {
            participant: ParticipantId(id),
            sdp: OFFER.to_owned(),
            tracks: vec![],
        };
        let answer = self.shard.handle_offer(self.now, &offer).expect("answered");
        let value = |name: &str| {
            let line = answer.sdp.lines().find_map(|line| line.strip_prefix(name));
            line.expect("the answer has it").to_owned()
        };
        Credentials {
            username: format!("{}:them", value("a=ice-ufrag:")),
            password: value("a=ice-pwd:"),
        }
    }

    fn enter(&mut self, id: u64) {
        let join = Join {
            room: RoomId::parse("r_1").expect("an id"),
            participant: ParticipantId(id),
            rights: Rights {
                subscribe: true,
                ..Rights::default()
            },
            video_codecs: None,
        };
        self.shard.handle_join(self.now, &join).expect("joined");
    }

    /// Somebody joins and publishes a voice.
    pub(super) fn publish(&mut self, id: u64, room: &str) {
        let join = Join {
            room: RoomId::parse(room).expect("an id"),
            participant: ParticipantId(id),
            rights: Rights {
                microphone: true,
                ..Rights::default()
            },
            video_codecs: None,
        };
        self.shard.handle_join(self.now, &join).expect("joined");
        let offer = Offer {
            participant: ParticipantId(id),
            sdp: OFFER.replace("recvonly", "sendonly"),
            tracks: vec![crate::control::Track {
                mid: crate::unit::Mid::parse(b"0").expect("a mid"),
                source: crate::control::Source::Microphone,
                is_muted: false,
            }],
        };
        self.shard.handle_offer(self.now, &offer).expect("answered");
    }

    /// A new check with these credentials.
    fn request(&mut self, as_whom: &Credentials, password: &str) -> Vec<u8> {
        self.checks += 1;
        let mut transaction = [0; 12];
        transaction[..8].copy_from_slice(&self.checks.to_be_bytes());
        let request = BindingRequest {
            transaction: TransactionId(transaction),
            username: &as_whom.username,
            priority: 1,
            role: Role::Controlling(7),
            use_candidate: true,
        };
        let mut bytes = Vec::new();
        write_request(&mut bytes, &request, &IntegrityKey::new(password));
        bytes
    }

    /// It comes from this port.
    fn check(&mut self, as_whom: &Credentials, password: &str, port: u16) {
        let bytes = self.request(as_whom, password);
        self.take(port, &bytes);
    }

    fn take(&mut self, port: u16, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        self.shard.handle_datagram(self.now, path(port), &mut bytes);
    }

    /// What a turn does after datagrams were taken.
    fn turn(&mut self) {
        self.shard.forward(self.now);
        self.shard.handle_timeout(self.now);
    }

    /// Time passes, in steps, until then.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.shard.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.turn();
        }
        self.now = until;
        self.turn();
    }

    /// Who is gone since this was asked last.
    fn gone(&mut self) -> Vec<(ParticipantId, GoneReason)> {
        let events = std::iter::from_fn(|| self.shard.poll_event());
        let gone = events.filter_map(|event| match event {
            Event::Gone {
                participant,
                reason,
                ..
            } => Some((participant, reason)),
            Event::Published { .. }
            | Event::Unpublished { .. }
            | Event::Slots { .. }
            | Event::Speakers { .. }
            | Event::Quality { .. }
            | Event::Connectivity { .. } => None,
        });
        gone.collect()
    }

    /// Nobody and nothing is left.
    fn is_empty(&self) -> bool {
        let census = self.shard.census();
        census.peers + census.rooms + census.paths + census.ufrags + census.names == 0
    }

    /// Notes for another shard; they are taken.
    fn announced(&mut self) -> usize {
        let mut count = 0;
        for parcel in self.shard.outgoing() {
            parcel.open(|letter, _| count += usize::from(matches!(letter, Letter::Owns(..))));
        }
        count
    }
}

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:them\r\n\
    a=ice-pwd:pppppppppppppppppppppppp\r\na=fingerprint:sha-256 \
    01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20\r\n\
    a=setup:actpass\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n";

fn path(port: u16) -> Path {
    Path {
        remote: ([127, 0, 0, 1], port).into(),
        local: LocalIndex(0).into(),
    }
}

#[test]
fn a_peer_that_checks_from_everywhere_in_one_turn_has_no_more_paths_than_it_may() {
    let mut stand = Stand::new(1);
    let mallory = stand.join(1);
    let witness = stand.join(2);
    stand.check(&witness, &witness.password.clone(), 1);
    for port in 2..5_000 {
        stand.check(&mallory, &mallory.password.clone(), port);
    }
    stand.turn();
    assert!(
        stand.shard.by_path.len() <= MAX_REMOTES + 1,
        "{}",
        stand.shard.by_path.len()
    );
    // The last one that was nominated is theirs, and the other peer's is still its own.
    let owner = |port| stand.shard.by_path.get(&path(port)).copied();
    assert!(owner(4_999).is_some() && owner(1).is_some() && owner(1) != owner(4_999));
}

#[test]
fn forged_checks_teach_no_path_and_cost_no_memory() {
    let mut stand = Stand::new(1);
    let victim = stand.join(1);
    let timers = stand.shard.timers.len();
    for turn in 0..1_000 {
        for port in 0..20 {
            stand.check(&victim, "wrong", 1_000 + 20 * turn + port);
        }
        stand.turn();
        stand.now += Duration::from_micros(100);
    }
    assert_eq!(stand.shard.by_path.len(), 0);
    assert_eq!(stand.shard.counts.refused, 20_000);
    assert!(
        stand.shard.timers.len() <= timers + 1,
        "{}",
        stand.shard.timers.len()
    );
}

#[test]
fn a_path_that_another_shard_hands_over_is_announced_again() {
    let mut stand = Stand::new(2);
    let peer = stand.join(1);
    stand.check(&peer, &peer.password.clone(), 7);
    assert_eq!(stand.announced(), 1);
    stand.check(&peer, &peer.password.clone(), 7);
    assert_eq!(stand.announced(), 0, "it came to its owner");
    // The first note may have been lost to a full mailbox; then all but checks would be refused for ever.
    let bytes = stand.request(&peer, &peer.password.clone());
    let mut parcel = Parcel::default();
    parcel.put(Letter::Datagram(path(7), bytes.len()), &bytes);
    stand.shard.handle_parcel(stand.now, &mut parcel);
    assert_eq!(stand.announced(), 1);
}

#[test]
fn who_is_gone_after_waiting_in_vain_is_counted_as_never_connected_and_nobody_else() {
    let mut stand = Stand::new(1);
    // Changed their mind.
    stand.join(1);
    stand.wait(Duration::from_secs(1));
    stand.shard.handle_leave(stand.now, ParticipantId(1));
    // Never offered: their fault, not the network's.
    stand.enter(2);
    stand.wait(CONNECT + Duration::from_secs(1));
    assert_eq!(stand.shard.counts.never_connected, 0);
    // The web app leaves by itself.
    stand.join(3);
    stand.wait(Duration::from_secs(15));
    stand.shard.handle_leave(stand.now, ParticipantId(3));
    assert_eq!(stand.shard.counts.never_connected, 1);
    // Others are given up.
    stand.join(4);
    stand.wait(CONNECT + EXPIRED_AFTER);
    assert_eq!(stand.shard.counts.never_connected, 2);
    assert!(stand.is_empty());
}

#[test]
fn who_never_checks_is_given_up() {
    let mut stand = Stand::new(1);
    stand.join(1);
    stand.wait(EXPIRED_AFTER + Duration::from_secs(1));
    let gone = stand.gone();
    let is_so = matches!(
        gone[..],
        [(
            ParticipantId(1),
            GoneReason::NeverConnected | GoneReason::HandshakeFailed
        )]
    );
    assert!(is_so, "{gone:?}");
    assert!(stand.is_empty());
}

#[test]
fn a_handshake_that_is_begun_and_never_finished_is_given_up_however_alive_its_peer_is() {
    let mut stand = Stand::new(1);
    let peer = stand.join(1);
    stand.check(&peer, &peer.password.clone(), 7);
    let identity = Identity::generate().expect("an identity");
    let profiles = [Profile::AeadAes128Gcm];
    let mut client = RtcDtls::client(&identity, vec![], &profiles, stand.now).expect("a handshake");
    let hello = client.poll_transmit().expect("a ClientHello");
    for _ in 0..60 {
        stand.take(7, &hello);
        stand.check(&peer, &peer.password.clone(), 7);
        stand.wait(Duration::from_secs(1));
    }
    assert_eq!(
        stand.gone(),
        [(ParticipantId(1), GoneReason::HandshakeFailed)]
    );
    assert!(stand.is_empty());
    assert!(CONNECT < Duration::from_secs(60));
}

#[test]
fn who_joins_and_never_offers_is_given_up() {
    let mut stand = Stand::new(1);
    stand.enter(1);
    stand.wait(CONNECT + Duration::from_secs(1));
    assert_eq!(
        stand.gone(),
        [(ParticipantId(1), GoneReason::NeverConnected)]
    );
    assert!(stand.is_empty());
}

/// An offer of so many slots for sound, all but the first named after the round, or stopped.
fn offer_of(lines: usize, round: usize, is_stopped: bool) -> String {
    let mid = |at: usize| {
        if at == 0 {
            "0".to_owned()
        } else {
            format!("{round}x{at}")
        }
    };
    let live = |at: usize| at == 0 || !is_stopped;
    let group: Vec<_> = (0..lines).filter(|at| live(*at)).map(mid).collect();
    let mut sdp = format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\n\
         a=ice-ufrag:them\r\na=ice-pwd:pppppppppppppppppppppppp\r\na=fingerprint:sha-256 \
         01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F:20\r\n\
         a=setup:actpass\r\n",
        group.join(" ")
    );
    for at in 0..lines {
        let port = if live(at) { 9 } else { 0 };
        sdp += &format!(
            "m=audio {port} UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\n\
             a=recvonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n",
            mid(at)
        );
    }
    sdp
}

#[test]
fn slots_that_are_stopped_for_good_leave_nothing_behind() {
    let mut stand = Stand::new(1);
    stand.enter(1);
    for round in 0..100 {
        for is_stopped in [false, true] {
            let offer = Offer {
                participant: ParticipantId(1),
                sdp: offer_of(64, round, is_stopped),
                tracks: vec![],
            };
            stand
                .shard
                .handle_offer(stand.now, &offer)
                .expect("answered");
        }
    }
    let key = stand.shard.by_participant[&ParticipantId(1)];
    let peer = stand.shard.peers.get(key).expect("it is there");
    let bytes = size_of::<crate::peer::slot::SendSlot>();
    assert!(
        peer.retired.len() <= 64,
        "{} of {bytes} bytes",
        peer.retired.len()
    );
}

/// Two shards, whose letters are carried.
#[test]
fn a_check_with_a_forged_source_takes_no_path_from_a_peer_of_another_shard() {
    let mut victims = Stand::new(2);
    let mut others = Stand::with_index(2, 1);
    let victim = victims.join(1);
    let mallory = others.join(2);
    victims.check(&victim, &victim.password.clone(), 7);
    carry(&mut victims, &mut others);
    // The victim's datagrams come to the other shard's socket, which knows whose they are.
    assert_eq!(others.shard.neighbours.owner(path(7)), Some(0));
    others.check(&mallory, &mallory.password.clone(), 7);
    carry(&mut others, &mut victims);
    // What the victim sends from there now:
    for _ in 0..3 {
        let check = victims.request(&victim, &victim.password.clone());
        others.take(7, &check);
        carry(&mut others, &mut victims);
        carry(&mut victims, &mut others);
    }
    let handed = others.shard.neighbours.handed;
    others.take(7, &[0x80; 60]);
    assert_eq!(
        others.shard.neighbours.handed,
        handed + 1,
        "media is not handed over"
    );
}

fn carry(from: &mut Stand, to: &mut Stand) {
    let index = to.shard.setup.index;
    let mut parcel = std::mem::take(&mut from.shard.outgoing()[index]);
    to.shard.handle_parcel(to.now, &mut parcel);
}

#[test]
fn after_a_panic_other_rooms_tracks_are_forwarded_still() {
    let mut stand = Stand::new(1);
    stand.publish(1, "r_1");
    stand.publish(2, "r_2");
    let tracks = stand.shard.tracks.keys();
    for key in &tracks {
        let fresh = crate::track::Fresh {
            layer: 0,
            seq: crate::unit::ExtSeqNo(1),
        };
        stand
            .shard
            .tracks
            .get_mut(*key)
            .expect("it is there")
            .fresh
            .push(fresh);
        stand.shard.touched.push(*key);
    }
    // What `forward` leaves behind when the first room's track panics.
    drop(std::mem::take(&mut stand.shard.touched));
    let first = stand.shard.by_participant[&ParticipantId(1)];
    stand.shard.focus = stand.shard.peers.get(first).map(|peer| peer.room);
    stand.shard.handle_panic(stand.now);
    assert_eq!(
        stand.shard.touched,
        tracks[1..],
        "or nothing of it is ever noted again"
    );
    stand.turn();
    assert!(stand.shard.touched.is_empty());
}

#[test]
fn what_is_held_when_a_panic_comes_does_not_wait_for_another_packet() {
    let mut stand = Stand::new(1);
    stand.publish(1, "r_1");
    stand.turn();
    let key = stand.shard.tracks.keys()[0];
    let fresh = crate::track::Fresh {
        layer: 0,
        seq: crate::unit::ExtSeqNo(1),
    };
    stand.shard.show(stand.now, key, std::iter::once(fresh));
    // What `forward` leaves behind when another room's track panics.
    drop(std::mem::take(&mut stand.shard.touched));
    stand.shard.focus = Some(stand.shard.rooms.insert(super::RoomState::new(
        RoomId::parse("r_2").expect("an id"),
        3,
    )));
    stand.shard.handle_panic(stand.now);
    assert_eq!(stand.shard.touched, [key]);
    assert_eq!(stand.shard.poll_timeout(), Some(stand.now));
}

/// The path's note finds no room in a full parcel, and the count of such is at its end: a panic in the middle
/// of a removal, where nothing leads to the participant any more.
#[test]
fn who_is_half_removed_when_a_panic_comes_is_told_of_once_and_leaves_nothing_behind() {
    for is_reset in [false, true] {
        let mut stand = Stand::new(2);
        let credentials = stand.join(1);
        stand.check(&credentials, &credentials.password.clone(), 7);
        for _ in 0..10_000 {
            stand.shard.neighbours.announce(path(8), true);
        }
        stand.shard.neighbours.dropped = u64::MAX;
        let shard = &mut stand.shard;
        let leaves = AssertUnwindSafe(|| shard.handle_leave(stand.now, ParticipantId(1)));
        assert!(catch_unwind(leaves).is_err());
        assert!(stand.shard.by_participant.is_empty(), "half removed");
        assert_eq!(stand.gone(), []);
        stand.shard.neighbours.dropped = 0;
        if is_reset {
            stand.shard.reset();
        } else {
            stand.shard.handle_panic(stand.now);
        }
        assert_eq!(stand.gone(), [(ParticipantId(1), GoneReason::Left)]);
        assert!(stand.is_empty());
        stand.enter(2);
        stand.shard.handle_leave(stand.now, ParticipantId(2));
        assert_eq!(stand.gone(), [(ParticipantId(2), GoneReason::Left)]);
    }
}

/// The panic comes before anything of theirs was removed.
#[test]
fn who_is_still_there_when_their_removal_panics_is_told_of_once() {
    let mut stand = Stand::new(1);
    stand.join(1);
    let room = stand.shard.rooms.keys()[0];
    stand.shard.leaving = Some(super::Leaving {
        room: RoomId::parse("r_1").expect("an id"),
        participant: ParticipantId(1),
        reason: GoneReason::Left,
        trace: None,
        media: None,
    });
    stand.shard.focus = Some(room);
    stand.shard.handle_panic(stand.now);
    assert_eq!(stand.gone(), [(ParticipantId(1), GoneReason::Fault)]);
    assert!(stand.is_empty());
}

#[test]
fn what_waits_for_the_end_of_a_step_is_never_early_and_never_late_by_more_than_a_step() {
    let stand = Stand::new(1);
    let start = stand.now;
    let second = Duration::from_secs(1);
    // A process may run for years.
    for base in [Duration::ZERO, 86_400 * 365 * 5 * second] {
        for us in [0, 1, 19_999, 20_000, 20_001, 20_500, 39_999] {
            let due = start + base + Duration::from_micros(us);
            let coarse = stand.shard.coarse(due);
            let step = Duration::from_nanos(super::GRID_NS);
            assert!(coarse >= due && coarse < due + step, "{base:?} {us}");
            assert_eq!((coarse - start).as_nanos() % step.as_nanos(), 0);
        }
    }
}

#[test]
fn nobody_is_sent_anything_to_port_0() {
    let mut stand = Stand::new(1);
    let mallory = stand.join(1);
    stand.check(&mallory, &mallory.password.clone(), 0);
    assert_eq!(stand.shard.by_path.len(), 0);
    assert_eq!(stand.shard.counts.refused, 1);
}

#[test]
fn a_reset_is_told_and_leaves_nothing_behind() {
    let mut stand = Stand::new(2);
    for id in [1, 2] {
        let credentials = stand.join(id);
        let port = u16::try_from(id).expect("small");
        stand.check(&credentials, &credentials.password.clone(), port);
    }
    stand.announced();
    stand.shard.reset();
    let fault = |id| (ParticipantId(id), GoneReason::Fault);
    assert_eq!(stand.gone(), [fault(1), fault(2)]);
    assert!(stand.is_empty());
    let mut disowned = 0;
    stand.shard.outgoing()[1].open(|letter, _| {
        disowned += usize::from(matches!(letter, Letter::Disowns(..)));
    });
    assert_eq!(disowned, 2, "both paths are nobody's");
    stand.turn();
    stand.join(3);
    assert_eq!(stand.shard.census().peers, 1);
}

#[test]
fn a_publication_of_which_nothing_comes_any_more_holds_no_packets() {
    let mut stand = Stand::new(1);
    stand.publish(1, "r_1");
    let owner = stand.shard.by_participant[&ParticipantId(1)];
    let key = stand.shard.tracks.keys()[0];
    let arrival = crate::core::receive::Arrival {
        pt: crate::unit::PayloadType(96),
        seq: crate::unit::SeqNo(1),
        time: crate::unit::RtpTime(1),
        marker: true,
        format: crate::core::ring::Format::Primary,
        starts_frame: true,
        keyframe: None,
        coding: crate::core::ring::Coding::Plain,
        level: None,
        wire_bytes: 60,
    };
    let track = stand.shard.tracks.get_mut(key).expect("it is there");
    let stream = &mut track.layers[0].stream;
    stream
        .handle_packet(stand.now, &arrival, b"x")
        .expect("taken");
    for (after_s, holds) in [(9, true), (10, false)] {
        let now = stand.now + Duration::from_secs(after_s);
        stand.shard.report(now, owner);
        let track = stand.shard.tracks.get(key).expect("it is there");
        assert_eq!(track.layers[0].stream.footprint() > 0, holds, "{after_s} s");
    }
}

#[test]
fn where_many_see_a_picture_its_beginning_waits_a_moment_for_the_rest() {
    let mut stand = Stand::new(1);
    stand.publish(1, "r_1");
    let owner = stand.shard.by_participant[&ParticipantId(1)];
    let key = stand.shard.tracks.keys()[0];
    let now = stand.now;
    let packet = |shard: &mut Shard<_>, number: u16, subscribers: usize, marker: bool| {
        let arrival = crate::core::receive::Arrival {
            pt: crate::unit::PayloadType(96),
            seq: crate::unit::SeqNo(number),
            time: crate::unit::RtpTime(1),
            marker,
            format: crate::core::ring::Format::Primary,
            starts_frame: true,
            keyframe: None,
            coding: crate::core::ring::Coding::Plain,
            level: None,
            wire_bytes: 60,
        };
        let track = shard.tracks.get_mut(key).expect("it is there");
        track.source = crate::control::Source::Camera;
        track.subscribers.clear();
        for slot in 0..subscribers {
            let subscriber = crate::track::Subscriber { peer: owner, slot };
            track.subscribers.push(subscriber);
        }
        let stream = &mut track.layers[0].stream;
        let seq = stream.handle_packet(now, &arrival, b"x").expect("taken");
        let fresh = crate::track::Fresh { layer: 0, seq };
        shard.show(now, key, std::iter::once(fresh));
        shard.forward(now);
        shard.touched.len()
    };
    let many = crate::track::MANY;
    let shard = &mut stand.shard;
    assert_eq!(packet(shard, 1, many - 1, false), 0, "few have it at once");
    assert_eq!(packet(shard, 2, many, false), 1, "held");
    assert_eq!(packet(shard, 3, many, true), 0, "that was the rest");
    assert_eq!(packet(shard, 4, many, false), 1, "held");
    assert_eq!(shard.held_until, Some(now + crate::track::HELD));
    shard.forward(now + crate::track::HELD);
    assert_eq!((shard.touched.len(), shard.held_until), (0, None));
}
