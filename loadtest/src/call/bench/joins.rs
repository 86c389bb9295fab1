//! How long joining takes, and what is left of many who came and went.

use super::{Bench, LARGE};
use crate::call::host::Kind;
use crate::call::host::kaiwa::{Kaiwa, KaiwaPlan};
use crate::call::peer::Plan;
use crate::call::results::{Calls, Joins};
use crate::call::source::{AudioPlan, VideoPlan};
use crate::call::stage::person::{Person, Seat};
use crate::call::stage::{Stage, Wishes};
use crate::{http, print, proc};
use anyhow::{Context as _, Result};
use futures_util::StreamExt as _;
use futures_util::stream;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The size of it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct JoinPlan {
    /// Joins that are timed, one at a time.
    #[arg(long, default_value_t = 50)]
    pub timed: usize,
    /// Joins and leaves of the storm.
    #[arg(long, default_value_t = 1_000)]
    pub storm: usize,
    /// How many of them at a time.
    #[arg(long, default_value_t = 20)]
    pub at_once: usize,
    /// Sessions by WHIP; a call has at most 100 who publish.
    #[arg(long, default_value_t = 100)]
    pub whip: usize,
}

impl Default for JoinPlan {
    fn default() -> Self {
        Self {
            timed: 50,
            storm: 1_000,
            at_once: 20,
            whip: 100,
        }
    }
}

/// Between the end of the storm and the second look: what waits for its time has had it.
const REST: Duration = Duration::from_secs(12);

/// Gauges of the server that must be back where they were: by the beginnings of their names.
const GAUGES: [&str; 3] = ["kaiwa_sfu_", "kaiwa_call", "kaiwa_session"];

impl Bench {
    /// Measures joining.
    ///
    /// # Errors
    /// When the server fails, or refuses somebody.
    pub async fn joins(&self, calls: &mut Calls, plan: JoinPlan) -> Result<()> {
        let people = plan.timed + 2 * plan.storm + plan.whip + 4;
        let started = KaiwaPlan {
            core: Some(self.options.core),
            is_paced: true,
            variables: self.options.variables.clone(),
        };
        let mut kaiwa = Kaiwa::start(&self.setup, &started, people).await?;
        let publisher = Plan {
            audio: Some(AudioPlan::default()),
            video: Some(VideoPlan::simulcast()),
            profile: self.options.profile,
            ..Plan::default()
        };
        let publisher = kaiwa.enter(&self.stage, publisher, wishes(0)).await?;
        self.stage.connected(publisher).await?;
        let (mut packets, mut pictures) = (Vec::new(), Vec::new());
        for number in 0..plan.timed {
            let person = self.one(kaiwa.seat()?, number).await?;
            let status = self.stage.status(person.peer).await?;
            let since = |at: Option<Instant>| {
                at.map(|at| at.saturating_duration_since(person.began).as_secs_f64() * 1e3)
            };
            packets.push(since(status.first_packet).context("no packet")?);
            pictures.push(since(status.first_picture).context("no picture")?);
            person.leave().await?;
        }
        // The first storm grows what stays grown: buffers, tables, the allocator's arenas.
        self.storm(&mut kaiwa, plan).await?;
        tokio::time::sleep(REST).await;
        let before = Footprint::of(&kaiwa).await?;
        let began = Instant::now();
        self.storm(&mut kaiwa, plan).await?;
        let storm_s = began.elapsed().as_secs_f64();
        tokio::time::sleep(REST).await;
        let after = Footprint::of(&kaiwa).await?;
        kaiwa.clear().await?;
        let whip = self.whip(&mut kaiwa, plan.whip).await?;
        kaiwa.end(&self.stage).await?;
        let joins = Joins {
            first_packet_ms: (percentile(&mut packets, 50), percentile(&mut packets, 95)),
            first_picture_ms: (percentile(&mut pictures, 50), percentile(&mut pictures, 95)),
            timed: plan.timed,
            storm: plan.storm,
            storm_s,
            memory: (before.memory, after.memory),
            threads: (before.threads, after.threads),
            files: (before.files, after.files),
            gauges: before.changes(&after),
            whip: Some(whip),
        };
        print::progress(format_args!("{} {joins:?}", Kind::Kaiwa.name()));
        calls.joins = Some(joins);
        Ok(())
    }

    /// Somebody comes, and sees a picture.
    async fn one(&self, seat: Seat, number: usize) -> Result<Person> {
        let person = join(&self.stage, seat, self.viewer(), number).await?;
        let seen = |status: &crate::call::peer::Status| status.first_picture.is_some();
        self.stage.until(person.peer, "picture", seen).await?;
        Ok(person)
    }

    fn viewer(&self) -> Plan {
        Plan {
            audio_slots: 1,
            video_slots: 1,
            profile: self.options.profile,
            ..Plan::default()
        }
    }

    /// Many come and go, connected or not yet.
    async fn storm(&self, kaiwa: &mut Kaiwa, plan: JoinPlan) -> Result<()> {
        let seats: Result<Vec<Seat>> = (0..plan.storm).map(|_| kaiwa.seat()).collect();
        let visits = seats?
            .into_iter()
            .enumerate()
            .map(|(number, seat)| async move {
                let person = join(&self.stage, seat, self.viewer(), number).await?;
                // Every third leaves before its transport is there.
                if number % 3 != 0 {
                    self.stage.connected(person.peer).await?;
                }
                person.leave().await
            });
        let mut visits = stream::iter(visits).buffer_unordered(plan.at_once.max(1));
        while let Some(visit) = visits.next().await {
            visit?;
        }
        Ok(())
    }
}

async fn join(stage: &Stage, seat: Seat, plan: Plan, number: usize) -> Result<Person> {
    Person::join(stage, seat, plan, wishes(1), u64::try_from(number)?).await
}

fn wishes(pictures: usize) -> Wishes {
    Wishes {
        pictures,
        size: LARGE,
    }
}

/// What a server holds.
#[derive(Debug)]
struct Footprint {
    memory: u64,
    threads: usize,
    files: usize,
    gauges: BTreeMap<String, f64>,
}

impl Footprint {
    async fn of(kaiwa: &Kaiwa) -> Result<Self> {
        let pid = kaiwa.server.pid()?;
        let (threads, files) = proc::threads_and_files(pid)?;
        // A server that keeps its metrics to itself has none for us.
        let metrics = http::metrics(kaiwa.server.address())
            .await
            .unwrap_or_default();
        let is_gauge = |name: &str| {
            GAUGES.iter().any(|start| name.starts_with(start))
                && !["_total", "_bucket", "_sum", "_count"]
                    .iter()
                    .any(|end| name.ends_with(end))
        };
        Ok(Self {
            memory: proc::memory(pid)?.rss,
            threads,
            files,
            gauges: metrics
                .into_iter()
                .filter(|(name, _)| is_gauge(name))
                .collect(),
        })
    }

    fn changes(&self, after: &Self) -> Vec<(String, f64, f64)> {
        let change = |(name, before): (&String, &f64)| {
            let after = after.gauges.get(name).copied().unwrap_or(0.0);
            (after > *before).then(|| (name.clone(), *before, after))
        };
        self.gauges.iter().filter_map(change).collect()
    }
}

/// The value below which so many of a hundred are; 0 of none.
pub(super) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 50), 10.0);
        assert_eq!(percentile(&mut values, 95), 19.0);
        assert_eq!(percentile(&mut [], 95), 0.0);
    }
}
