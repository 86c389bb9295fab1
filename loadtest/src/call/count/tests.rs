use super::*;
use crate::rng::Rng;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn feed(packets: &[(u32, u64)]) -> Counter {
    let mut counter = Counter::default();
    for &(n, seq) in packets {
        counter.handle(n, seq, 0, Way::Media);
    }
    counter
}

#[test]
fn a_hole_in_both_numbers_is_missing() {
    let totals = feed(&[(1, 10), (2, 11), (5, 14)]).totals();
    assert_eq!((totals.missing(), totals.skipped, totals.unique), (2, 0, 3));
}

#[test]
fn a_hole_in_the_counter_alone_is_skipped() {
    let totals = feed(&[(1, 10), (2, 11), (5, 12), (6, 13)]).totals();
    assert_eq!((totals.missing(), totals.skipped), (0, 2));
}

#[test]
fn a_late_packet_fills_its_hole_and_its_second_coming_is_a_duplicate() {
    let mut counter = feed(&[(1, 10), (3, 12), (2, 11)]);
    assert_eq!(counter.totals().missing(), 0);
    assert_eq!(counter.totals().out_of_order, 1);
    assert_eq!(counter.handle(2, 11, 0, Way::Media), Verdict::Again);
    assert_eq!(counter.handle(2, 11, 0, Way::Repair), Verdict::Again);
    let totals = counter.totals();
    assert_eq!((totals.duplicates, totals.repeats), (1, 1));
}

#[test]
fn what_comes_before_the_first_belongs_to_the_run() {
    let totals = feed(&[(5, 12), (3, 10), (4, 11)]).totals();
    assert_eq!((totals.span, totals.missing()), (3, 0));
}

#[test]
fn another_run_begins_where_it_begins() {
    let mut counter = feed(&[(1, 10), (2, 11)]);
    counter.handle(700, 50, 1, Way::Media);
    counter.handle(701, 51, 1, Way::Media);
    let totals = counter.totals();
    assert_eq!((totals.missing(), totals.skipped, totals.runs), (0, 0, 2));
}

#[test]
fn what_the_publisher_sent_last_and_nobody_saw_is_missing() {
    let counter = feed(&[(1, 10), (2, 11)]);
    assert_eq!(counter.finished(4).missing(), 2);
    assert_eq!(counter.finished(2).missing(), 0);
}

#[test]
fn what_is_older_than_the_window_is_not_guessed_at() {
    let mut counter = feed(&[(1, 1), (WINDOW + 1, u64::from(WINDOW) + 1)]);
    assert_eq!(counter.handle(1, 1, 0, Way::Media), Verdict::Stale);
    assert_eq!(counter.totals().stale, 1);
}

/// A path that loses, repeats and delays; what it did is known exactly.
struct Path {
    arrivals: Vec<(u32, u64)>,
    lost: u64,
    repeated: u64,
    left_out: u64,
}

fn path(seed: u64, packets: u32, percent: u64) -> Path {
    let mut rng = Rng::new(seed);
    let mut path = Path {
        arrivals: Vec::new(),
        lost: 0,
        repeated: 0,
        left_out: 0,
    };
    let mut sent: Vec<(u64, u32, u64)> = Vec::new();
    let mut seq = 500;
    for n in 0..packets {
        let is_edge = n == 0 || n + 1 == packets;
        if !is_edge && rng.percent(percent) {
            // The server drops a packet of a higher layer, and no sequence number with it.
            path.left_out += 1;
            continue;
        }
        seq += 1;
        if !is_edge && rng.percent(percent) {
            path.lost += 1;
            continue;
        }
        sent.push((
            u64::from(n) + rng.between(0, 8) * u64::from(!is_edge),
            n,
            seq,
        ));
        if rng.percent(percent) {
            path.repeated += 1;
            sent.push((u64::from(n) + 9 + rng.between(0, 20), n, seq));
        }
    }
    sent.sort_by_key(|&(at, ..)| at);
    path.arrivals = sent.into_iter().map(|(_, n, seq)| (n, seq)).collect();
    path
}

proptest! {
    #[test]
    fn loss_repetition_and_omission_are_told_apart_exactly(seed in any::<u64>(), packets in 2_u32..3_000, percent in 0_u64..30) {
        let path = path(seed, packets, percent);
        let totals = feed(&path.arrivals).totals();
        let different: BTreeSet<u32> = path.arrivals.iter().map(|&(n, _)| n).collect();
        prop_assert_eq!(totals.unique, u64::try_from(different.len()).unwrap());
        prop_assert_eq!(totals.duplicates, path.repeated);
        prop_assert_eq!(totals.span, u64::from(packets));
        prop_assert_eq!(totals.missing() + totals.skipped, path.lost + path.left_out);
        prop_assert_eq!(totals.stale, 0);
    }

    #[test]
    fn in_order_skips_and_losses_are_exact_one_by_one(seed in any::<u64>(), packets in 2_u32..2_000, percent in 0_u64..30) {
        let mut path = path(seed, packets, percent);
        path.arrivals.sort_unstable();
        let totals = feed(&path.arrivals).totals();
        prop_assert_eq!((totals.missing(), totals.skipped), (path.lost, path.left_out));
        prop_assert_eq!(totals.out_of_order, 0);
    }

    #[test]
    fn any_numbers_can_be_counted(packets in prop::collection::vec((any::<u32>(), any::<u64>(), 0_u32..3), 0..60)) {
        let mut counter = Counter::default();
        for (n, seq, run) in packets {
            counter.handle(n, seq, run, Way::Media);
        }
        let totals = counter.totals();
        prop_assert!(totals.span <= u64::from(u32::MAX) * 60);
    }
}
