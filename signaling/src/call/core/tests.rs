//! Rules of calls one by one; a seeded simulation of all of them together.

use super::effect::{CallError, Caller, LookUp, RingOutcome};
use super::noted::{Left, Noted};
use super::rights::Standing;
use super::*;
use crate::call::command::Command;
use kaiwa_chat::bus::MemberChange;
use kaiwa_chat::error::ChatError;
use kaiwa_chat::model::{Actor, Membership, Role, RoomInfo, RoomKind, Unread, User, Visibility};
use kaiwa_common::limits::{
    CALL_MUTE_BURST, CALL_MUTES_PER_S, CALL_NOTICE_INTERVAL, CALL_OFFER_BURST, CALL_PREFER_BURST,
    CALL_PUBLISHERS, CALL_QUALITY_INTERVAL, CALL_REMOVED, CALL_RING, CALL_RING_AGAIN,
    CALL_ROSTER_INTERVAL,
};
use kaiwa_common::position::{Epoch, Position, Seq};
use kaiwa_common::redact::Redacted;
use kaiwa_common::time::UnixMs;
use kaiwa_sfu::control::{
    Answer, Connectivity, Event, GoneReason, Hears, Publication, PublicationId, Quality, Rights,
    SfuError, Slot, Source, Track, Wanted, Wish,
};
use kaiwa_sfu::core::negotiate::{VideoCodec, VideoCodecs};
use kaiwa_sfu::inspect::MediaSummary;
use kaiwa_sfu::unit::Mid;

mod rings;
mod simulation;

const AWAY: Duration = Duration::from_secs(30);

const TIMES: CallTimes = CallTimes {
    away: AWAY,
    ring: CALL_RING,
};

fn room(name: &str) -> RoomId {
    RoomId::parse(name).expect("a room id")
}

fn user(name: &str) -> UserId {
    UserId::parse(name).expect("a user id")
}

fn person(name: &str) -> User {
    User {
        id: user(name),
        name: Redacted(name.to_uppercase()),
    }
}

fn standing(kind: RoomKind, role: Role, version: u64) -> Standing {
    Standing {
        kind,
        role,
        peer: None,
        version: Seq(version),
    }
}

fn change(who: &str, membership: Membership, role: Role, version: u64) -> MemberChange {
    let position = Position {
        epoch: Epoch(1),
        seq: Seq(version),
    };
    MemberChange {
        user: user(who),
        info: RoomInfo {
            room: room("r"),
            kind: RoomKind::Group,
            title: String::new(),
            visibility: Visibility::Private,
            created: UnixMs(0),
            head: position,
            members: 1,
            membership,
            role,
            peer: None,
            last: None,
            unread: Unread::default(),
        },
        version: Seq(version),
    }
}

/// A core whose questions and commands are answered at once, unless a test takes them itself.
struct Bench {
    core: CallCore,
    at: At,
    next_ticket: u64,
    /// What was told since it was looked at last.
    pushes: Vec<(Vec<SessionNo>, Push)>,
    user_pushes: Vec<(UserId, Option<SessionNo>, Push)>,
    replies: BTreeMap<Ticket, Result<Reply, CallError>>,
    sfu: Vec<SfuCommand>,
    questions: Vec<(Ticket, LookUp)>,
    notices: Vec<(Summary, Vec<SessionNo>)>,
    signals: Vec<(Vec<SessionNo>, effect::Signal)>,
    notes: Vec<Noted>,
}

