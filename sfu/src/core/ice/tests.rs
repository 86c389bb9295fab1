mod simulation;

use super::*;
use std::collections::BTreeSet;

fn credentials(number: u8) -> Credentials {
    Credentials::from_random(&[number; 24])
}

/// A responder with its clock, and checks that are all different.
struct Bench {
    now: Instant,
    ice: IceLite<u8>,
    transactions: u32,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            now,
            ice: IceLite::new(credentials(1), now),
            transactions: 0,
        }
    }

    fn check_with(&mut self, generation: u8, nominates: bool) -> Check {
        self.transactions += 1;
        let mut transaction = [0; 12];
        transaction[..4].copy_from_slice(&self.transactions.to_be_bytes());
        Check {
            transaction,
            ufrag: credentials(generation).ufrag(),
            role: Some(PeerRole::Controlling),
            nominates,
        }
    }

    fn check(&mut self, from: u8) -> Verdict {
        let check = self.check_with(1, false);
        self.ice.handle_check(self.now, from, &check)
    }

    fn nominate(&mut self, from: u8) -> Verdict {
        let check = self.check_with(1, true);
        self.ice.handle_check(self.now, from, &check)
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn events(&mut self) -> Vec<IceEvent<u8>> {
        std::iter::from_fn(|| self.ice.poll_event(self.now)).collect()
    }
}

#[test]
fn the_first_valid_address_is_used_until_one_is_nominated() {
    let mut bench = Bench::new();
    assert_eq!(bench.ice.selected(), None);
    assert_eq!(bench.check(1), Verdict::Respond);
    bench.check(2);
    assert_eq!(bench.events(), [IceEvent::Selected(1)]);
    bench.nominate(2);
    assert_eq!(bench.events(), [IceEvent::Selected(2)]);
    bench.check(1);
    assert_eq!(bench.ice.selected(), Some(2));
    assert!(bench.ice.is_valid(1) && !bench.ice.is_valid(3));
}

#[test]
fn a_later_nomination_wins_as_when_an_address_changes() {
    let mut bench = Bench::new();
    bench.nominate(1);
    bench.nominate(9);
    let selected = [IceEvent::Selected(1), IceEvent::Selected(9)];
    assert_eq!(bench.events(), selected);
}

#[test]
fn a_check_with_an_unknown_ufrag_is_ignored() {
    let mut bench = Bench::new();
    let check = bench.check_with(2, true);
    assert!(bench.ice.password(check.ufrag).is_none());
    let verdict = bench.ice.handle_check(bench.now, 1, &check);
    assert_eq!((verdict, bench.ice.selected()), (Verdict::Ignore, None));
}

#[test]
fn a_peer_that_takes_itself_for_controlled_is_told_to_change() {
    let mut bench = Bench::new();
    let mut check = bench.check_with(1, true);
    check.role = Some(PeerRole::Controlled);
    let verdict = bench.ice.handle_check(bench.now, 1, &check);
    assert_eq!(verdict, Verdict::Refuse(Refusal::RoleConflict));
    assert_eq!(Refusal::RoleConflict.code(), 487);
    assert!(!bench.ice.is_valid(1));
    // The same transaction, repaired.
    check.role = Some(PeerRole::Controlling);
    let verdict = bench.ice.handle_check(bench.now, 1, &check);
    assert_eq!(verdict, Verdict::Respond);
    check.role = None;
    check.transaction = [7; 12];
    let verdict = bench.ice.handle_check(bench.now, 1, &check);
    assert_eq!(verdict, Verdict::Respond);
}

#[test]
fn a_check_that_was_overheard_turns_nothing_elsewhere_and_keeps_nothing_alive() {
    let mut bench = Bench::new();
    let check = bench.check_with(1, true);
    bench.ice.handle_check(bench.now, 1, &check);
    bench.events();
    bench.wait(6);
    // A retransmission is answered; from elsewhere it is not.
    let again = bench.ice.handle_check(bench.now, 1, &check);
    let elsewhere = bench.ice.handle_check(bench.now, 66, &check);
    assert_eq!((again, elsewhere), (Verdict::Respond, Verdict::Ignore));
    assert_eq!(bench.ice.selected(), Some(1));
    bench.wait(1);
    assert_eq!(bench.events(), [IceEvent::Interrupted]);
}

#[test]
fn a_nominated_address_that_is_silent_is_given_up_for_one_that_is_heard() {
    let mut bench = Bench::new();
    bench.nominate(1);
    bench.nominate(2);
    bench.wait(6);
    bench.check(1);
    assert_eq!(bench.ice.selected(), Some(2));
    bench.wait(1);
    bench.check(1);
    assert_eq!(bench.ice.selected(), Some(1));
}

