//! The engine's rules in a world of their own: clients, paths, a clock, and a model of what they were told.

use crate::client::{Came, Client};
use crate::media::Source_;
use crate::network::Weather;
use crate::random::Random;
use crate::sdp::Use;
use crate::tap::{Tap, Tapped, What};
use crate::wire::Wire;
use kaiwa_common::id::RoomId;
use kaiwa_sfu::control::{
    Connectivity, Event, GoneReason, Join, ParticipantId, Publication, PublicationId, Rights, Slot,
    Source,
};
use kaiwa_sfu::core::allocate::LOWEST_OVERSHOOT_PERCENT;
use kaiwa_sfu::core::negotiate::VideoCodecs;
use kaiwa_sfu::dtls::Identity;
use kaiwa_sfu::net::socket::LocalIndex;
use kaiwa_sfu::shard::{Census, Path, SEED_BYTES, Setup, Shard};
use kaiwa_sfu::unit::{Bitrate, MediaKind, NtpTime, Ssrc};
use kaiwa_sfu::wire::demux::Kind;
use kaiwa_sfu::wire::rtcp::{Packet, Packets};
use kaiwa_sfu::wire::sdp::Candidate;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static IDENTITY: LazyLock<Arc<Identity>> =
    LazyLock::new(|| Arc::new(Identity::generate().unwrap()));

pub(crate) const ALL: Rights = Rights {
    microphone: true,
    camera: true,
    screen: true,
    subscribe: true,
};

/// How finely the world's clock goes.
const STEP_US: u64 = 250;

/// Between two looks of a client at what is due.
const TICK_US: u64 = 5_000;

/// Between two key frame requests for one layer, less the clock's steps.
const PLI_SPACING_US: u64 = 300_000 - STEP_US;

/// So long an estimate may have been what an allocation rests on.
const ESTIMATE_US: u64 = 400_000;

/// A DTLS datagram on the virtual network: signatures differ in length from run to run.
const DTLS_BYTES: u64 = 600;

const SERVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    5_000,
);

enum Delivered {
    Raw(Vec<u8>),
    Media(Came),
    Reports(Vec<u8>),
}

enum Happening {
    ToServer(SocketAddr, Vec<u8>),
    ToClient(SocketAddr, ParticipantId, Delivered),
    Tick(ParticipantId),
    Whim,
}

/// Who is or was there, with what the world knows of them.
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) tap: Tap,
    pub(crate) slots: Vec<Slot>,
    /// When they were told last.
    pub(crate) slots_ms: u64,
    /// Before what was told in this step.
    slots_before: Vec<Slot>,
    pub(crate) connectivity: Option<Connectivity>,
    pub(crate) gone: Option<GoneReason>,
    pub(crate) asked_to_leave: bool,
    asked_for_keys: BTreeMap<Ssrc, u64>,
    estimates: VecDeque<(u64, u64)>,
    /// The last datagrams that they sent.
    pub(crate) overheard: VecDeque<Vec<u8>>,
}

/// How the engine is set up.
pub(crate) struct Given {
    pub(crate) is_paced: bool,
    pub(crate) assumed: Bitrate,
    pub(crate) inspect_s: u8,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            is_paced: true,
            assumed: Bitrate::kbps(2_000),
            inspect_s: 60,
        }
    }
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) shard: Shard<Wire>,
    base: Instant,
    pub(crate) us: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    happened: u64,
    pub(crate) room: RoomId,
    pub(crate) people: BTreeMap<ParticipantId, Person>,
    pub(crate) publications: BTreeMap<PublicationId, Publication>,
    pub(crate) next_person: u64,
    pub(crate) next_tag: u8,
    pub(crate) weather: fn(&mut Random) -> Weather,
    pub(crate) is_quiet: bool,
    /// How long datagrams wait in the server's sockets.
    pub(crate) waited: Duration,
    pub(crate) whim: fn(&mut World),
    is_traced: bool,
}

impl World {
    pub(crate) fn new(seed: u64, audio_slots: u8, weather: fn(&mut Random) -> Weather) -> Self {
        Self::with(seed, audio_slots, weather, Given::default())
    }

