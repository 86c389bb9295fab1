//! A seeded simulation: people join, leave, lose their connections and come back, are removed and given
//! other roles, ring and decline, while chat and the SFU answer late, out of order, or not as wished.
//!
//! At every step: one reply to a command at most; no right is exceeded; no ring outlives its end; followers
//! are told at most once a second. Whenever everything has come to rest:
//! - what each session's client has made of its replies and pushes is who is in the call;
//! - who is in the call is whom the SFU has, in one part for each session, as members with their rights;
//! - whoever follows a room knows the size of its call, and every phone rings that should, and no other.
//!
//! In the end everybody is gone, and nothing is left.
//!
//! `KAIWA_SEEDS` is the number of seeds; a failure names its seed.

use super::*;
use kaiwa_sfu::control::{Connectivity, Join, Mute, Offer, Rights};

const ROOMS: [(&str, RoomKind); 2] = [("a", RoomKind::Group), ("b", RoomKind::Broadcast)];
const PEOPLE: usize = 5;
const DEVICES: usize = 8;
const STEPS: usize = 400;

#[test]
fn whatever_happens_everybody_sees_the_same_call() {
    let seeds = std::env::var("KAIWA_SEEDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(150);
    let mut seen = Seen::default();
    for seed in 0..seeds {
        let world = std::panic::AssertUnwindSafe(|| World::new(seed).run());
        match std::panic::catch_unwind(world) {
            Ok(this) => seen.add(this),
            Err(why) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(why);
            }
        }
    }
    println!("{seeds} seeds: {seen:?}");
    // What this is about has happened; else the simulation shows nothing.
    assert!(
        seen.joined > 0 && seen.refused > 0 && seen.ended > 0,
        "{seen:?}"
    );
    assert!(
        seen.resumed > 0 && seen.rung > 0 && seen.notices > 0,
        "{seen:?}"
    );
    assert!(seen.publications > 0 && seen.held > 0, "{seen:?}");
    assert!(seen.rights > 0, "{seen:?}");
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    joined: u64,
    refused: u64,
    ended: u64,
    resumed: u64,
    rung: u64,
    notices: u64,
    publications: u64,
    held: u64,
    rights: u64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.joined += other.joined;
        self.refused += other.refused;
        self.ended += other.ended;
        self.resumed += other.resumed;
        self.rung += other.rung;
        self.notices += other.notices;
        self.publications += other.publications;
        self.held += other.held;
        self.rights += other.rights;
    }
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).expect("small")
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// What a client makes of what it is told.
#[derive(Default)]
struct Client {
    view: Option<(RoomId, u64, BTreeMap<ParticipantId, effect::Entry>)>,
    /// Joins whose replies are awaited.
    joins: Vec<(Ticket, RoomId)>,
    /// Rosters that came before that reply.
    held: Vec<Roster>,
    ended: BTreeSet<ParticipantId>,
    /// As pushed last, else as in the reply to the join.
    rights: BTreeMap<ParticipantId, Rights>,
}

impl Client {
    fn whole(&mut self, roster: Roster) {
        let entries = roster.entries.into_iter().map(|e| (e.participant, e));
        self.view = Some((roster.room, roster.summary.version, entries.collect()));
    }

    fn roster(&mut self, roster: Roster, seen: &mut Seen) {
        if roster.is_full {
            return self.whole(roster);
        }
        match &mut self.view {
            Some((room, version, entries)) if *room == roster.room => {
                *version = roster.summary.version;
                for entry in roster.entries {
                    entries.insert(entry.participant, entry);
                }
                for (id, _) in roster.gone {
                    entries.remove(&id);
                }
                assert_eq!(entries.len(), roster.summary.count as usize);
            }
            Some(_) | None => {
                seen.held += 1;
                self.held.push(roster);
            }
        }
    }

    fn joined(&mut self, joined: effect::Joined, seen: &mut Seen) {
        if self.ended.contains(&joined.participant) {
            return;
        }
        self.rights
            .entry(joined.participant)
            .or_insert(joined.rights);
        let known = self
            .view
            .as_ref()
            .filter(|(room, ..)| *room == joined.roster.room);
        if known.is_some_and(|(_, version, _)| *version >= joined.roster.summary.version) {
            return;
        }
        let version = joined.roster.summary.version;
        let room = joined.roster.room.clone();
        self.whole(joined.roster);
        for roster in self.held.clone() {
            if roster.room == room && roster.summary.version > version {
                self.roster(roster, seen);
            }
        }
    }

