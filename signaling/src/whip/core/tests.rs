//! Sessions, their bounds, and what requests to them mean.

use super::*;
use kaiwa_sfu::wire::sdp::{Password, Ufrag};

const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:EsAw\r\n\
    a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\n";

struct World {
    table: Table,
    now: Instant,
    next: u64,
}

impl World {
    fn new() -> Self {
        Self {
            table: Table::default(),
            now: Instant::now(),
            next: 1,
        }
    }

    fn opening(&mut self, user: &str, room: &str) -> Opening {
        self.next += 1;
        Opening {
            id: SessionId::parse(&format!("s_{}", self.next)).expect("an id"),
            no: SessionNo(self.next),
            user: UserId::parse(user).expect("an id"),
            room: RoomId::parse(room).expect("an id"),
            way: Way::In,
            until: self.now + Duration::from_secs(60),
        }
    }

    /// A session that has begun, and its entity tag.
    fn begun(&mut self) -> (Opening, String) {
        let opening = self.opening("alice", "r_1");
        self.table.open(opening.clone(), self.now).expect("a place");
        let offered = Offered::read(Way::In, OFFER).expect("an offer");
        let etag = self
            .table
            .begin(&opening.id, offered, Vec::new())
            .expect("it is there");
        (opening, etag)
    }

    fn change(
        &mut self,
        of: &Opening,
        tag: Option<&str>,
        ufrag: Option<&str>,
    ) -> Result<Verdict, NotChanged> {
        let precondition = tag.map(|tag| match tag {
            "*" => Precondition::Any,
            tag => Precondition::Tags(vec![tag.to_owned()]),
        });
        let credentials = ufrag.map(credentials);
        let change = Change {
            precondition,
            credentials,
        };
        self.table.change(named(of), change, self.now)
    }
}

fn credentials(ufrag: &str) -> IceCredentials {
    IceCredentials {
        ufrag: Ufrag::parse(ufrag).expect("four"),
        password: Password::parse("bP+XJMM09aR8AiX1jdukzR6Y").expect("24"),
    }
}

fn named(of: &Opening) -> Named<'_> {
    Named {
        id: &of.id,
        room: &of.room,
        way: of.way,
        user: &of.user,
    }
}

fn restart(verdict: Result<Verdict, NotChanged>) -> Restart {
    match verdict {
        Ok(Verdict::Restart(restart)) => *restart,
        other => panic!("no restart: {other:?}"),
    }
}

#[test]
fn a_session_is_found_by_its_owner_at_its_url_alone_and_not_before_it_has_begun() {
    let mut world = World::new();
    let opening = world.opening("alice", "r_1");
    world
        .table
        .open(opening.clone(), world.now)
        .expect("a place");
    assert_eq!(world.table.find(named(&opening)), Err(NotChanged::Unknown));
    let (own, _) = world.begun();
    assert_eq!(world.table.find(named(&own)), Ok(own.no));
    let user = UserId::parse("mallory").expect("an id");
    let room = RoomId::parse("r_2").expect("an id");
    let id = SessionId::parse("s_x").expect("an id");
    let of = named(&own);
    for other in [
        Named { user: &user, ..of },
        Named { room: &room, ..of },
        Named {
            way: Way::Out,
            ..of
        },
        Named { id: &id, ..of },
    ] {
        assert_eq!(world.table.find(other), Err(NotChanged::Unknown));
    }
    assert!(world.table.remove(own.no));
    assert!(!world.table.remove(own.no), "once");
    assert_eq!(world.table.find(named(&own)), Err(NotChanged::Unknown));
}

#[test]
fn what_a_patch_means_is_said_by_its_tag_and_its_credentials() {
    let mut world = World::new();
    let (own, etag) = world.begun();
    assert_eq!(
        world.change(&own, None, None),
        Err(NotChanged::NoPrecondition)
    );
    assert_eq!(
        world.change(&own, Some("\"other\""), None),
        Err(NotChanged::OtherSession)
    );
    let trickled = Ok(Verdict::Trickled);
    assert_eq!(world.change(&own, Some(&etag), None), trickled);
    assert_eq!(world.change(&own, Some(&etag), Some("EsAw")), trickled);
    assert_eq!(world.change(&own, Some("*"), Some("EsAw")), trickled);
    let again = restart(world.change(&own, Some("*"), Some("ysXw")));
    let new = world.table.restarted(again).expect("it is there");
    assert_ne!(new, etag);
    assert_eq!(
        world.change(&own, Some(&etag), None),
        Err(NotChanged::OtherSession)
    );
    assert_eq!(world.change(&own, Some(&new), Some("ysXw")), trickled);
    assert_eq!(
        restart(world.change(&own, Some(&new), Some("EsAw"))).generation,
        2
    );
}