impl Bench {
    fn new() -> Self {
        Self {
            core: CallCore::new(1, 1_000, TIMES),
            at: At {
                now: Instant::now(),
                wall: UnixMs(1_790_000_000_000),
            },
            next_ticket: 1,
            pushes: Vec::new(),
            user_pushes: Vec::new(),
            replies: BTreeMap::new(),
            sfu: Vec::new(),
            questions: Vec::new(),
            notices: Vec::new(),
            signals: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn command(&mut self, session: u64, name: &str, command: Command) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let caller = Caller {
            session: SessionNo(session),
            actor: Actor {
                user: person(name),
                role: ServerRole::Creator,
            },
            grant: CallGrant::ALL,
            way: Way::Socket,
        };
        self.core.handle_command(caller, command, ticket, self.at);
        self.gather();
        ticket
    }

    /// Collects effects, as long as there are any that are due.
    fn gather(&mut self) {
        self.core.handle_timeout(self.at);
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::LookUp { ticket, what } => self.questions.push((ticket, what)),
                Effect::Sfu(command) => self.sfu.push(command),
                Effect::Reply { ticket, result } => {
                    assert!(self.replies.insert(ticket, result).is_none(), "one reply");
                }
                Effect::Push { to, push } => self.pushes.push((to, push)),
                Effect::PushUser { user, except, push } => {
                    self.user_pushes.push((user, except, push));
                }
                Effect::Signal { to, signal } => self.signals.push((to, signal)),
                Effect::Note(noted) => self.notes.push(noted),
                Effect::Notice {
                    summary, except, ..
                } => self.notices.push((summary, except)),
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = self.at.now + time;
        while let Some(due) = self.core.poll_timeout().filter(|due| *due <= until) {
            self.pass(due.saturating_duration_since(self.at.now));
            self.gather();
        }
        self.pass(until.saturating_duration_since(self.at.now));
        self.gather();
    }

    fn pass(&mut self, time: Duration) {
        self.at.now += time;
        self.at.wall = self.at.wall.plus(time);
    }

    /// Joins, with every question answered: a group's member of this role.
    fn join_as(&mut self, session: u64, name: &str, kind: RoomKind, role: Role) -> ParticipantId {
        let ticket = self.command(
            session,
            name,
            Command::Join {
                room: room("r"),
                video_codecs: Vec::new(),
            },
        );
        self.core
            .handle_standing(ticket, Ok(Some(standing(kind, role, 10))), self.at);
        self.gather();
        self.enter();
        self.joined(ticket).participant
    }

    fn join(&mut self, session: u64, name: &str) -> ParticipantId {
        self.join_as(session, name, RoomKind::Group, Role::Member)
    }

    /// The SFU takes in whoever waits.
    fn enter(&mut self) {
        for command in std::mem::take(&mut self.sfu) {
            match command {
                SfuCommand::Join(join) => {
                    self.core.handle_entered(join.participant, Ok(()), self.at);
                }
                other @ (SfuCommand::Leave(_)
                | SfuCommand::SetRights(..)
                | SfuCommand::Offer { .. }
                | SfuCommand::Prefer { .. }
                | SfuCommand::Mute { .. }) => self.sfu.push(other),
            }
        }
        self.gather();
    }

    fn joined(&mut self, ticket: Ticket) -> effect::Joined {
        match self.replies.remove(&ticket) {
            Some(Ok(Reply::Joined(joined))) => *joined,
            other => panic!("not joined: {other:?}"),
        }
    }

    fn refused(&mut self, ticket: Ticket) -> CallError {
        match self.replies.remove(&ticket) {
            Some(Err(error)) => error,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn done(&mut self, ticket: Ticket) {
        let reply = self.replies.remove(&ticket);
        assert!(matches!(reply, Some(Ok(Reply::Done))), "{reply:?}");
    }

    fn publish(&mut self, participant: ParticipantId, id: u64, source: Source) {
        let publication = Publication {
            id: PublicationId(id),
            participant,
            source,
            is_muted: false,
            layers: 1,
        };
        let event = Event::Published {
            room: room("r"),
            publication,
        };
        self.core.handle_event(event, self.at);
        self.gather();
    }

    fn leaves(&mut self) -> Vec<ParticipantId> {
        let leaves = self
            .sfu
            .extract_if(.., |c| matches!(c, SfuCommand::Leave(_)));
        let id = |command| match command {
            SfuCommand::Leave(id) => Some(id),
            SfuCommand::Join(_)
            | SfuCommand::SetRights(..)
            | SfuCommand::Offer { .. }
            | SfuCommand::Prefer { .. }
            | SfuCommand::Mute { .. } => None,
        };
        leaves.filter_map(id).collect()
    }

    /// The rights that the SFU was told, in order.
    fn rights_set(&self) -> Vec<(ParticipantId, Rights)> {
        let set = self.sfu.iter().filter_map(|command| match command {
            SfuCommand::SetRights(id, rights) => Some((*id, *rights)),
            SfuCommand::Leave(_)
            | SfuCommand::Join(_)
            | SfuCommand::Offer { .. }
            | SfuCommand::Prefer { .. }
            | SfuCommand::Mute { .. } => None,
        });
        set.collect()
    }

    /// The rights that a session was told, in order.
    fn told_rights(&self, session: u64) -> Vec<Rights> {
        let told = self.pushes.iter().filter_map(|(to, push)| match push {
            Push::Rights { rights, .. } if to.contains(&SessionNo(session)) => Some(*rights),
            Push::Rights { .. }
            | Push::Ended { .. }
            | Push::Roster(_)
            | Push::Slots { .. }
            | Push::Ringing(_) => None,
        });
        told.collect()
    }

    /// Why this session's part was ended.
    fn ended(&mut self, session: u64) -> Vec<EndReason> {
        let ended = self.pushes.iter().filter_map(|(to, push)| match push {
            Push::Ended { reason, .. } if to.contains(&SessionNo(session)) => Some(*reason),
            Push::Ended { .. }
            | Push::Rights { .. }
            | Push::Roster(_)
            | Push::Slots { .. }
            | Push::Ringing(_) => None,
        });
        ended.collect()
    }

    fn rosters(&mut self, session: u64) -> Vec<Roster> {
        let rosters = self.pushes.iter().filter_map(|(to, push)| match push {
            Push::Roster(roster) if to.contains(&SessionNo(session)) => Some(roster.clone()),
            Push::Ended { .. }
            | Push::Rights { .. }
            | Push::Roster(_)
            | Push::Slots { .. }
            | Push::Ringing(_) => None,
        });
        rosters.collect()
    }
}

#[test]
fn who_joins_sees_everybody_and_is_seen_by_everybody() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    let ticket = bench.command(
        2,
        "bob",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    bench.core.handle_standing(
        ticket,
        Ok(Some(standing(RoomKind::Group, Role::Member, 1))),
        bench.at,
    );
    bench.gather();
    assert_eq!(
        bench.core.roster(&room("r"), bench.at).entries.len(),
        1,
        "not before the SFU took him"
    );
    bench.enter();
    let joined = bench.joined(ticket);
    let seen: Vec<_> = joined
        .roster
        .entries
        .iter()
        .map(|e| e.participant)
        .collect();
    assert_eq!(seen, [alice, joined.participant]);
    bench.wait(CALL_ROSTER_INTERVAL);
    let told = bench.rosters(1).pop().expect("a roster");
    assert!(!told.is_full);
    assert_eq!(told.summary.count, 2);
    assert!(told.entries.iter().any(|e| e.user.id == user("bob")));
}

#[test]
fn joining_the_same_call_again_gives_the_same_participant() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    let again = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    assert_eq!(bench.joined(again).participant, alice);
    assert!(bench.questions.len() == 1, "chat is not asked again");
}

#[test]
fn the_first_who_may_publish_says_which_codecs_a_call_takes() {
    let mut bench = Bench::new();
    let join = |bench: &mut Bench, session, name: &str, role, codecs: &[VideoCodec]| {
        let command = Command::Join {
            room: room("r"),
            video_codecs: codecs.to_vec(),
        };
        let ticket = bench.command(session, name, command);
        let standing = standing(RoomKind::Broadcast, role, 1);
        bench
            .core
            .handle_standing(ticket, Ok(Some(standing)), bench.at);
        bench.gather();
        let Some(SfuCommand::Join(join)) = bench.sfu.last() else {
            panic!("no join: {:?}", bench.sfu);
        };
        let codecs = join.video_codecs;
        bench.enter();
        codecs
    };
    let (av1, h264) = (&[VideoCodec::Av1], &[VideoCodec::H264]);
    let (member, owner) = (Role::Member, Role::Owner);
    assert_eq!(join(&mut bench, 1, "watcher", member, h264), None);
    let chosen = Some(VideoCodecs::new(av1));
    assert_eq!(join(&mut bench, 2, "alice", owner, av1), chosen);
    assert_eq!(join(&mut bench, 3, "bob", owner, h264), chosen);
    assert_eq!(join(&mut bench, 4, "late", member, &[]), chosen);
}

#[test]
fn two_joins_at_once_are_one() {
    let mut bench = Bench::new();
    let first = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    let second = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    bench.core.handle_standing(
        first,
        Ok(Some(standing(RoomKind::Group, Role::Member, 1))),
        bench.at,
    );
    bench.gather();
    let third = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    bench.enter();
    let ids = [first, second, third].map(|ticket| bench.joined(ticket).participant);
    assert!(ids[0] == ids[1] && ids[1] == ids[2]);
}

#[test]
fn joining_another_call_leaves_the_first_and_one_that_is_refused_does_not() {
    let mut bench = Bench::new();
    let first = bench.join(1, "alice");
    let refused = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("other"),
            video_codecs: Vec::new(),
        },
    );
    bench.core.handle_standing(refused, Ok(None), bench.at);
    bench.gather();
    assert_eq!(
        bench.refused(refused),
        CallError::Chat(ChatError::NotAMember)
    );
    assert!(bench.leaves().is_empty());
    let second = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("other"),
            video_codecs: Vec::new(),
        },
    );
    bench.core.handle_standing(
        second,
        Ok(Some(standing(RoomKind::Group, Role::Member, 1))),
        bench.at,
    );
    bench.gather();
    assert_eq!(bench.leaves(), [first]);
    assert_eq!(bench.ended(1), [EndReason::Replaced]);
    bench.enter();
    assert_ne!(bench.joined(second).participant, first);
    assert_eq!(
        bench.core.stats(),
        Stats {
            calls: 1,
            participants: [1, 0, 0]
        }
    );
}

