//! What the notifier's parts do by themselves, as their example programs tell.

use super::{Plan, figures};
use crate::chat::Setup;
use crate::chat::stats::Spread;
use crate::print;
use crate::proc::{self, Host};
use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Events through the router, beside the queue and SQLite alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Router {
    /// The machine.
    pub host: Host,
    /// Events of a round.
    pub events: u32,
    /// Events that the router was done with, per second.
    pub routed_per_s: Spread,
    /// Events whose push was sent and recorded, per second.
    pub delivered_per_s: Spread,
    /// Commits of a round.
    pub commits: Spread,
    /// What the queue alone would do of the same: receive and delete an event, send a job, receive and delete it.
    pub queue_per_s: Spread,
    /// The same of SQLite, with the same statements and 64 batches a commit.
    pub bare_per_s: Spread,
    /// Delivered over the queue's, round by round.
    pub to_queue: Spread,
    /// Delivered over SQLite's, round by round.
    pub to_bare: Spread,
}

#[derive(Debug, Deserialize)]
struct RouterFigures {
    events: f64,
    pushes: f64,
    routed_per_s: f64,
    delivered_per_s: f64,
    commits: f64,
}

#[derive(Debug, Deserialize)]
struct QueueFigures {
    bare_send_per_s: f64,
    bare_receive_per_s: f64,
    send_per_s: f64,
    receive_per_s: f64,
}

/// Messages of the queue's round: as many take about as long as the router's.
const QUEUED: u32 = 5;

/// Measures.
///
/// # Errors
/// When a program fails, or a push is missing.
pub async fn router(setup: &Setup, plan: &Plan) -> Result<Router> {
    let folder = data(setup);
    let (mut rounds, mut floors) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        let args = [
            (plan.events * QUEUED).to_string(),
            0.to_string(),
            folder.clone(),
        ];
        let floor: QueueFigures = figures(plan, "queue_floor", &args).await?;
        let args = [plan.events.to_string(), folder.clone()];
        let one: RouterFigures = figures(plan, "router_rate", &args).await?;
        ensure!(
            one.pushes >= one.events,
            "{} pushes of {} events",
            one.pushes,
            one.events
        );
        print::progress(format_args!(
            "round {round}: {:.0} events/s delivered; the queue alone {:.0}/s, SQLite alone {:.0}/s",
            one.delivered_per_s,
            floor.queue(),
            floor.bare(),
        ));
        rounds.push(one);
        floors.push(floor);
    }
    let of = |value: fn(&RouterFigures) -> f64| Spread::of(rounds.iter().map(value));
    let ratio = |floor: fn(&QueueFigures) -> f64| {
        let both = rounds.iter().zip(&floors);
        Spread::of(both.map(|(one, alone)| one.delivered_per_s / floor(alone)))
    };
    Ok(Router {
        host: proc::host(),
        events: plan.events,
        routed_per_s: of(|one| one.routed_per_s),
        delivered_per_s: of(|one| one.delivered_per_s),
        commits: of(|one| one.commits),
        queue_per_s: Spread::of(floors.iter().map(QueueFigures::queue)),
        bare_per_s: Spread::of(floors.iter().map(QueueFigures::bare)),
        to_queue: ratio(QueueFigures::queue),
        to_bare: ratio(QueueFigures::bare),
    })
}

impl QueueFigures {
    fn queue(&self) -> f64 {
        whole(self.send_per_s, self.receive_per_s)
    }

    fn bare(&self) -> f64 {
        whole(self.bare_send_per_s, self.bare_receive_per_s)
    }
}

/// What an event needs of queues: it is received and deleted, its job is sent, received and deleted.
fn whole(send_per_s: f64, receive_per_s: f64) -> f64 {
    1.0 / (1.0 / send_per_s + 2.0 / receive_per_s)
}

/// Web Push messages encrypted and sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WebPush {
    /// The machine.
    pub host: Host,
    /// Sends at once.
    pub in_flight: f64,
    /// Encrypted and sent to a push service in another process, per second.
    pub sent_per_s: Spread,
    /// Encrypted only, on one thread.
    pub bare_one_per_s: Spread,
    /// On two.
    pub bare_two_per_s: Spread,
    /// Sent over encrypted on one thread, round by round.
    pub to_one: Spread,
    /// Over two threads.
    pub to_two: Spread,
}

#[derive(Debug, Deserialize)]
struct WebPushFigures {
    bare_one_per_s: f64,
    bare_two_per_s: f64,
    sent_per_s: f64,
    in_flight: f64,
}

/// Measures; a third of a round's time each for one thread, two threads and sending.
///
/// # Errors
/// When the program fails.
pub async fn web_push(plan: &Plan) -> Result<WebPush> {
    let mut rounds: Vec<WebPushFigures> = Vec::new();
    for round in 1..=plan.rounds {
        let seconds = plan.seconds.div_ceil(3).to_string();
        let one: WebPushFigures = figures(plan, "web_push", &[seconds]).await?;
        print::progress(format_args!(
            "round {round}: {:.0} Web Push/s; encrypting alone {:.0}/s on one thread, {:.0}/s on two",
            one.sent_per_s, one.bare_one_per_s, one.bare_two_per_s
        ));
        rounds.push(one);
    }
    let of = |value: fn(&WebPushFigures) -> f64| Spread::of(rounds.iter().map(value));
    Ok(WebPush {
        host: proc::host(),
        in_flight: of(|one| one.in_flight).median,
        sent_per_s: of(|one| one.sent_per_s),
        bare_one_per_s: of(|one| one.bare_one_per_s),
        bare_two_per_s: of(|one| one.bare_two_per_s),
        to_one: of(|one| one.sent_per_s / one.bare_one_per_s),
        to_two: of(|one| one.sent_per_s / one.bare_two_per_s),
    })
}

/// A queue with very many jobs waiting.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Waiting {
    /// The machine.
    pub host: Host,
    /// What the program told.
    #[serde(flatten)]
    pub figures: WaitingFigures,
}

/// The figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WaitingFigures {
    /// Jobs.
    pub waiting: f64,
    /// Resident memory of the process before, in MiB.
    pub resident_before_mib: f64,
    /// With all of them.
    pub resident_after_mib: f64,
    /// After they were counted.
    pub resident_counted_mib: f64,
    /// The database's file.
    pub database_mib: f64,
    /// A receive of ten, in ms.
    pub receive_ms: f64,
    /// Counting them, in ms.
    pub depth_ms: f64,
}

/// Measures.
///
/// # Errors
/// When the program fails.
pub async fn waiting(setup: &Setup, plan: &Plan) -> Result<Waiting> {
    let args = [0.to_string(), plan.waiting.to_string(), data(setup)];
    let figures: WaitingFigures = figures(plan, "queue_floor", &args).await?;
    Ok(Waiting {
        host: proc::host(),
        figures,
    })
}

/// Where databases go.
fn data(setup: &Setup) -> String {
    let folder: PathBuf = setup.data.clone().unwrap_or_else(std::env::temp_dir);
    folder.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_send_and_two_receives() {
        let rate = whole(100.0, 100.0);
        assert!((rate - 100.0 / 3.0).abs() < 1e-9, "{rate}");
    }
}