    fn ended(&mut self, room: &RoomId, participant: ParticipantId) {
        self.ended.insert(participant);
        if self.view.as_ref().is_some_and(|(here, ..)| here == room) {
            self.view = None;
        }
    }
}

/// Somebody's app: sessions one after the other.
struct Device {
    person: usize,
    session: SessionNo,
    is_attached: bool,
    grant: CallGrant,
    client: Client,
    /// Pushed while it was away.
    waiting: Vec<Push>,
}

/// A double of the SFU: it does what it is told, later.
#[derive(Default)]
struct Sfu {
    participants: BTreeMap<ParticipantId, (RoomId, Rights, BTreeMap<PublicationId, Publication>)>,
    commands: VecDeque<SfuCommand>,
    events: VecDeque<Event>,
    next_publication: u64,
}

enum Answered {
    Entered(ParticipantId, Result<(), SfuError>),
    Offer(Ticket, ParticipantId, Vec<Mid>, Result<Answer, SfuError>),
    Done(Ticket, ParticipantId, Result<(), SfuError>),
    Rights(ParticipantId, Result<(), SfuError>),
}

impl Sfu {
    fn step(&mut self, rng: &mut Rng) -> Option<Answered> {
        match self.commands.pop_front()? {
            SfuCommand::Join(join) => Some(self.join(join, rng)),
            SfuCommand::SetRights(id, rights) => {
                Some(Answered::Rights(id, self.set_rights(id, rights, rng)))
            }
            SfuCommand::Leave(id) => {
                self.leave(id, GoneReason::Left);
                None
            }
            SfuCommand::Offer {
                ticket,
                offer,
                refused,
            } => {
                let id = offer.participant;
                Some(Answered::Offer(ticket, id, refused, self.offer(&offer)))
            }
            SfuCommand::Prefer { ticket, prefer } => {
                let known = self.participants.contains_key(&prefer.participant);
                let result = known.then_some(()).ok_or(SfuError::NoSuchParticipant);
                Some(Answered::Done(ticket, prefer.participant, result))
            }
            SfuCommand::Mute { ticket, mute } => {
                Some(Answered::Done(ticket, mute.participant, self.mute(mute)))
            }
        }
    }

    fn join(&mut self, join: Join, rng: &mut Rng) -> Answered {
        let id = join.participant;
        let refusal = match rng.below(20) {
            0 => Some((SfuError::Unavailable, true)),
            1 => Some((SfuError::Unavailable, false)),
            2 => Some((
                SfuError::LimitReached {
                    what: "people",
                    limit: 1,
                },
                false,
            )),
            _ => None,
        };
        if refusal.as_ref().is_none_or(|(_, happened)| *happened) {
            let entry = (join.room, join.rights, BTreeMap::new());
            assert!(
                self.participants.insert(id, entry).is_none(),
                "ids are used once"
            );
        }
        let result = refusal.map_or(Ok(()), |(error, _)| Err(error));
        Answered::Entered(id, result)
    }

    fn set_rights(
        &mut self,
        id: ParticipantId,
        rights: Rights,
        rng: &mut Rng,
    ) -> Result<(), SfuError> {
        if rng.below(20) == 0 {
            return Err(SfuError::Unavailable);
        }
        let (room, has, publications) = self
            .participants
            .get_mut(&id)
            .ok_or(SfuError::NoSuchParticipant)?;
        *has = rights;
        let ended = publications.extract_if(.., |_, p| !rights.may_publish(p.source));
        self.events
            .extend(ended.map(|(publication, _)| Event::Unpublished {
                room: room.clone(),
                publication,
                participant: id,
            }));
        Ok(())
    }

    fn leave(&mut self, id: ParticipantId, reason: GoneReason) {
        let Some((room, _, publications)) = self.participants.remove(&id) else {
            return;
        };
        for publication in publications.into_keys() {
            self.events.push_back(Event::Unpublished {
                room: room.clone(),
                publication,
                participant: id,
            });
        }
        self.events.push_back(Event::Gone {
            room,
            participant: id,
            reason,
            trace: None,
            media: None,
        });
    }