#[test]
fn a_removal_that_commits_while_the_right_is_looked_up_is_not_slipped_past() {
    for (version, enters) in [(9, true), (11, false)] {
        let mut bench = Bench::new();
        let ticket = bench.command(
            1,
            "alice",
            Command::Join {
                room: room("r"),
                video_codecs: Vec::new(),
            },
        );
        let left = change("alice", Membership::Left, Role::Member, version);
        bench.core.handle_member_change(&left, bench.at);
        // Read at 10.
        let answer = Ok(Some(standing(RoomKind::Group, Role::Member, 10)));
        bench.core.handle_standing(ticket, answer, bench.at);
        bench.gather();
        assert_eq!(!bench.sfu.is_empty(), enters, "removed at {version}");
    }
}

#[test]
fn a_leave_calls_a_join_back_whatever_it_waits_for() {
    let mut bench = Bench::new();
    let join = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    let leave = bench.command(1, "alice", Command::Leave { room: room("r") });
    assert_eq!(bench.refused(join), CallError::NotInCall);
    bench.done(leave);
    let answer = Ok(Some(standing(RoomKind::Group, Role::Member, 1)));
    bench.core.handle_standing(join, answer.clone(), bench.at);
    bench.gather();
    assert!(bench.sfu.is_empty(), "an answer to nobody");

    let join = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    bench.core.handle_standing(join, answer, bench.at);
    bench.gather();
    let leave = bench.command(1, "alice", Command::Leave { room: room("r") });
    assert_eq!(bench.refused(join), CallError::NotInCall);
    bench.done(leave);
    assert!(
        matches!(bench.sfu[..], [SfuCommand::Join(_), SfuCommand::Leave(_)]),
        "in this order: {:?}",
        bench.sfu
    );
    bench.enter();
    assert_eq!(bench.core.stats(), Stats::default());
}

