//! Rings.

use super::*;
use kaiwa_common::error::Refusal;

fn ring(users: &[&str]) -> Command {
    Command::Ring {
        room: room("r"),
        users: users.iter().map(|name| user(name)).collect(),
    }
}

/// Alice is in the call and rings these.
fn ringing(bench: &mut Bench, users: &[&str]) -> Ticket {
    let ticket = bench.command(1, "alice", ring(users));
    bench.core.handle_members(ticket, Ok(()), bench.at);
    bench.gather();
    ticket
}

/// What each push about a ring said: to whom, and its outcome; none while it rings.
fn told(bench: &mut Bench) -> Vec<(String, Option<RingOutcome>)> {
    let outcome = |push: &Push| match push {
        Push::Ringing(ring) => match &ring.state {
            RingState::Rings(_) => None,
            RingState::Over(outcome, _) => Some(*outcome),
        },
        Push::Roster(_) | Push::Slots { .. } | Push::Rights { .. } | Push::Ended { .. } => {
            panic!("not a ring")
        }
    };
    let users = std::mem::take(&mut bench.user_pushes);
    let mut told: Vec<_> = users
        .iter()
        .map(|(user, _, push)| (user.to_string(), outcome(push)))
        .collect();
    for (to, push) in std::mem::take(&mut bench.pushes) {
        if matches!(push, Push::Ringing(_)) {
            told.push((format!("session {}", to[0].0), outcome(&push)));
        }
    }
    told
}

fn said(who: &str, outcome: Option<RingOutcome>) -> (String, Option<RingOutcome>) {
    (who.to_owned(), outcome)
}

#[test]
fn a_ring_is_answered_by_joining() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    let ticket = ringing(&mut bench, &["bob"]);
    bench.done(ticket);
    assert_eq!(told(&mut bench), [said("bob", None)]);
    assert_eq!(
        bench.core.ringing(&user("bob")).len(),
        1,
        "also for a session that begins now"
    );
    bench.join(2, "bob");
    let except = bench.user_pushes[0].1;
    assert_eq!(
        except,
        Some(SessionNo(2)),
        "where he answered it need not stop"
    );
    let answered = Some(RingOutcome::Answered);
    assert_eq!(
        told(&mut bench),
        [said("bob", answered), said("session 1", answered)]
    );
    assert!(bench.core.rings.is_empty());
}

#[test]
fn a_ring_is_declined_on_all_devices_and_the_caller_hears_it() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    ringing(&mut bench, &["bob"]);
    told(&mut bench);
    let decline = Command::Decline { room: room("r") };
    let ticket = bench.command(7, "bob", decline.clone());
    bench.done(ticket);
    let declined = Some(RingOutcome::Declined);
    assert_eq!(
        told(&mut bench),
        [said("bob", declined), said("session 1", declined)]
    );
    let again = bench.command(7, "bob", decline);
    bench.done(again);
    assert_eq!(told(&mut bench), [], "nothing rings");
    let soon = bench.command(1, "alice", ring(&["carol", "bob"]));
    let refused = bench.refused(soon);
    assert!(
        matches!(&refused, CallError::RungLately { user, .. } if user.as_str() == "bob"),
        "{refused}"
    );
    let details = Refusal::from(refused).details;
    assert_eq!(details, [("user", "bob".to_owned())]);
    bench.wait(CALL_RING_AGAIN);
    let later = ringing(&mut bench, &["bob"]);
    bench.done(later);
}

#[test]
fn a_ring_lasts_as_long_as_is_set() {
    let mut bench = Bench::new();
    let ring = Duration::from_secs(7);
    bench.core = CallCore::new(1, 1_000, CallTimes { ring, ..TIMES });
    bench.join(1, "alice");
    ringing(&mut bench, &["bob"]);
    let began = bench.at.wall;
    let rings = told(&mut bench);
    assert_eq!(rings, [said("bob", None)]);
    bench.wait(ring - Duration::from_millis(1));
    assert_eq!(told(&mut bench), []);
    bench.wait(Duration::from_millis(1));
    let timed_out = Some(RingOutcome::TimedOut);
    assert_eq!(told(&mut bench).first(), Some(&said("bob", timed_out)));
    assert_eq!(bench.at.wall, began.plus(ring));
}