    fn offer(&mut self, offer: &Offer) -> Result<Answer, SfuError> {
        let id = offer.participant;
        let (room, rights, publications) = self
            .participants
            .get_mut(&id)
            .ok_or(SfuError::NoSuchParticipant)?;
        // What is not offered any more ends.
        for publication in std::mem::take(publications).into_keys() {
            self.events.push_back(Event::Unpublished {
                room: room.clone(),
                publication,
                participant: id,
            });
        }
        let mut tracks = Vec::new();
        for track in &offer.tracks {
            assert!(
                rights.may_publish(track.source),
                "the SFU is asked for more than the rights"
            );
            self.next_publication += 1;
            let publication = Publication {
                id: PublicationId(self.next_publication),
                participant: id,
                source: track.source,
                is_muted: track.is_muted,
                layers: 1,
            };
            publications.insert(publication.id, publication);
            self.events.push_back(Event::Published {
                room: room.clone(),
                publication,
            });
            tracks.push((track.mid, Ok(publication.id)));
        }
        let sdp = String::new();
        Ok(Answer {
            sdp,
            tracks,
            without_codec: Vec::new(),
        })
    }

    fn mute(&mut self, mute: Mute) -> Result<(), SfuError> {
        let (room, _, publications) = self
            .participants
            .get_mut(&mute.participant)
            .ok_or(SfuError::NoSuchParticipant)?;
        let publication = publications
            .get_mut(&mute.publication)
            .ok_or(SfuError::NoSuchPublication)?;
        publication.is_muted = mute.is_muted;
        self.events.push_back(Event::Published {
            room: room.clone(),
            publication: *publication,
        });
        Ok(())
    }

    /// Something that nobody asked for.
    fn happen(&mut self, rng: &mut Rng) {
        let ids: Vec<ParticipantId> = self.participants.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = rng.pick(&ids);
        let room = self.participants[&id].0.clone();
        let event = match rng.below(8) {
            0 => return self.leave(id, GoneReason::TimedOut),
            1..=2 => Event::Quality {
                room,
                participant: id,
                quality: rng.pick(&[Quality::Lost, Quality::Poor, Quality::Good]),
            },
            3..=4 => Event::Connectivity {
                room,
                participant: id,
                connectivity: rng.pick(&[Connectivity::Connected, Connectivity::Interrupted]),
            },
            5 => Event::Speakers {
                room,
                speakers: Vec::new(),
                active: Some(id),
            },
            _ => Event::Slots {
                participant: id,
                slots: Vec::new(),
                wanted: Wanted::default(),
            },
        };
        self.events.push_back(event);
    }
}

struct World {
    rng: Rng,
    at: At,
    core: CallCore,
    sfu: Sfu,
    devices: Vec<Device>,
    next_session: u64,
    next_ticket: u64,
    /// Each room's members and its head.
    members: BTreeMap<RoomId, (u64, BTreeMap<usize, Role>)>,
    /// Questions, perhaps with what chat read already.
    questions: Vec<(Ticket, LookUp, Option<Option<Standing>>)>,
    answers: Vec<Answered>,
    /// Replies on their way, and tickets without one.
    replies: Vec<(Ticket, Result<Reply, CallError>)>,
    awaited: BTreeMap<Ticket, usize>,
    unanswered: BTreeSet<Ticket>,
    /// Who joined and did not leave yet, as it is noted.
    noted: BTreeSet<ParticipantId>,
    /// What a follower of each room knows: version and count; and when it was told last.
    followed: BTreeMap<RoomId, (u64, u32, Instant)>,
    phones: BTreeMap<(UserId, RoomId), UnixMs>,
    seen: Seen,
}