#[test]
fn a_session_that_is_away_is_shown_so_and_leaves_after_half_a_minute() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    bench.join(2, "bob");
    bench.core.handle_link(SessionNo(1), false, bench.at);
    bench.wait(Duration::from_secs(1));
    let told = bench.rosters(2).pop().expect("a roster");
    assert!(
        told.entries
            .iter()
            .any(|e| e.participant == alice && e.is_interrupted)
    );
    bench.wait(AWAY - Duration::from_millis(1_001));
    assert!(bench.leaves().is_empty());
    bench.wait(Duration::from_secs(1));
    assert_eq!(bench.leaves(), [alice]);
    assert_eq!(bench.ended(1), [EndReason::TimedOut]);
    let told = bench.rosters(2).pop().expect("a roster");
    assert_eq!(told.gone, [(alice, EndReason::TimedOut)]);
}

#[test]
fn who_comes_back_in_time_stays_and_is_told_everything_at_once() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    bench.join(2, "bob");
    bench.wait(Duration::from_secs(1));
    let slots = Event::Slots {
        participant: alice,
        slots: Vec::new(),
        wanted: Wanted { audio: 0, video: 2 },
    };
    bench.core.handle_link(SessionNo(1), false, bench.at);
    bench.core.handle_event(slots, bench.at);
    bench.wait(Duration::from_secs(20));
    bench.pushes.clear();
    bench.join(3, "carol");
    bench.wait(Duration::from_secs(2));
    assert!(!bench.rosters(2).is_empty());
    assert!(bench.rosters(1).is_empty(), "nothing piles up for her");
    bench.core.handle_link(SessionNo(1), true, bench.at);
    bench.gather();
    let told = bench.rosters(1);
    assert!(told[0].is_full);
    assert_eq!(told[0].entries.len(), 3);
    assert!(!told[0].entries[0].is_interrupted);
    let has_slots = bench
        .pushes
        .iter()
        .any(|(_, push)| matches!(push, Push::Slots { .. }));
    assert!(has_slots);
    bench.wait(AWAY);
    assert!(bench.leaves().is_empty());
}

#[test]
fn the_end_of_a_membership_is_the_end_of_the_part_at_once() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    let old = change("alice", Membership::Left, Role::Member, 9);
    bench.core.handle_member_change(&old, bench.at);
    bench.gather();
    assert!(bench.leaves().is_empty(), "she joined again since");
    let left = change("alice", Membership::Left, Role::Member, 11);
    bench.core.handle_member_change(&left, bench.at);
    bench.gather();
    assert_eq!(bench.leaves(), [alice]);
    assert_eq!(bench.ended(1), [EndReason::NotAMember]);
}

#[test]
fn a_role_that_changes_what_one_may_publish_is_told_to_them_and_the_sfu_and_another_to_them_alone()
{
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    let promoted = change("alice", Membership::Joined, Role::Moderator, 11);
    bench.core.handle_member_change(&promoted, bench.at);
    bench.gather();
    assert_eq!(bench.rights_set(), []);
    assert_eq!(bench.told_rights(1).len(), 1);
    assert!(
        bench.core.calls[&room("r")].participants[&alice]
            .powers
            .may_moderate
    );
    let guest = change("alice", Membership::Joined, Role::Guest, 12);
    bench.core.handle_member_change(&guest, bench.at);
    bench.gather();
    let only_sees = Rights {
        subscribe: true,
        ..Rights::default()
    };
    assert_eq!(bench.rights_set(), [(alice, only_sees)]);
    assert_eq!(bench.told_rights(1)[1..], [only_sees]);
    assert!(bench.leaves().is_empty(), "the part goes on");
}

#[test]
fn a_token_that_changes_what_one_may_do_changes_it_at_once() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    let no = SessionNo(1);
    bench
        .core
        .handle_identity(no, ServerRole::Creator, CallGrant::ALL);
    bench.gather();
    assert_eq!(bench.rights_set(), [], "it is the same");
    let grant = CallGrant {
        camera: false,
        ..CallGrant::ALL
    };
    for grant in [grant, CallGrant::ALL] {
        bench.core.handle_identity(no, ServerRole::Creator, grant);
    }
    bench.gather();
    let camera: Vec<_> = bench.rights_set().iter().map(|(_, r)| r.camera).collect();
    assert_eq!(camera, [false, true]);
    assert_eq!(bench.told_rights(1).len(), 2);
    assert!(bench.leaves().is_empty());
    bench
        .core
        .handle_rights_set(alice, Err(SfuError::Unavailable), bench.at);
    bench.gather();
    assert_eq!(
        bench.ended(1),
        [EndReason::Server],
        "nobody knows what holds"
    );
}