#[test]
fn silence_interrupts_and_then_expires() {
    let mut bench = Bench::new();
    bench.nominate(1);
    bench.events();
    bench.wait(6);
    assert_eq!(bench.events(), []);
    bench.wait(1);
    assert_eq!(bench.events(), [IceEvent::Interrupted]);
    assert_eq!(bench.ice.selected(), Some(1));
    bench.wait(22);
    assert_eq!(bench.events(), []);
    bench.wait(1);
    assert_eq!(bench.events(), [IceEvent::Expired]);
    assert_eq!(
        (bench.ice.selected(), bench.ice.poll_timeout()),
        (None, None)
    );
    bench.ice.handle_authentic(bench.now, 1);
    assert_eq!(bench.events(), []);
    bench.check(1);
    let back = [IceEvent::Recovered, IceEvent::Selected(1)];
    assert_eq!(bench.events(), back);
}

#[test]
fn media_keeps_consent_and_ends_an_interruption() {
    let mut bench = Bench::new();
    bench.nominate(1);
    bench.events();
    for _ in 0..20 {
        bench.wait(6);
        bench.ice.handle_authentic(bench.now, 1);
        // From an address that was never checked it is nobody's.
        bench.ice.handle_authentic(bench.now, 2);
        assert_eq!(bench.events(), []);
    }
    bench.wait(8);
    assert_eq!(bench.events(), [IceEvent::Interrupted]);
    bench.ice.handle_authentic(bench.now, 2);
    assert_eq!(bench.events(), []);
    bench.ice.handle_authentic(bench.now, 1);
    assert_eq!(bench.events(), [IceEvent::Recovered]);
}

#[test]
fn a_closed_address_gives_way_to_one_that_is_heard() {
    let mut bench = Bench::new();
    bench.check(1);
    bench.nominate(2);
    bench.events();
    bench.wait(1);
    bench.ice.handle_closed(bench.now, 3);
    assert_eq!(bench.events(), [], "it was nobody's");
    bench.ice.handle_closed(bench.now, 2);
    let other = [IceEvent::Forgotten(2), IceEvent::Selected(1)];
    assert_eq!(bench.events(), other);
    assert!(!bench.ice.is_valid(2));
}

#[test]
fn the_last_address_closed_interrupts_at_once_until_another_is_heard() {
    let mut bench = Bench::new();
    bench.check(1);
    bench.wait(8);
    bench.nominate(2);
    bench.events();
    bench.ice.handle_closed(bench.now, 2);
    let lost = [
        IceEvent::Forgotten(2),
        IceEvent::Lost,
        IceEvent::Interrupted,
    ];
    assert_eq!(bench.events(), lost, "1 was not heard of late");
    assert_eq!(bench.ice.selected(), None);
    bench.ice.handle_authentic(bench.now, 1);
    let back = [IceEvent::Recovered, IceEvent::Selected(1)];
    assert_eq!(bench.events(), back);
    // And silence goes on to count from what was heard last.
    bench.ice.handle_closed(bench.now, 1);
    bench.wait(30);
    assert_eq!(bench.events().last(), Some(&IceEvent::Expired));
}

#[test]
fn a_nomination_of_an_address_that_has_closed_is_forgotten() {
    let mut bench = Bench::new();
    bench.nominate(1);
    for _ in 0..5_000 {
        bench.check(1);
    }
    bench.nominate(9);
    bench.ice.handle_closed(bench.now, 9);
    bench.check(9);
    bench.ice.handle_authentic(bench.now, 9);
    assert_eq!(bench.ice.selected(), Some(1));
}

#[test]
fn a_peer_that_never_checks_expires_without_being_interrupted() {
    let mut bench = Bench::new();
    assert_eq!(bench.ice.poll_timeout(), Some(bench.now + EXPIRED_AFTER));
    bench.wait(30);
    assert_eq!(bench.events(), [IceEvent::Expired]);
}

#[test]
fn old_credentials_hold_until_the_first_nomination_with_the_new_ones() {
    let mut bench = Bench::new();
    bench.nominate(1);
    bench.check(2);
    bench.events();
    bench.ice.restart(credentials(2), bench.now);
    assert_eq!(
        bench.ice.credentials().password(),
        credentials(2).password()
    );
    let fresh = bench.check_with(2, false);
    bench.ice.handle_check(bench.now, 3, &fresh);
    assert_eq!(bench.nominate(2), Verdict::Respond);
    assert_eq!(bench.events(), [IceEvent::Selected(2)]);
    let nominating = bench.check_with(2, true);
    bench.ice.handle_check(bench.now, 3, &nominating);
    let old = credentials(1).ufrag();
    let events = [
        IceEvent::Retired(old),
        IceEvent::Forgotten(1),
        IceEvent::Selected(3),
        IceEvent::Forgotten(2),
    ];
    assert_eq!(bench.events(), events);
    assert!(bench.ice.password(old).is_none());
    assert_eq!(bench.nominate(1), Verdict::Ignore);
    assert_eq!(bench.ice.selected(), Some(3));
}