    pub(crate) fn with(
        seed: u64,
        audio_slots: u8,
        weather: fn(&mut Random) -> Weather,
        given: Given,
    ) -> Self {
        let base = Instant::now();
        let mut entropy = [0; SEED_BYTES];
        entropy[..8].copy_from_slice(&seed.to_be_bytes());
        let setup = Setup {
            index: 0,
            shards: 1,
            audio_slots,
            is_paced: given.is_paced,
            inspect_s: given.inspect_s,
            assumed: given.assumed,
            video_codecs: VideoCodecs::default(),
            identity: Arc::clone(&IDENTITY),
            candidates: vec![Candidate::host(SERVER, 1)],
            started: base,
            probe: None,
            started_ntp: NtpTime(1 << 60),
            seed: entropy,
        };
        Self {
            random: Random::new(seed),
            shard: Shard::new(setup, Wire::default()),
            base,
            us: 0,
            queue: BTreeMap::new(),
            happened: 0,
            room: RoomId::parse("r_1").unwrap(),
            people: BTreeMap::new(),
            publications: BTreeMap::new(),
            next_person: 1,
            next_tag: 1,
            weather,
            is_quiet: false,
            waited: Duration::ZERO,
            whim: |_| {},
            is_traced: std::env::var_os("KAIWA_TRACE").is_some(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.base + Duration::from_micros(self.us)
    }

    pub(crate) fn ms(&self) -> u64 {
        self.us / 1_000
    }

    fn push(&mut self, us: u64, happening: Happening) {
        self.happened += 1;
        self.queue.insert((us, self.happened), happening);
    }

    pub(crate) fn push_whim(&mut self, after_ms: u64) {
        self.push(self.us + after_ms * 1_000, Happening::Whim);
    }

    /// Lets time pass.
    pub(crate) fn run_until(&mut self, until_ms: u64) {
        let until = until_ms * 1_000;
        loop {
            let due = self.shard.poll_timeout();
            let due = due.map(|due| {
                let due = due
                    .saturating_duration_since(self.base)
                    .as_nanos()
                    .div_ceil(1_000);
                u64::try_from(due).unwrap()
            });
            let next = self.queue.keys().next().map(|(us, _)| *us);
            let next = [due, next].into_iter().flatten().min().unwrap_or(until);
            let next = next.div_ceil(STEP_US) * STEP_US;
            if next > until {
                self.us = self.us.max(until);
                return;
            }
            self.us = self.us.max(next);
            self.step();
        }
    }

    /// One turn, as a thread's.
    fn step(&mut self) {
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= self.us
        {
            let happening = entry.remove();
            self.handle(happening);
        }
        let now = self.now();
        self.shard.forward(now);
        self.settle();
        if self.shard.poll_timeout().is_some_and(|due| due <= now) {
            self.shard.handle_timeout(now);
            self.settle();
            let again = self.shard.poll_timeout();
            assert!(
                again.is_none_or(|again| again > now),
                "what is due was done"
            );
        }
    }

    fn handle(&mut self, happening: Happening) {
        match happening {
            Happening::ToServer(from, mut bytes) => {
                self.give(from, &mut bytes);
            }
            Happening::ToClient(to, id, delivered) => self.deliver(to, id, delivered),
            Happening::Tick(id) => self.tick(id),
            Happening::Whim => (self.whim)(self),
        }
    }

    /// A datagram that the server gets.
    pub(crate) fn give(&mut self, from: SocketAddr, bytes: &mut [u8]) {
        let path = Path {
            remote: from,
            local: LocalIndex(0).into(),
        };
        let now = self.now();
        let times = (now, now.checked_sub(self.waited).unwrap_or(now));
        self.shard.handle_waited(times, path, bytes);
        self.settle();
    }

    fn deliver(&mut self, to: SocketAddr, id: ParticipantId, delivered: Delivered) {
        let (now, us) = (self.now(), self.us);
        let Some(person) = self.people.get_mut(&id) else {
            return;
        };
        let client = &mut person.client;
        if client.address != to || client.is_silent(us / 1_000) {
            return;
        }
        match delivered {
            Delivered::Raw(bytes) => {
                if Kind::of(&bytes) == Some(Kind::Dtls) {
                    client.take_dtls(now, us / 1_000, &bytes);
                }
            }
            Delivered::Media(came) => client.take_media(us, &came),
            Delivered::Reports(plain) => client.take_rtcp(us / 1_000, &plain),
        }
        self.send_up(id);
    }

    fn tick(&mut self, id: ParticipantId) {
        let (now, us) = (self.now(), self.us);
        self.check_flow(id);
        let Some(person) = self.people.get_mut(&id) else {
            return;
        };
        if person.gone.is_some() {
            return;
        }
        if !person.client.is_silent(us / 1_000) {
            person.client.tick(now, us / 1_000, &mut self.random);
            self.send_up(id);
        }
        self.push(us + TICK_US, Happening::Tick(id));
    }

    fn send_up(&mut self, id: ParticipantId) {
        let Some(person) = self.people.get_mut(&id) else {
            return;
        };
        let out = std::mem::take(&mut person.client.out);
        for bytes in out {
            let Some(person) = self.people.get_mut(&id) else {
                return;
            };
            let len = wire_bytes(&bytes);
            person.overheard.push_back(bytes.clone());
            if person.overheard.len() > 20 {
                person.overheard.pop_front();
            }
            let from = person.client.address;
            for us in person.client.up.pass(&mut self.random, self.us, len) {
                self.push(us, Happening::ToServer(from, bytes.clone()));
            }
        }
    }

    /// Takes what the shard says and sends.
    pub(crate) fn settle(&mut self) {
        while let Some(event) = self.shard.poll_event() {
            self.trace(format_args!("{event:?}"));
            self.hear(event);
        }
        while let Some((to, bytes)) = self.shard.sink_mut().out.pop_front() {
            self.take_out(to, bytes);
        }
        for person in self.people.values_mut() {
            person.slots_before.clone_from(&person.slots);
        }
    }

    fn take_out(&mut self, to: SocketAddr, mut bytes: Vec<u8>) {
        let us = self.us;
        let is_theirs = |person: &&mut Person| person.client.address.ip() == to.ip();
        let person = self
            .people
            .values_mut()
            .find(is_theirs)
            .expect("a known address");
        let (id, len) = (person.client.id, wire_bytes(&bytes));
        let delivered = match (Kind::of(&bytes), &mut person.client.opener) {
            (Some(Kind::Rtp), Some(opener)) => {
                let tapped = person.tap.take(us, opener, &mut bytes);
                self.check_media(id, &tapped);
                Delivered::Media(tapped.came)
            }
            (Some(Kind::Rtcp), Some(opener)) => {
                let len = opener.open_rtcp(&mut bytes).expect("authentic reports");
                bytes.truncate(len);
                self.check_reports(id, &bytes);
                Delivered::Reports(bytes)
            }
            // Before they have keys it is lost on them.
            (Some(Kind::Rtp | Kind::Rtcp), None) => {
                person.tap.unseen += 1;
                return;
            }
            (Some(Kind::Dtls | Kind::Stun), _) => Delivered::Raw(bytes),
            (None, _) => panic!("the server sends what is nothing"),
        };
        let person = self.people.get_mut(&id).unwrap();
        let arrivals = person.client.down.pass(&mut self.random, us, len);
        let copies = arrivals.into_iter().take(1);
        for at in copies {
            let delivered = match &delivered {
                Delivered::Raw(bytes) => Delivered::Raw(bytes.clone()),
                Delivered::Media(came) => Delivered::Media(came.clone()),
                Delivered::Reports(plain) => Delivered::Reports(plain.clone()),
            };
            self.push(at, Happening::ToClient(to, id, delivered));
        }
    }

    /// Media is what the slot carries, of somebody whom it is taken from rightly.
    fn check_media(&mut self, id: ParticipantId, tapped: &Tapped) {
        let (Some(tag), false) = (tapped.what.tag(), tapped.is_repair) else {
            return;
        };
        let person = &self.people[&id];
        assert!(person.gone.is_none(), "media to {id}, who is gone");
        assert!(
            person.client.rights.subscribe,
            "media to {id}, who may not have it"
        );
        let publication = self.publication_of(tag);
        let publication = publication.unwrap_or_else(|| panic!("media of {tag}, which ended"));
        assert_ne!(publication.participant, id, "their own media");
        assert!(
            !publication.is_muted,
            "media of {}, which is muted, at {}",
            publication.id, self.us
        );
        let carries = |slots: &[Slot]| {
            let slot = slots.iter().find(|slot| slot.mid == tapped.mid);
            slot.and_then(|slot| slot.publication) == Some(publication.id)
        };
        assert!(
            carries(&person.slots) || carries(&person.slots_before),
            "{} on {} of {id}: {:?}",
            publication.id,
            tapped.mid,
            person.slots
        );
        if let What::Picture(..) = tapped.what {
            assert_eq!(publication.source.kind(), MediaKind::Video);
        }
    }

    pub(crate) fn publication_of(&self, tag: u8) -> Option<&Publication> {
        let mut sources = self
            .people
            .values()
            .flat_map(|person| &person.client.sources);
        let id = sources.find(|source| source.tag == tag)?.publication?;
        self.publications.get(&id)
    }

    /// Key frames are asked for, of each layer, not too often.
    fn check_reports(&mut self, id: ParticipantId, plain: &[u8]) {
        let us = self.us;
        let person = self.people.get_mut(&id).unwrap();
        for packet in Packets::new(plain) {
            if let Packet::Pli(pli) = packet.expect("whole") {
                let before = person.asked_for_keys.insert(pli.media, us);
                let is_spaced = before.is_none_or(|before| us >= before + PLI_SPACING_US);
                assert!(
                    is_spaced,
                    "a PLI for {:?} at {before:?} and {us}",
                    pli.media
                );
            }
        }
    }

    /// What is divided is not more than there is, but for the stated overshoot; sound comes in any case.
    fn check_flow(&mut self, id: ParticipantId) {
        let us = self.us;
        let (Some(flow), Some(person)) = (self.shard.flow(id), self.people.get_mut(&id)) else {
            return;
        };
        person.estimates.push_back((us, flow.estimate.0));
        while person
            .estimates
            .front()
            .is_some_and(|(at, _)| at + ESTIMATE_US < us)
        {
            person.estimates.pop_front();
        }
        let estimate = person
            .estimates
            .iter()
            .map(|(_, bps)| *bps)
            .max()
            .unwrap_or(0);
        // Of what was never measured the lowest step of one picture is sent whatever it takes.
        if !person.client.is_fed_back || person.client.is_mute {
            return;
        }
        let voices = person.client.slots(MediaKind::Audio) as u64 * 130_000;
        let bound = (estimate * (100 + LOWEST_OVERSHOOT_PERCENT) / 100).max(voices);
        assert!(
            flow.allocated.0 <= bound,
            "{id}: {} of {estimate}",
            flow.allocated.0
        );
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Published { publication, .. } => {
                self.publications.insert(publication.id, publication);
            }
            Event::Unpublished { publication, .. } => {
                let was = self.publications.remove(&publication);
                assert!(was.is_some(), "{publication} ended twice");
                for person in self.people.values_mut() {
                    for source in &mut person.client.sources {
                        if source.publication == Some(publication) {
                            source.publication = None;
                        }
                    }
                }
            }
            Event::Slots {
                participant, slots, ..
            } => {
                if let Some(person) = self.people.get_mut(&participant) {
                    person.slots = slots;
                    person.slots_ms = self.us / 1_000;
                }
            }
            Event::Connectivity {
                participant,
                connectivity,
                ..
            } => {
                let person = self.people.get_mut(&participant).unwrap();
                assert_ne!(person.connectivity, Some(connectivity), "told twice");
                person.connectivity = Some(connectivity);
                person.client.is_awaited = true;
            }
            Event::Gone {
                participant,
                reason,
                ..
            } => {
                let person = self.people.get_mut(&participant).unwrap();
                assert!(person.gone.is_none(), "gone twice");
                let is_expected = match reason {
                    GoneReason::Left => person.asked_to_leave,
                    GoneReason::TimedOut => person.client.silent_until_ms > self.us / 1_000,
                    GoneReason::NeverConnected => person.client.connected_ms.is_none(),
                    GoneReason::HandshakeFailed | GoneReason::Fault => false,
                };
                assert!(is_expected, "{participant} is gone: {reason:?}");
                person.gone = Some(reason);
                let left = self.publications.values();
                assert!(!left.into_iter().any(|p| p.participant == participant));
            }
            Event::Speakers { speakers, .. } => {
                for speaker in speakers {
                    assert!(self.people.contains_key(&speaker.participant));
                }
            }
            Event::Quality { .. } => {}
        }
    }

    /// Says what happens, if that is wanted.
    pub(crate) fn trace(&self, what: std::fmt::Arguments<'_>) {
        if self.is_traced {
            eprintln!(
                "{:>9.3} {what}",
                Duration::from_micros(self.us).as_secs_f64()
            );
        }
    }

    /// Somebody enters and offers.
    pub(crate) fn enter(&mut self, rights: Rights, lines: Vec<Use>) -> ParticipantId {
        self.enter_as(rights, lines, |_| {})
    }

    /// The same, of a client that was changed by that.
    pub(crate) fn enter_as(
        &mut self,
        rights: Rights,
        lines: Vec<Use>,
        change: impl FnOnce(&mut Client),
    ) -> ParticipantId {
        let weather = (self.weather)(&mut self.random);
        let id = self.next_person;
        self.next_person += 1;
        let mut client = Client::new(id, rights, weather, &mut self.random);
        client.lines = lines;
        change(&mut client);
        let id = client.id;
        let person = Person {
            client,
            tap: Tap::default(),
            slots: Vec::new(),
            slots_ms: 0,
            slots_before: Vec::new(),
            connectivity: None,
            gone: None,
            asked_to_leave: false,
            asked_for_keys: BTreeMap::new(),
            estimates: VecDeque::new(),
            overheard: VecDeque::new(),
        };
        self.people.insert(id, person);
        self.join(id, rights);
        self.offer(id);
        self.push(self.us + 1_000, Happening::Tick(id));
        id
    }

    pub(crate) fn join(&mut self, id: ParticipantId, rights: Rights) {
        self.people.get_mut(&id).unwrap().client.rights = rights;
        let join = Join {
            room: self.room.clone(),
            participant: id,
            rights,
            video_codecs: None,
        };
        let now = self.now();
        self.shard.handle_join(now, &join).expect("there is room");
        self.settle();
    }

    /// Somebody who is there has other rights from now on.
    pub(crate) fn set_rights(&mut self, id: ParticipantId, rights: Rights) {
        self.people.get_mut(&id).unwrap().client.rights = rights;
        let now = self.now();
        self.shard.handle_rights(now, id, rights).expect("present");
        self.settle();
    }

    /// Offers what the client's lines are.
    pub(crate) fn offer(&mut self, id: ParticipantId) {
        let (now, ms) = (self.now(), self.ms());
        let client = &mut self.people.get_mut(&id).unwrap().client;
        let offer = client.offer();
        let answer = self.shard.handle_offer(now, &offer).expect("an answer");
        client.take_answer(now, ms, &answer);
        for (mid, outcome) in &answer.tracks {
            let line: usize = mid.as_str().parse().unwrap();
            let publication = outcome.as_ref().ok().copied();
            let known = client.sources.iter_mut().find(|source| source.line == line);
            match (known, client.lines[line]) {
                (Some(known), _) => known.publication = publication,
                (None, Use::Send(source, ssrc, layers)) => {
                    let tag = self.next_tag;
                    self.next_tag += 1;
                    let what = (source, ssrc, layers);
                    let mut new = Source_::new(line, what, tag, ms, &mut self.random);
                    new.publication = publication;
                    client.sources.push(new);
                }
                (None, Use::Receive(_) | Use::Inactive(_)) => {}
            }
            let may = client
                .rights
                .may_publish(offer.tracks.iter().find(|t| t.mid == *mid).unwrap().source);
            assert!(may || publication.is_none(), "published without the right");
        }
        self.settle();
        self.send_up(id);
    }

    pub(crate) fn leave(&mut self, id: ParticipantId) {
        let person = self.people.get_mut(&id).unwrap();
        person.asked_to_leave = true;
        let now = self.now();
        self.shard.handle_leave(now, id);
        self.settle();
        assert_eq!(self.people[&id].gone, Some(GoneReason::Left));
    }

    pub(crate) fn present(&self) -> Vec<ParticipantId> {
        let present = self
            .people
            .iter()
            .filter(|(_, person)| person.gone.is_none());
        present.map(|(id, _)| *id).collect()
    }

    /// Everybody leaves, and nothing is left.
    pub(crate) fn end(&mut self, is_calm: bool) {
        for id in self.present() {
            self.leave(id);
        }
        let mut census = self.shard.census();
        census.timers = 0;
        assert_eq!(census, Census::default(), "what is left");
        for _ in 0..100_000 {
            let Some(due) = self.shard.poll_timeout() else {
                break;
            };
            self.shard.handle_timeout(due);
        }
        assert_eq!(self.shard.census(), Census::default(), "what is left");
        let people = self.people.values();
        let sources: Vec<&Source_> = people.flat_map(|person| &person.client.sources).collect();
        for person in self.people.values() {
            person.tap.check(&sources, is_calm);
        }
    }

    /// Sources that are published, by their tag.
    pub(crate) fn sources_of(&self, kind: MediaKind) -> Vec<(u8, ParticipantId, PublicationId)> {
        let mut found = Vec::new();
        for (id, person) in &self.people {
            for source in &person.client.sources {
                if let Some(publication) = source.publication
                    && Source::kind(source.source) == kind
                {
                    found.push((source.tag, *id, publication));
                }
            }
        }
        found
    }
}

fn wire_bytes(bytes: &[u8]) -> u64 {
    match Kind::of(bytes) {
        Some(Kind::Dtls) => DTLS_BYTES,
        Some(Kind::Rtp | Kind::Rtcp | Kind::Stun) | None => bytes.len() as u64,
    }
}