#[test]
fn who_was_away_is_told_what_they_may_when_they_are_back() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    bench.core.handle_link(SessionNo(1), false, bench.at);
    let guest = change("alice", Membership::Joined, Role::Guest, 12);
    bench.core.handle_member_change(&guest, bench.at);
    bench.gather();
    assert_eq!(bench.told_rights(1), []);
    bench.core.handle_link(SessionNo(1), true, bench.at);
    bench.gather();
    assert!(!bench.told_rights(1)[0].camera);
}

#[test]
fn tracks_without_the_right_are_not_shown_to_the_sfu() {
    let mut bench = Bench::new();
    bench.join_as(1, "alice", RoomKind::Broadcast, Role::Member);
    let mid = Mid::parse(b"0").expect("a mid");
    let track = Track {
        mid,
        source: Source::Camera,
        is_muted: false,
    };
    let offer = Command::Offer {
        room: room("r"),
        sdp: Redacted("v=0".to_owned()),
        tracks: vec![track],
    };
    let ticket = bench.command(1, "alice", offer);
    let Some(SfuCommand::Offer { offer, refused, .. }) = bench.sfu.pop() else {
        panic!("an offer");
    };
    assert!(offer.tracks.is_empty());
    assert_eq!(refused, [mid]);
    let answer = Answer {
        sdp: String::new(),
        tracks: Vec::new(),
        without_codec: Vec::new(),
    };
    let id = offer.participant;
    bench
        .core
        .handle_answer(ticket, id, refused, Ok(answer), bench.at);
    bench.gather();
    let reply = bench.replies.remove(&ticket);
    assert!(matches!(reply, Some(Ok(Reply::Answer { .. }))), "{reply:?}");
    bench.publish(id, 7, Source::Camera);
    let roster = bench.core.roster(&room("r"), bench.at);
    assert!(
        roster.entries[0].publications.is_empty(),
        "not even if the SFU says so"
    );
}

#[test]
fn offers_come_at_a_rate_and_publishers_in_a_number() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    let offer = |tracks| Command::Offer {
        room: room("r"),
        sdp: Redacted("v=0".to_owned()),
        tracks,
    };
    for _ in 0..CALL_OFFER_BURST {
        bench.command(1, "alice", offer(Vec::new()));
    }
    let ticket = bench.command(1, "alice", offer(Vec::new()));
    assert!(matches!(bench.refused(ticket), CallError::TooSoon(_)));

    for n in 0..u64::try_from(CALL_PUBLISHERS).expect("small") {
        let id = bench.join(100 + n, &format!("p{n}"));
        bench.publish(id, n, Source::Microphone);
    }
    bench.join(2, "bob");
    let track = Track {
        mid: Mid::parse(b"0").expect("a mid"),
        source: Source::Microphone,
        is_muted: false,
    };
    let ticket = bench.command(2, "bob", offer(vec![track]));
    assert!(matches!(bench.refused(ticket), CallError::Full { .. }));
    let listening = bench.command(2, "bob", offer(Vec::new()));
    assert!(!bench.replies.contains_key(&listening), "he may listen");
}

#[test]
fn a_full_call_takes_nobody_in_and_the_call_that_one_is_in_goes_on() {
    let mut bench = Bench::new();
    bench.core = CallCore::new(1, 2, TIMES);
    bench.join(1, "alice");
    bench.join(2, "bob");
    let ticket = bench.command(
        3,
        "carol",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    bench.core.handle_standing(
        ticket,
        Ok(Some(standing(RoomKind::Group, Role::Member, 1))),
        bench.at,
    );
    bench.gather();
    let error = bench.refused(ticket);
    assert!(
        matches!(error, CallError::Full { limit: 2, .. }),
        "{error:?}"
    );
}

#[test]
fn wishes_for_what_is_not_there_are_left_out() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    bench.join(2, "bob");
    bench.publish(alice, 7, Source::Camera);
    let wish = |id| Wish {
        publication: PublicationId(id),
        width: 1,
        height: 1,
        is_paused: false,
    };
    let prefer = Command::Prefer {
        room: room("r"),
        wishes: vec![wish(8), wish(7)],
        hears: Hears::Everybody,
    };
    bench.command(2, "bob", prefer);
    let Some(SfuCommand::Prefer { prefer, .. }) = bench.sfu.pop() else {
        panic!("wishes");
    };
    assert_eq!(prefer.wishes, [wish(7)]);
}