#[test]
fn an_address_that_stays_the_same_over_a_restart_is_not_forgotten() {
    let mut bench = Bench::new();
    bench.nominate(1);
    bench.ice.restart(credentials(2), bench.now);
    bench.events();
    let nominating = bench.check_with(2, true);
    bench.ice.handle_check(bench.now, 1, &nominating);
    let retired = IceEvent::Retired(credentials(1).ufrag());
    assert_eq!(bench.events(), [retired]);
    assert_eq!(bench.ice.selected(), Some(1));
}

#[test]
fn a_second_restart_keeps_what_media_goes_over() {
    let mut bench = Bench::new();
    bench.nominate(1);
    bench.ice.restart(credentials(2), bench.now);
    let check = bench.check_with(2, false);
    bench.ice.handle_check(bench.now, 5, &check);
    bench.events();
    bench.ice.restart(credentials(3), bench.now);
    let retired = IceEvent::Retired(credentials(2).ufrag());
    assert_eq!(bench.events(), [retired, IceEvent::Forgotten(5)]);
    assert_eq!(bench.check(1), Verdict::Respond);
    assert_eq!(bench.ice.selected(), Some(1));
}

#[test]
fn a_restart_gives_a_silent_peer_its_time_anew() {
    let mut bench = Bench::new();
    bench.nominate(1);
    bench.wait(29);
    bench.events();
    bench.ice.restart(credentials(2), bench.now);
    bench.wait(29);
    assert_eq!(bench.events(), []);
    bench.wait(1);
    assert_eq!(bench.events(), [IceEvent::Expired]);
    bench.ice.restart(credentials(3), bench.now);
    assert_eq!(bench.ice.poll_timeout(), Some(bench.now + EXPIRED_AFTER));
}

#[test]
fn addresses_are_bounded_and_the_one_in_use_stays() {
    let mut bench = Bench::new();
    bench.nominate(0);
    for from in 1..200 {
        bench.wait(1);
        bench.ice.handle_authentic(bench.now, from - 1);
        if from % 3 == 0 {
            bench.check(0);
        }
        bench.check(from);
    }
    assert_eq!(bench.ice.selected(), Some(0));
    let valid: BTreeSet<u8> = (0..=255).filter(|at| bench.ice.is_valid(*at)).collect();
    let newest = (185..200).collect::<BTreeSet<u8>>();
    assert_eq!(valid, &newest | &BTreeSet::from([0]));
    let forgotten = bench.events();
    assert!(forgotten.len() <= MAX_EVENTS);
}

#[test]
fn an_old_nomination_moves_nothing_however_many_checks_came_since() {
    let mut bench = Bench::new();
    bench.nominate(1);
    let overheard = bench.check_with(1, true);
    bench.ice.handle_check(bench.now, 1, &overheard);
    for _ in 0..5_000 {
        bench.check(1);
    }
    assert_eq!(bench.ice.selected(), Some(1));
    bench.ice.handle_check(bench.now, 9, &overheard);
    assert_eq!(
        bench.ice.selected(),
        Some(1),
        "nothing else came from there"
    );
    // Who has left nominates anew, and is believed with what comes next.
    bench.nominate(2);
    bench.ice.handle_authentic(bench.now, 2);
    assert_eq!(bench.ice.selected(), Some(2));
    // Or by silence, if nothing does.
    bench.nominate(3);
    assert_eq!(bench.ice.selected(), Some(2));
    bench.wait(8);
    bench.nominate(3);
    assert_eq!(bench.ice.selected(), Some(3));
}

#[test]
fn after_a_restart_a_nomination_is_believed_at_once_again() {
    let mut bench = Bench::new();
    bench.nominate(1);
    for _ in 0..5_000 {
        bench.check(1);
    }
    bench.ice.restart(credentials(2), bench.now);
    let old = bench.check_with(1, true);
    bench.ice.handle_check(bench.now, 9, &old);
    assert_eq!(bench.ice.selected(), Some(1), "with the old credentials");
    let new = bench.check_with(2, true);
    bench.ice.handle_check(bench.now, 2, &new);
    assert_eq!(bench.ice.selected(), Some(2));
}

#[test]
fn checks_that_differ_in_the_last_bytes_of_their_transactions_are_different_ones() {
    let mut bench = Bench::new();
    let mut check = bench.check_with(1, true);
    check.transaction = [7; 12];
    bench.ice.handle_check(bench.now, 1, &check);
    bench.wait(6);
    check.transaction[11] += 1;
    bench.ice.handle_check(bench.now, 2, &check);
    assert_eq!(bench.ice.selected(), Some(2));
}

#[test]
fn an_address_that_is_silent_is_not_heard_however_alive_its_peer_is() {
    let mut bench = Bench::new();
    bench.check(1);
    bench.nominate(2);
    for _ in 0..3 {
        bench.wait(3);
        bench.ice.handle_authentic(bench.now, 2);
    }
    let hears = |addr| bench.ice.hears(bench.now, addr);
    assert_eq!((hears(1), hears(2), hears(3)), (false, true, false));
}
