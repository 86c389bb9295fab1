//! Where the program speaks: the one module that prints.

use crate::chaos::checker::Violation;
use crate::chaos::run::{Counts, Report};
use std::io::Write as _;

/// Writes a line to standard output; a reader that went away is no error of ours.
pub fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Writes a line about progress, to standard error.
pub fn progress(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The outcome of a storm.
pub fn storm(seed: u64, report: &Report) {
    line(summary(seed, &report.counts));
    violations(&report.violations);
}

/// A storm in one line.
#[must_use]
pub fn summary(seed: u64, counts: &Counts) -> String {
    let Counts {
        kills,
        drains,
        acks,
        dups,
        refused,
        deliveries,
        ..
    } = counts;
    let Counts {
        cuts,
        resumed,
        fresh,
        gaps,
        byes,
        events,
        took,
        ..
    } = counts;
    format!(
        "seed {seed}: {kills} kills, {drains} drains ({byes} byes), {cuts} cuts; \
         {acks} acks ({dups} dup), {refused} refused, {events} events, {deliveries} deliveries; \
         {resumed} resumed, {fresh} new sessions, {gaps} gaps; {:.1} s",
        took.as_secs_f64()
    )
}

/// The violations of a storm, the first of each kind in full.
pub fn violations(violations: &[Violation]) {
    for violation in violations.iter().take(SHOWN) {
        line(violation);
    }
    if violations.len() > SHOWN {
        line(format_args!("… and {} more", violations.len() - SHOWN));
    }
    line(format_args!("{} violations", violations.len()));
}

/// More say nothing new.
const SHOWN: usize = 30;