#[test]
fn mutes_come_at_a_rate_of_their_own() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    bench.publish(alice, 1, Source::Microphone);
    let mute = Command::Mute {
        room: room("r"),
        publication: PublicationId(1),
        is_muted: true,
    };
    for _ in 0..CALL_MUTE_BURST {
        bench.command(1, "alice", mute.clone());
    }
    bench.sfu.clear();
    let ticket = bench.command(1, "alice", mute.clone());
    assert!(matches!(bench.refused(ticket), CallError::TooSoon(_)));
    assert!(bench.sfu.is_empty(), "nobody else pays for it");
    let wishes = Command::Prefer {
        room: room("r"),
        wishes: Vec::new(),
        hears: Hears::Everybody,
    };
    bench.command(1, "alice", wishes);
    assert!(matches!(bench.sfu[..], [SfuCommand::Prefer { .. }]));
    bench.pass(Duration::from_secs(1) / CALL_MUTES_PER_S);
    bench.sfu.clear();
    bench.command(1, "alice", mute);
    assert!(matches!(bench.sfu[..], [SfuCommand::Mute { .. }]));
}

#[test]
fn who_leaves_and_joins_again_has_no_more_of_a_rate_than_before() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    let wishes = Command::Prefer {
        room: room("r"),
        wishes: Vec::new(),
        hears: Hears::Everybody,
    };
    for _ in 0..CALL_PREFER_BURST {
        bench.command(1, "alice", wishes.clone());
    }
    bench.command(1, "alice", Command::Leave { room: room("r") });
    bench.join(1, "alice");
    let ticket = bench.command(1, "alice", wishes.clone());
    assert!(matches!(bench.refused(ticket), CallError::TooSoon(_)));
    bench.join(2, "bob");
    bench.sfu.clear();
    bench.command(2, "bob", wishes);
    assert!(matches!(bench.sfu[..], [SfuCommand::Prefer { .. }]));
    bench.core.handle_session_ended(SessionNo(1), bench.at);
    assert_eq!(bench.core.rates.len(), 1, "nothing is kept of who is gone");
}

#[test]
fn a_moderator_mutes_and_removes_below_and_never_unmutes() {
    let mut bench = Bench::new();
    let group = RoomKind::Group;
    let owner = bench.join_as(1, "owner", group, Role::Owner);
    let moderator = bench.join_as(2, "moderator", group, Role::Moderator);
    let member = bench.join_as(3, "member", group, Role::Member);
    bench.publish(owner, 1, Source::Microphone);
    bench.publish(member, 3, Source::Microphone);
    let mute = |id, is_muted| Command::Mute {
        room: room("r"),
        publication: PublicationId(id),
        is_muted,
    };
    for (session, name, id, is_muted, may) in [
        (3, "member", 1, true, false),
        (3, "member", 3, true, true),
        (3, "member", 3, false, true),
        (2, "moderator", 3, true, true),
        (2, "moderator", 3, false, false),
        (2, "moderator", 1, true, false),
    ] {
        bench.sfu.clear();
        let ticket = bench.command(session, name, mute(id, is_muted));
        let passed = matches!(bench.sfu[..], [SfuCommand::Mute { .. }]);
        assert_eq!(passed, may, "{name} {id} {is_muted}");
        assert_eq!(bench.replies.contains_key(&ticket), !may);
    }
    bench.sfu.clear();
    let ticket = bench.command(2, "moderator", mute(99, true));
    assert_eq!(bench.refused(ticket), CallError::PublicationNotFound);

    let remove = |participant| Command::Remove {
        room: room("r"),
        participant,
    };
    for (session, target) in [(3, moderator), (2, owner), (2, moderator)] {
        let ticket = bench.command(session, "x", remove(target));
        assert!(matches!(bench.refused(ticket), CallError::Forbidden(_)));
    }
    let ticket = bench.command(2, "moderator", remove(ParticipantId(999)));
    assert_eq!(bench.refused(ticket), CallError::ParticipantNotFound);
    let ticket = bench.command(2, "moderator", remove(member));
    bench.done(ticket);
    assert_eq!(bench.leaves(), [member]);
    assert_eq!(bench.ended(3), [EndReason::Removed]);
    let again = bench.command(
        3,
        "member",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    assert!(matches!(bench.refused(again), CallError::TooSoon(_)));
    bench.wait(CALL_REMOVED);
    bench.join(3, "member");
}

fn gone(participant: ParticipantId, media: Option<MediaSummary>) -> Event {
    Event::Gone {
        room: room("r"),
        participant,
        reason: GoneReason::Left,
        trace: None,
        media: media.map(Box::new),
    }
}

fn noted_left(bench: &mut Bench) -> Vec<Left> {
    let notes = std::mem::take(&mut bench.notes).into_iter();
    let left = notes.filter_map(|noted| match noted {
        Noted::Left(left) => Some(*left),
        Noted::Joined { .. } | Noted::Connected(_) => None,
    });
    left.collect()
}

#[test]
fn comings_and_goings_are_noted_once_each_with_how_media_was() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    assert_eq!(
        bench.notes,
        [Noted::Joined {
            room: room("r"),
            participant: alice,
            way: Way::Socket
        }]
    );
    bench.wait(Duration::from_millis(700));
    let connected = |connectivity| Event::Connectivity {
        room: room("r"),
        participant: alice,
        connectivity,
    };
    for connectivity in [
        Connectivity::Connected,
        Connectivity::Interrupted,
        Connectivity::Connected,
    ] {
        bench.core.handle_event(connected(connectivity), bench.at);
    }
    bench.gather();
    let took = Noted::Connected(Duration::from_millis(700));
    assert_eq!(bench.notes[1..], [took]);
    bench.wait(Duration::from_secs(9));
    let ticket = bench.command(1, "alice", Command::Leave { room: room("r") });
    bench.done(ticket);
    assert_eq!(noted_left(&mut bench), [], "the SFU has to say how it was");
    let media = MediaSummary {
        freezes: 2,
        ..MediaSummary::default()
    };
    bench.core.handle_event(gone(alice, Some(media)), bench.at);
    bench.core.handle_event(gone(alice, Some(media)), bench.at);
    bench.gather();
    let [left] = noted_left(&mut bench).try_into().expect("once");
    assert_eq!((left.participant, left.reason), (alice, EndReason::Left));
    assert_eq!(left.lasted, Duration::from_millis(9_700));
    assert_eq!(left.media, Some(Box::new(media)));
}