#[test]
fn a_ring_ends_by_itself_with_its_caller_and_with_the_membership() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    ringing(&mut bench, &["bob"]);
    told(&mut bench);
    bench.wait(CALL_RING);
    let timed_out = Some(RingOutcome::TimedOut);
    assert_eq!(
        told(&mut bench),
        [said("bob", timed_out), said("session 1", timed_out)]
    );
    bench.wait(CALL_RING_AGAIN);

    ringing(&mut bench, &["bob", "carol"]);
    told(&mut bench);
    let left = change("carol", Membership::Left, Role::Member, 20);
    bench.core.handle_member_change(&left, bench.at);
    bench.gather();
    let cancelled = Some(RingOutcome::Cancelled);
    assert_eq!(
        told(&mut bench),
        [said("carol", cancelled), said("session 1", cancelled)]
    );
    bench.command(1, "alice", Command::Leave { room: room("r") });
    assert_eq!(
        told(&mut bench),
        [said("bob", cancelled), said("session 1", cancelled)]
    );
    assert!(bench.core.rings.is_empty());
}

#[test]
fn nobody_is_rung_twice_or_who_is_in_the_call_or_outside_the_room() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    bench.join(2, "bob");
    for who in ["bob", "alice"] {
        let ticket = bench.command(1, "alice", ring(&[who]));
        assert_eq!(bench.refused(ticket), CallError::AlreadyCalled(user(who)));
    }
    ringing(&mut bench, &["carol"]);
    let ticket = bench.command(2, "bob", ring(&["dave", "carol"]));
    assert_eq!(
        bench.refused(ticket),
        CallError::AlreadyCalled(user("carol"))
    );
    let ticket = bench.command(1, "alice", ring(&["eve"]));
    let outside = CallError::NotRingable(user("eve"));
    bench
        .core
        .handle_members(ticket, Err(outside.clone()), bench.at);
    bench.gather();
    assert_eq!(bench.refused(ticket), outside);
    let ticket = bench.command(1, "alice", ring(&[]));
    assert!(matches!(bench.refused(ticket), CallError::Invalid { .. }));
}

#[test]
fn who_joins_while_chat_is_asked_is_not_rung() {
    let mut bench = Bench::new();
    bench.join(1, "alice");
    let ticket = bench.command(1, "alice", ring(&["bob"]));
    bench.join(2, "bob");
    bench.core.handle_members(ticket, Ok(()), bench.at);
    bench.gather();
    assert_eq!(bench.refused(ticket), CallError::AlreadyCalled(user("bob")));
}

#[test]
fn in_a_direct_room_nobody_has_to_be_named() {
    let mut bench = Bench::new();
    let ticket = bench.command(
        1,
        "alice",
        Command::Join {
            room: room("r"),
            video_codecs: Vec::new(),
        },
    );
    let standing = Standing {
        peer: Some(user("bob")),
        ..standing(RoomKind::Direct, Role::Member, 1)
    };
    bench
        .core
        .handle_standing(ticket, Ok(Some(standing)), bench.at);
    bench.gather();
    bench.enter();
    let ticket = ringing(&mut bench, &[]);
    bench.done(ticket);
    assert_eq!(told(&mut bench), [said("bob", None)]);
}

#[test]
fn who_may_not_speak_rings_nobody_and_nobody_rings_without_end() {
    let mut bench = Bench::new();
    bench.join_as(1, "guest", RoomKind::Group, Role::Guest);
    let ticket = bench.command(1, "guest", ring(&["bob"]));
    assert!(matches!(bench.refused(ticket), CallError::Forbidden(_)));
    bench.join(2, "alice");
    let mut rung = 0;
    let refused = loop {
        let names: Vec<String> = (0..32).map(|n| format!("u{}", rung + n)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let ticket = bench.command(2, "alice", ring(&names));
        if bench.replies.contains_key(&ticket) {
            break bench.refused(ticket);
        }
        bench.core.handle_members(ticket, Ok(()), bench.at);
        bench.gather();
        bench.done(ticket);
        rung += 32;
    };
    assert_eq!(rung, 64);
    assert!(matches!(refused, CallError::TooSoon(_)));
}
