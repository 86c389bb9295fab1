//! What is counted, declared in one place. Labels are names from closed lists, and queues' names.

use crate::core::breaker::Cause;
use crate::core::decision::Verdict;
use crate::model::{Channel, Class, Outcome};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::time::Duration;

/// Says what the series mean.
pub fn describe() {
    describe_counter!(
        "kaiwa_notifier_events_total",
        "Events that were routed, by class"
    );
    describe_counter!(
        "kaiwa_notifier_decisions_total",
        "Verdicts for recipients and devices: push, wait"
    );
    describe_counter!(
        "kaiwa_notifier_suppressed_total",
        "Recipients, devices and pushes that got nothing, by reason"
    );
    describe_counter!(
        "kaiwa_notifier_pushes_total",
        "Attempts to send to one device, by channel and outcome"
    );
    describe_histogram!(
        "kaiwa_notifier_delivery_seconds",
        "From what happened to the provider's yes"
    );
    describe_counter!(
        "kaiwa_notifier_invalid_tokens_total",
        "Devices that were removed or left alone at their provider's word"
    );
    describe_gauge!(
        "kaiwa_notifier_breaker_open",
        "Providers of a channel to which nothing is sent"
    );
    describe_counter!(
        "kaiwa_notifier_breaker_opened_total",
        "Breakers that opened, by cause"
    );
    describe_counter!(
        "kaiwa_notifier_leases_extended_total",
        "Leases that were extended"
    );
    describe_counter!(
        "kaiwa_notifier_leases_lost_total",
        "Messages that were lost to somebody else while they were handled"
    );
    describe_histogram!(
        "kaiwa_notifier_receives",
        "How often a message had been received, with this time"
    );
    describe_counter!(
        "kaiwa_notifier_done_total",
        "Messages by what became of them: done, retried, parked, given_back, dropped, poison, exhausted"
    );
    describe_counter!(
        "kaiwa_notifier_notices_withheld_total",
        "Notices to operators that were told already"
    );
    describe_counter!(
        "kaiwa_notifier_store_errors_total",
        "Questions that store, queue or chat did not answer"
    );
    describe_counter!(
        "kaiwa_notifier_unreadable_rows_total",
        "Times that a row could not be read and was left out, by table"
    );
}

pub(crate) fn routed(class: Class) {
    counter!("kaiwa_notifier_events_total", "class" => class.name()).increment(1);
}

pub(crate) fn verdict(verdict: Verdict) {
    let name = match verdict {
        Verdict::Push => "push",
        Verdict::Wait { .. } => "wait",
        Verdict::Suppressed(reason) => return suppressed(reason.name(), 1),
    };
    counter!("kaiwa_notifier_decisions_total", "verdict" => name).increment(1);
}

pub(crate) fn suppressed(reason: &'static str, count: u64) {
    counter!("kaiwa_notifier_suppressed_total", "reason" => reason).increment(count);
}

pub(crate) fn pushed(channel: Channel, outcome: &Outcome) {
    let outcome = outcome.name();
    counter!(
        "kaiwa_notifier_pushes_total",
        "channel" => channel.name(), "outcome" => outcome
    )
    .increment(1);
}

pub(crate) fn delivered(channel: Channel, since: Duration) {
    histogram!("kaiwa_notifier_delivery_seconds", "channel" => channel.name())
        .record(since.as_secs_f64());
}

pub(crate) fn invalid_token(channel: Channel, fate: &'static str) {
    counter!(
        "kaiwa_notifier_invalid_tokens_total",
        "channel" => channel.name(), "fate" => fate
    )
    .increment(1);
}

pub(crate) fn breakers_open(channel: Channel, open: usize) {
    let open = u32::try_from(open).unwrap_or(u32::MAX);
    gauge!("kaiwa_notifier_breaker_open", "channel" => channel.name()).set(open);
}

pub(crate) fn breaker_opened(channel: Channel, cause: Cause) {
    let cause = match cause {
        Cause::Refused => "refused",
        Cause::Ill => "ill",
    };
    counter!(
        "kaiwa_notifier_breaker_opened_total",
        "channel" => channel.name(), "cause" => cause
    )
    .increment(1);
}

pub(crate) fn extended(queue: &str, count: u64) {
    counter!("kaiwa_notifier_leases_extended_total", "queue" => queue.to_owned()).increment(count);
}

pub(crate) fn lost(queue: &str) {
    counter!("kaiwa_notifier_leases_lost_total", "queue" => queue.to_owned()).increment(1);
}

pub(crate) fn received(queue: &str, receives: u32) {
    histogram!("kaiwa_notifier_receives", "queue" => queue.to_owned()).record(receives);
}

pub(crate) fn done(queue: &str, result: &'static str) {
    counter!("kaiwa_notifier_done_total", "queue" => queue.to_owned(), "result" => result)
        .increment(1);
}

pub(crate) fn withheld() {
    counter!("kaiwa_notifier_notices_withheld_total").increment(1);
}

pub(crate) fn unanswered(whose: &'static str) {
    counter!("kaiwa_notifier_store_errors_total", "port" => whose).increment(1);
}

pub(crate) fn unreadable(table: &'static str) {
    counter!("kaiwa_notifier_unreadable_rows_total", "table" => table).increment(1);
}

impl Outcome {
    /// Its name, in metrics and codes.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Unregistered { .. } => "unregistered",
            Self::BadToken { .. } => "bad_token",
            Self::Throttled { .. } => "throttled",
            Self::Transient { .. } => "transient",
            Self::AuthFailed { .. } => "auth_failed",
            Self::TooLarge { .. } => "too_large",
            Self::Rejected { .. } => "rejected",
        }
    }
}