fn name(person: usize) -> String {
    format!("u{person}")
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let at = At {
            now: Instant::now(),
            wall: UnixMs(1_790_000_000_000),
        };
        let members = ROOMS.iter().map(|(id, _)| {
            let joined = (0..PEOPLE).map(|person| (person, rng.pick(&ROLES)));
            (room(id), (1, joined.collect()))
        });
        let members = members.collect();
        let mut world = Self {
            rng,
            at,
            core: CallCore::new(1, 4, TIMES),
            sfu: Sfu::default(),
            devices: Vec::new(),
            next_session: 1,
            next_ticket: 1,
            members,
            questions: Vec::new(),
            answers: Vec::new(),
            replies: Vec::new(),
            awaited: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            noted: BTreeSet::new(),
            followed: BTreeMap::new(),
            phones: BTreeMap::new(),
            seen: Seen::default(),
        };
        for n in 0..DEVICES {
            let device = world.device(n % PEOPLE);
            world.devices.push(device);
        }
        world
    }

    fn device(&mut self, person: usize) -> Device {
        let session = SessionNo(self.next_session);
        self.next_session += 1;
        Device {
            person,
            session,
            is_attached: true,
            grant: CallGrant::ALL,
            client: Client::default(),
            waiting: Vec::new(),
        }
    }

    fn run(mut self) -> Seen {
        for step in 0..STEPS {
            match self.rng.below(20) {
                0..=6 => self.client_acts(),
                7 => self.link_changes(),
                8 => self.membership_changes(),
                9 => {
                    let (sfu, rng) = (&mut self.sfu, &mut self.rng);
                    sfu.happen(rng);
                }
                10 => self.session_ends(),
                11 => self.pass(),
                _ => self.deliver(),
            }
            self.perform();
            if step % 40 == 39 {
                self.rest();
                self.check();
            }
        }
        self.end();
        self.seen
    }

    fn command(&mut self, n: usize, command: Command) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let device = &self.devices[n];
        let caller = Caller {
            session: device.session,
            actor: Actor {
                user: person(&name(device.person)),
                role: server_role(device.person),
            },
            grant: device.grant,
            way: Way::Socket,
        };
        self.unanswered.insert(ticket);
        self.awaited.insert(ticket, n);
        self.core.handle_command(caller, command, ticket, self.at);
        ticket
    }

    fn client_acts(&mut self) {
        let n = self.rng.below(DEVICES);
        if !self.devices[n].is_attached {
            return;
        }
        let room = room(self.rng.pick(&ROOMS).0);
        match self.rng.below(12) {
            0..=3 => {
                let ticket = self.command(
                    n,
                    Command::Join {
                        room: room.clone(),
                        video_codecs: Vec::new(),
                    },
                );
                self.devices[n].client.joins.push((ticket, room));
            }
            4 => {
                let client = &mut self.devices[n].client;
                client.joins.retain(|(_, joins)| *joins != room);
                client.view = client.view.take().filter(|(here, ..)| *here != room);
                self.command(n, Command::Leave { room });
            }
            5..=6 => {
                let sources = [Source::Microphone, Source::Camera, Source::Screen];
                let tracks = (0..self.rng.below(3)).map(|line| Track {
                    mid: Mid::parse(line.to_string().as_bytes()).expect("a mid"),
                    source: sources[line],
                    is_muted: false,
                });
                let command = Command::Offer {
                    room,
                    sdp: Redacted("v=0".to_owned()),
                    tracks: tracks.collect(),
                };
                self.command(n, command);
            }
            7 => {
                let publication = PublicationId(self.rng.next() % (self.sfu.next_publication + 2));
                let is_muted = self.rng.one_in(2);
                let command = Command::Mute {
                    room,
                    publication,
                    is_muted,
                };
                self.command(n, command);
            }
            8 => {
                let ids: Vec<_> = self.core.rooms.keys().copied().collect();
                if !ids.is_empty() {
                    let participant = self.rng.pick(&ids);
                    self.command(n, Command::Remove { room, participant });
                }
            }
            9..=10 => {
                let users = (0..=self.rng.below(2)).map(|_| user(&name(self.rng.below(PEOPLE))));
                let users = users.collect();
                self.command(n, Command::Ring { room, users });
            }
            _ => {
                self.command(n, Command::Decline { room });
            }
        }
    }

    fn link_changes(&mut self) {
        let n = self.rng.below(DEVICES);
        let device = &mut self.devices[n];
        device.is_attached = !device.is_attached;
        let (session, is_attached) = (device.session, device.is_attached);
        if is_attached {
            self.seen.resumed += 1;
            for push in std::mem::take(&mut device.waiting) {
                apply(&mut device.client, push, &mut self.seen);
            }
        } else {
            // Replies are lost with the connection.
            self.awaited.retain(|_, of| *of != n);
        }
        self.core.handle_link(session, is_attached, self.at);
        self.perform();
        // A client whose join's reply was lost asks again.
        let lost = if is_attached {
            std::mem::take(&mut self.devices[n].client.joins).pop()
        } else {
            None
        };
        if let Some((_, room)) = lost {
            let ticket = self.command(
                n,
                Command::Join {
                    room: room.clone(),
                    video_codecs: Vec::new(),
                },
            );
            self.devices[n].client.joins.push((ticket, room));
        }
        if self.rng.one_in(4) {
            let grant = CallGrant {
                camera: self.rng.one_in(2),
                ..CallGrant::ALL
            };
            self.devices[n].grant = grant;
            let role = server_role(self.devices[n].person);
            self.core.handle_identity(session, role, grant);
        }
    }

    fn membership_changes(&mut self) {
        let id = room(self.rng.pick(&ROOMS).0);
        let person = self.rng.below(PEOPLE);
        let role = self.rng.pick(&ROLES);
        let leaves = self.rng.one_in(3);
        let (head, members) = self.members.get_mut(&id).expect("a room");
        *head += 1;
        if leaves {
            members.remove(&person);
        } else {
            members.insert(person, role);
        }
        let membership = if leaves {
            Membership::Left
        } else {
            Membership::Joined
        };
        let mut change = change(&name(person), membership, role, *head);
        change.info.room = id.clone();
        change.info.kind = kind(&id);
        self.core.handle_member_change(&change, self.at);
    }

    fn session_ends(&mut self) {
        let n = self.rng.below(DEVICES);
        let session = self.devices[n].session;
        self.core.handle_session_ended(session, self.at);
        self.awaited.retain(|_, of| *of != n);
        let device = self.device(self.devices[n].person);
        self.devices[n] = device;
    }

    fn pass(&mut self) {
        let ms = self.rng.pick(&[1, 50, 300, 1_500, 12_000, 31_000]);
        self.wait(Duration::from_millis(ms));
    }

    /// Time passes, and what is due happens when it is due.
    fn wait(&mut self, time: Duration) {
        let until = self.at.now + time;
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= until) {
            let step = due.saturating_duration_since(self.at.now);
            self.at.now += step;
            self.at.wall = self.at.wall.plus(step);
            self.perform();
        }
        let step = until.saturating_duration_since(self.at.now);
        self.at.now += step;
        self.at.wall = self.at.wall.plus(step);
        self.perform();
    }

    /// One of the things that are on their way arrives.
    fn deliver(&mut self) {
        match self.rng.below(5) {
            0 => self.answer_question(),
            1 => {
                let (sfu, rng) = (&mut self.sfu, &mut self.rng);
                self.answers.extend(sfu.step(rng));
            }
            2 => self.deliver_answer(),
            3 => {
                if let Some(event) = self.sfu.events.pop_front() {
                    self.core.handle_event(event, self.at);
                }
            }
            _ => self.deliver_reply(),
        }
    }

    fn answer_question(&mut self) {
        if self.questions.is_empty() {
            return;
        }
        let at = self.rng.below(self.questions.len());
        let (ticket, what, read) = self.questions.remove(at);
        match what {
            LookUp::Standing { actor, room } => {
                let standing = read.unwrap_or_else(|| self.standing(&actor.user.id, &room));
                self.core.handle_standing(ticket, Ok(standing), self.at);
            }
            LookUp::Members { room, users } => {
                let stranger = users
                    .into_iter()
                    .find(|user| self.standing(user, &room).is_none());
                let answer = stranger.map_or(Ok(()), |user| Err(CallError::NotRingable(user)));
                self.core.handle_members(ticket, answer, self.at);
            }
        }
    }

    fn standing(&self, who: &UserId, room: &RoomId) -> Option<Standing> {
        let (head, members) = &self.members[room];
        let person = (0..PEOPLE).find(|n| user(&name(*n)) == *who)?;
        Some(standing(kind(room), *members.get(&person)?, *head))
    }

    fn deliver_answer(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let index = self.rng.below(self.answers.len());
        match self.answers.remove(index) {
            Answered::Entered(id, result) => self.core.handle_entered(id, result, self.at),
            Answered::Offer(ticket, id, refused, result) => {
                self.core
                    .handle_answer(ticket, id, refused, result, self.at);
            }
            Answered::Rights(id, result) => self.core.handle_rights_set(id, result, self.at),
            Answered::Done(ticket, id, result) => {
                self.core.handle_done(ticket, id, result, self.at);
            }
        }
    }

    fn deliver_reply(&mut self) {
        if self.replies.is_empty() {
            return;
        }
        let index = self.rng.below(self.replies.len());
        let (ticket, result) = self.replies.remove(index);
        let Some(n) = self.awaited.remove(&ticket) else {
            return;
        };
        let client = &mut self.devices[n].client;
        let Some(index) = client.joins.iter().position(|(joins, _)| *joins == ticket) else {
            return;
        };
        client.joins.remove(index);
        match result {
            Ok(Reply::Joined(joined)) => {
                self.seen.joined += 1;
                client.joined(*joined, &mut self.seen);
            }
            Err(_) => self.seen.refused += 1,
            Ok(reply) => panic!("not a reply to a join: {reply:?}"),
        }
    }

    fn perform(&mut self) {
        self.core.handle_timeout(self.at);
        let ends = self.core.rings.ends();
        assert!(
            ends.iter().all(|end| *end > self.at.now),
            "a ring outlives its end"
        );
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::LookUp { ticket, what } => {
                    let read = match &what {
                        LookUp::Standing { actor, room } if self.rng.one_in(2) => {
                            Some(self.standing(&actor.user.id, room))
                        }
                        LookUp::Standing { .. } | LookUp::Members { .. } => None,
                    };
                    self.questions.push((ticket, what, read));
                }
                Effect::Sfu(command) => self.sfu.commands.push_back(command),
                Effect::Reply { ticket, result } => {
                    assert!(self.unanswered.remove(&ticket), "one reply to a command");
                    self.replies.push((ticket, result));
                }
                Effect::Push { to, push } => self.push(&to, &push),
                Effect::PushUser { user, push, .. } => self.ring_told(user, push),
                Effect::Signal { to, .. } => assert!(!to.is_empty()),
                Effect::Note(noted) => self.noted(noted),
                Effect::Notice { room, summary, .. } => self.notice(room, summary),
            }
        }
    }

    /// Each joins once and leaves once.
    fn noted(&mut self, noted: Noted) {
        match noted {
            Noted::Joined { participant, .. } => {
                assert!(self.noted.insert(participant), "joined twice");
            }
            Noted::Left(left) => {
                assert!(
                    self.noted.remove(&left.participant),
                    "left, and was not there"
                );
            }
            Noted::Connected(_) => {}
        }
    }

    fn push(&mut self, to: &[SessionNo], push: &Push) {
        self.seen.ended += u64::from(matches!(push, Push::Ended { .. }));
        for session in to {
            // Sessions that ended are told nothing.
            let device = self.devices.iter_mut().find(|d| d.session == *session);
            let Some(device) = device else { continue };
            if device.is_attached {
                apply(&mut device.client, push.clone(), &mut self.seen);
            } else {
                let is_kept = matches!(push, Push::Ended { .. } | Push::Ringing(_));
                assert!(is_kept, "piles up for who is away: {push:?}");
                device.waiting.push(push.clone());
            }
        }
    }

    fn ring_told(&mut self, user: UserId, push: Push) {
        let Push::Ringing(ring) = push else {
            panic!("only rings go to all of a person's sessions: {push:?}");
        };
        match ring.state {
            RingState::Rings(until) => {
                self.seen.rung += 1;
                assert!(self.phones.insert((user, ring.room), until).is_none());
            }
            RingState::Over(..) => {
                assert!(self.phones.remove(&(user, ring.room)).is_some());
            }
        }
    }

    fn notice(&mut self, room: RoomId, summary: Summary) {
        self.seen.notices += 1;
        if let Some((version, _, told)) = self.followed.get(&room) {
            assert!(summary.version > *version, "versions grow");
            assert!(self.at.now >= *told + CALL_NOTICE_INTERVAL, "too often");
        }
        self.followed
            .insert(room, (summary.version, summary.count, self.at.now));
    }

    /// Everything that is on its way arrives, and what is due soon happens.
    fn rest(&mut self) {
        for _ in 0..2_000 {
            self.deliver();
            self.perform();
            let is_quiet = self.questions.is_empty()
                && self.answers.is_empty()
                && self.replies.is_empty()
                && self.sfu.commands.is_empty()
                && self.sfu.events.is_empty();
            if is_quiet {
                break;
            }
        }
        self.wait(Duration::from_millis(1_100));
        let is_quiet = self.sfu.commands.is_empty() && self.replies.is_empty();
        if !is_quiet {
            self.rest();
        }
    }

    fn check(&mut self) {
        assert!(
            self.unanswered.is_empty(),
            "a reply to every command: {:?}",
            self.unanswered
        );
        let mut here = BTreeSet::new();
        for (id, kind) in ROOMS {
            let id = room(id);
            let roster = self.core.roster(&id, self.at);
            let known = self.followed.get(&id).map_or(0, |(_, count, _)| *count);
            assert_eq!(known, roster.summary.count, "what followers know");
            for entry in &roster.entries {
                here.insert(entry.participant);
                let (there, rights, publications) = &self.sfu.participants[&entry.participant];
                assert_eq!(*there, id);
                let published: Vec<_> = publications.values().copied().collect();
                self.seen.publications += published.len() as u64;
                assert_eq!(entry.publications, published, "what the SFU has is shown");
                let standing = self.standing(&entry.user.id, &id).expect("a member");
                let participant = &self.core.calls[&id].participants[&entry.participant];
                let powers = Powers::of(&standing, participant.actor.role, participant.grant);
                assert_eq!(participant.powers, powers, "{kind:?}: what the room gives");
                assert_eq!(*rights, powers.rights, "the SFU knows");
                assert!(
                    entry
                        .publications
                        .iter()
                        .all(|p| powers.rights.may_publish(p.source))
                );
            }
        }
        let there: BTreeSet<_> = self.sfu.participants.keys().copied().collect();
        assert_eq!(here, there, "whom the SFU has is in the call");
        assert_eq!(
            here.len(),
            self.core.seats.len(),
            "one part for each session"
        );
        for device in self.devices.iter().filter(|d| d.is_attached) {
            let seen = device.client.view.as_ref();
            let Some((id, participant)) = self.core.seat(device.session) else {
                assert!(
                    seen.is_none(),
                    "{:?} sees a call that it is not in",
                    device.session
                );
                continue;
            };
            let (room, _, entries) = seen.expect("it is told of the call that it is in");
            assert_eq!(*room, id);
            let powers = self.core.calls[&id].participants[&participant].powers;
            let told = device.client.rights.get(&participant);
            assert_eq!(told, Some(&powers.rights), "it knows what it may");
            let roster = self.core.roster(&id, self.at);
            let expected = roster.entries.into_iter().map(|e| (e.participant, e));
            assert_eq!(*entries, expected.collect::<BTreeMap<_, _>>());
        }
        let ringing = (0..PEOPLE).flat_map(|n| {
            let rings = self.core.ringing(&user(&name(n))).into_iter();
            rings.map(move |ring| (user(&name(n)), ring.room))
        });
        for caller in self.core.rings.callers() {
            assert!(here.contains(&caller), "a ring without its caller");
        }
        let phones: BTreeSet<_> = self.phones.keys().cloned().collect();
        assert_eq!(ringing.collect::<BTreeSet<_>>(), phones, "what rings");
    }

    fn end(&mut self) {
        for n in 0..DEVICES {
            let session = self.devices[n].session;
            self.core.handle_session_ended(session, self.at);
            self.perform();
        }
        self.rest();
        self.wait(Duration::from_secs(120));
        assert!(self.sfu.participants.is_empty(), "every join has its leave");
        assert!(
            self.noted.is_empty(),
            "every join that is noted has its leave"
        );
        assert!(self.phones.is_empty());
        let core = &self.core;
        assert_eq!(core.stats(), Stats::default());
        assert!(core.seats.is_empty() && core.joinings.is_empty() && core.asked.is_empty());
        assert!(core.rates.is_empty() && core.leaving.is_empty());
        assert!(core.rings.is_empty() && core.removed.is_empty() && core.notices.is_empty());
        assert!(core.timers.is_empty(), "{:?}", core.timers);
    }
}

const ROLES: [Role; 4] = [Role::Guest, Role::Member, Role::Moderator, Role::Owner];

fn server_role(person: usize) -> ServerRole {
    match person {
        0 => ServerRole::Admin,
        1 => ServerRole::Viewer,
        _ => ServerRole::Creator,
    }
}

fn kind(id: &RoomId) -> RoomKind {
    let (_, kind) = ROOMS
        .iter()
        .find(|(name, _)| room(name) == *id)
        .expect("a room");
    *kind
}

fn apply(client: &mut Client, push: Push, seen: &mut Seen) {
    match push {
        Push::Roster(roster) => client.roster(roster, seen),
        Push::Ended {
            room, participant, ..
        } => client.ended(&room, participant),
        Push::Rights {
            participant,
            rights,
            ..
        } => {
            seen.rights += 1;
            client.rights.insert(participant, rights);
        }
        Push::Slots { .. } | Push::Ringing(_) => {}
    }
}