#[test]
fn who_leaves_is_noted_also_when_the_sfu_says_nothing_of_it() {
    let mut bench = Bench::new();
    let [alice, bob, carol] =
        [(1, "alice"), (2, "bob"), (3, "carol")].map(|(session, name)| bench.join(session, name));
    for session in [1, 2] {
        bench
            .core
            .handle_session_ended(SessionNo(session), bench.at);
    }
    bench.core.handle_leave_taken(alice, false);
    bench.core.handle_leave_taken(bob, true);
    bench.gather();
    let left = noted_left(&mut bench);
    assert_eq!(left.len(), 1, "the SFU may still say how bob's was");
    assert_eq!((left[0].participant, &left[0].media), (alice, &None));
    bench.core.handle_events_lost(bench.at);
    bench.gather();
    let [left] = noted_left(&mut bench).try_into().expect("one");
    assert_eq!(left.participant, bob);
    assert!(bench.core.leaving.is_empty());
    // Whom the SFU gives up by itself.
    bench.core.handle_event(gone(carol, None), bench.at);
    bench.gather();
    let [left] = noted_left(&mut bench).try_into().expect("one");
    assert_eq!((left.participant, left.reason), (carol, EndReason::Server));
}

#[test]
fn what_the_sfu_no_longer_has_is_gone_here_too() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    let bob = bench.join(2, "bob");
    let gone = Event::Gone {
        room: room("r"),
        participant: alice,
        reason: GoneReason::HandshakeFailed,
        trace: None,
        media: None,
    };
    bench.core.handle_event(gone.clone(), bench.at);
    bench.core.handle_event(gone, bench.at);
    bench.gather();
    assert_eq!(bench.ended(1), [EndReason::Failed]);
    assert!(bench.leaves().is_empty(), "it left already");
    let ticket = bench.command(
        2,
        "bob",
        Command::Prefer {
            room: room("r"),
            wishes: Vec::new(),
            hears: Hears::Everybody,
        },
    );
    bench
        .core
        .handle_done(ticket, bob, Err(SfuError::NoSuchParticipant), bench.at);
    bench.gather();
    assert_eq!(bench.refused(ticket), CallError::NotInCall);
    assert_eq!(bench.ended(2), [EndReason::Server]);
    assert_eq!(bench.core.stats(), Stats::default());
}

#[test]
fn a_join_of_which_nothing_is_known_is_taken_back() {
    let mut bench = Bench::new();
    let ticket = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    bench.core.handle_standing(
        ticket,
        Ok(Some(standing(RoomKind::Group, Role::Member, 1))),
        bench.at,
    );
    bench.gather();
    let Some(SfuCommand::Join(join)) = bench.sfu.pop() else {
        panic!("a join");
    };
    bench
        .core
        .handle_entered(join.participant, Err(SfuError::Unavailable), bench.at);
    bench.gather();
    assert_eq!(bench.refused(ticket), CallError::Unavailable);
    assert_eq!(bench.leaves(), [join.participant]);
    assert_eq!(bench.core.stats(), Stats::default());
}

#[test]
fn followers_hear_of_a_call_at_once_and_then_once_a_second() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    assert_eq!(bench.notices.len(), 1);
    let (summary, except) = bench.notices[0].clone();
    assert_eq!((summary.count, except), (1, vec![SessionNo(1)]));
    for n in 2..=9 {
        bench.join(n, &format!("p{n}"));
    }
    assert_eq!(bench.notices.len(), 1);
    bench.wait(CALL_NOTICE_INTERVAL);
    assert_eq!(bench.notices.len(), 2);
    assert_eq!(bench.notices[1].0.count, 9);
    for n in 1..=9 {
        bench.command(n, "x", Command::Leave { room: room("r") });
    }
    bench.wait(CALL_NOTICE_INTERVAL);
    let (over, _) = bench.notices.pop().expect("its end");
    assert_eq!((over.count, over.started), (0, UnixMs(0)));
    assert!(over.version > bench.notices[1].0.version);
    let begins_again = bench.core.first_version(
        &room("r"),
        At {
            wall: UnixMs(0),
            ..bench.at
        },
    );
    assert!(
        begins_again > over.version,
        "also with a clock that went back"
    );
    bench.wait(10 * CALL_NOTICE_INTERVAL);
    assert!(bench.core.notices.is_empty() && bench.core.timers.is_empty());
}