#[test]
fn of_restarts_at_once_the_last_one_begun_is_in_force() {
    let mut world = World::new();
    let (own, _) = world.begun();
    let first = restart(world.change(&own, Some("*"), Some("one1")));
    let second = restart(world.change(&own, Some("*"), Some("two2")));
    let second = world.table.restarted(second).expect("it is there");
    let first = world.table.restarted(first).expect("it is there");
    assert_eq!(
        world.change(&own, Some(&first), None),
        Err(NotChanged::OtherSession)
    );
    assert_eq!(
        world.change(&own, Some(&second), Some("two2")),
        Ok(Verdict::Trickled)
    );
}

#[test]
fn sessions_are_bounded_by_person_room_node_and_rate_and_places_are_given_back() {
    let mut world = World::new();
    let mut own = Vec::new();
    for _ in 0..WHIP_SESSIONS_EACH {
        let opening = world.opening("alice", "r_1");
        world
            .table
            .open(opening.clone(), world.now)
            .expect("a place");
        own.push(opening);
    }
    let more = world.opening("alice", "r_1");
    assert_eq!(
        world.table.open(more.clone(), world.now),
        Err(NoPlace::Person)
    );
    world.table.remove(own[0].no);
    world
        .table
        .open(more, world.now)
        .expect("its place is free");
    world.table.remove(own[1].no);
    for _ in 0..WHIP_BEGIN_BURST - WHIP_SESSIONS_EACH - 1 {
        let opening = world.opening("alice", "r_1");
        world
            .table
            .open(opening.clone(), world.now)
            .expect("a place");
        world.table.remove(opening.no);
    }
    let soon = world.opening("alice", "r_1");
    assert!(matches!(
        world.table.open(soon, world.now),
        Err(NoPlace::TooSoon(_))
    ));
    let here = world.table.len();
    for n in here..WHIP_SESSIONS_ROOM as usize {
        let opening = world.opening(&format!("user-{n}"), "r_1");
        world.table.open(opening, world.now).expect("a place");
    }
    let full = world.opening("bob", "r_1");
    assert_eq!(world.table.open(full, world.now), Err(NoPlace::Room));
    for n in 0..WHIP_SESSIONS - WHIP_SESSIONS_ROOM as usize {
        let opening = world.opening(&format!("user-{n}"), &format!("r_{}", n / 100 + 2));
        world.table.open(opening, world.now).expect("a place");
    }
    let full = world.opening("bob", "r_x");
    assert_eq!(world.table.open(full, world.now), Err(NoPlace::Node));
    for no in world.table.all() {
        world.table.remove(no);
    }
    assert!(world.table.is_empty() && world.table.poll_timeout().is_none());
    assert!(world.table.people.is_empty() && world.table.rooms.is_empty());
}

#[test]
fn people_whose_rate_is_remembered_are_bounded() {
    let mut world = World::new();
    for n in 0..WHIP_REMEMBERED {
        let opening = world.opening(&format!("user-{n}"), "r_1");
        world
            .table
            .open(opening.clone(), world.now)
            .expect("a place");
        world.table.remove(opening.no);
    }
    let one_more = world.opening("bob", "r_1");
    assert_eq!(
        world.table.open(one_more.clone(), world.now),
        Err(NoPlace::Node)
    );
    world.now += Duration::from_secs(2);
    world
        .table
        .open(one_more, world.now)
        .expect("the others owe nothing any more");
    assert_eq!(world.table.begins.len(), 1);
}

#[test]
fn a_session_ends_with_its_token_unless_a_later_one_was_shown() {
    let mut world = World::new();
    let (own, _) = world.begun();
    assert_eq!(world.table.poll_timeout(), Some(own.until));
    assert!(!world.table.renew(own.no, own.until));
    let later = own.until + Duration::from_secs(60);
    assert!(world.table.renew(own.no, later));
    assert!(world.table.ended(own.until).is_empty());
    assert_eq!(world.table.ended(later), [own.no]);
}

#[test]
fn requests_to_one_session_are_bounded() {
    let mut world = World::new();
    let (own, _) = world.begun();
    for _ in 0..WHIP_CHANGE_BURST {
        assert_eq!(world.change(&own, Some("*"), None), Ok(Verdict::Trickled));
    }
    let soon = world.change(&own, Some("*"), None);
    assert!(matches!(soon, Err(NotChanged::TooSoon(_))));
    assert_eq!(world.table.find(named(&own)), Ok(own.no), "it can be ended");
}