#[test]
fn a_burst_of_changes_is_one_roster() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    bench.wait(Duration::from_secs(1));
    bench.pushes.clear();
    for id in 0..50 {
        bench.publish(alice, id, Source::Camera);
    }
    bench.wait(Duration::from_secs(1));
    let rosters = bench.rosters(1);
    assert_eq!(rosters.len(), 2, "at once, and the rest together");
    assert_eq!(rosters[1].entries[0].publications.len(), 50);
}

#[test]
fn lost_events_make_rosters_whole() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    bench.wait(Duration::from_secs(1));
    bench.pushes.clear();
    bench.core.handle_events_lost(bench.at);
    bench.wait(CALL_ROSTER_INTERVAL);
    assert!(bench.rosters(1)[0].is_full);
}

#[test]
fn a_quality_that_is_good_again_is_named_for_a_while() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    bench.join(2, "bob");
    let quality = |quality| Event::Quality {
        room: room("r"),
        participant: alice,
        quality,
    };
    bench.core.handle_event(quality(Quality::Poor), bench.at);
    bench.gather();
    bench.core.handle_event(quality(Quality::Good), bench.at);
    bench.wait(CALL_QUALITY_INTERVAL);
    let named: Vec<_> = bench
        .signals
        .iter()
        .map(|(_, signal)| match signal {
            effect::Signal::Quality { qualities, .. } => qualities.clone(),
            effect::Signal::Speakers { .. } => panic!("nobody speaks"),
        })
        .collect();
    assert_eq!(
        named,
        [vec![(alice, Quality::Poor)], vec![(alice, Quality::Good)]]
    );
}

#[test]
fn slots_name_whose_publication_they_carry() {
    let mut bench = Bench::new();
    let alice = bench.join(1, "alice");
    let bob = bench.join(2, "bob");
    bench.publish(alice, 7, Source::Camera);
    bench.pushes.clear();
    let slot = Slot {
        mid: Mid::parse(b"3").expect("a mid"),
        publication: Some(PublicationId(7)),
        layer: Some(0),
        limited_by: None,
    };
    let event = Event::Slots {
        participant: bob,
        slots: vec![slot],
        wanted: Wanted::default(),
    };
    bench.core.handle_event(event, bench.at);
    bench.gather();
    let [(to, Push::Slots { slots, .. })] = &bench.pushes[..] else {
        panic!("slots: {:?}", bench.pushes);
    };
    assert_eq!(
        (&to[..], &slots[..]),
        (&[SessionNo(2)][..], &[(slot, Some(alice))][..])
    );
}

#[test]
fn commands_for_a_call_that_one_is_not_in_are_refused() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    let room = room("r");
    let commands = [
        Command::Offer {
            room: room.clone(),
            sdp: Redacted("v=0".to_owned()),
            tracks: Vec::new(),
        },
        Command::Candidate { room: room.clone() },
        Command::Prefer {
            room: room.clone(),
            wishes: Vec::new(),
            hears: Hears::Everybody,
        },
        Command::Mute {
            room: room.clone(),
            publication: PublicationId(1),
            is_muted: true,
        },
        Command::Remove {
            room: room.clone(),
            participant: ParticipantId(1),
        },
        Command::Ring {
            room: room.clone(),
            users: vec![user("bob")],
        },
    ];
    for command in commands {
        let ticket = bench.command(2, "eve", command.clone());
        assert_eq!(bench.refused(ticket), CallError::NotInCall, "{command:?}");
    }
    let ticket = bench.command(2, "eve", Command::Leave { room });
    bench.done(ticket);
}

#[test]
fn who_was_away_while_they_joined_learns_of_it_without_the_reply() {
    let mut bench = Bench::new();
    let ticket = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    let answer = Ok(Some(standing(RoomKind::Group, Role::Member, 1)));
    bench.core.handle_standing(ticket, answer, bench.at);
    bench.core.handle_link(SessionNo(1), false, bench.at);
    bench.core.handle_link(SessionNo(1), true, bench.at);
    bench.gather();
    bench.enter();
    assert!(bench.rosters(1)[0].is_full);
}

#[test]
fn who_asks_for_a_call_that_is_long_over_is_told_something_newer_than_all_of_it() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    bench.wait(CALL_NOTICE_INTERVAL);
    let went_on = bench.core.roster(&room("r"), bench.at).summary;
    bench.command(1, "alice", Command::Leave { room: room("r") });
    bench.wait(10 * CALL_NOTICE_INTERVAL);
    assert!(bench.core.notices.is_empty(), "nothing is kept of it");
    let none = bench.core.roster(&room("r"), bench.at);
    assert!(none.is_full && none.entries.is_empty());
    assert!(none.summary.version > went_on.version);
    bench.join(2, "bob");
    let next = bench.core.roster(&room("r"), bench.at).summary;
    assert!(
        next.version > none.summary.version,
        "in the same millisecond"
    );
}
