//! Rounds of servers under load, taking turns, so that a noisy neighbour hits all of them.

pub mod joins;
pub mod options;
pub mod watch;
mod whip;
mod work;

pub use options::{Bursts, Options};

use super::coding::Coding;
use super::floor::{self, Load};
use super::host::janus::{Janus, JanusPlan};
use super::host::kaiwa::{Kaiwa, KaiwaPlan};
use super::host::{Host, Kind};
use super::measure::{self, Cast, Round};
use super::peer::Plan;
use super::results::{Calls, Case, Opinion, Scenario};
use super::source::{AudioPlan, Loudness, Trace, VideoPlan};
use super::stage::{Stage, Wishes};
use super::witness::{self, Witness};
use crate::chat::Setup;
use crate::chat::stats::Spread;
use crate::print;
use crate::proc;
use anyhow::{Context as _, Result, ensure};
use std::sync::Arc;
use std::time::Duration;
use work::{How, Work};

/// What a size of pictures is asked for: more than any layer has.
const LARGE: (u32, u32) = (1_280, 720);

/// A voice of the audio room speaks so long.
const TURN: Duration = Duration::from_secs(3);

/// Seconds that Kaiwa keeps by itself.
const KEPT_S: u8 = 60;

/// A measurement.
#[derive(Debug)]
pub struct Bench {
    /// The server's program, and where its data goes.
    pub setup: Setup,
    /// The size.
    pub options: Options,
    stage: Stage,
}

impl Bench {
    /// With its participants' threads.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub fn new(setup: Setup, options: Options) -> Result<Self> {
        let stage = Stage::new(options.threads, None)?;
        Ok(Self {
            setup,
            options,
            stage,
        })
    }

    /// No figures yet.
    #[must_use]
    pub fn calls(&self) -> Calls {
        Calls::new(self.options.profile)
    }

    /// One publisher to many: Kaiwa, the floor and, at one size, Janus, round by round.
    ///
    /// # Errors
    /// When a server fails.
    pub async fn fanout(&self, calls: &mut Calls, sizes: &[usize], bursts: Bursts) -> Result<()> {
        let is_vp8 = bursts.codec == Coding::Vp8;
        let janus = self.options.janus().filter(JanusPlan::is_there);
        let janus = janus.filter(|_| is_vp8);
        if janus.is_none() && is_vp8 {
            print::progress("Janus is not there; it is left out");
        }
        let mut cases = Vec::new();
        for &subscribers in sizes {
            let work = Work::Fanout {
                subscribers,
                bursts,
                how: How::Plain,
            };
            cases.push((work.clone(), work.case(Kind::Kaiwa)));
            if self.options.floor.is_some() && is_vp8 {
                cases.push((work.clone(), work.case(Kind::Floor)));
            }
            if janus.is_some() && subscribers == self.options.janus_subscribers {
                cases.push((work.clone(), work.case(Kind::Janus)));
            }
        }
        for round in 0..self.options.rounds {
            for (work, case) in &mut cases {
                self.add(case, work, round).await?;
            }
        }
        calls.cases.extend(cases.into_iter().map(|(_, case)| case));
        Ok(())
    }

    /// One publisher to many, by UDP and by TCP in turns.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn tcp(&self, calls: &mut Calls, subscribers: usize, bursts: Bursts) -> Result<()> {
        let hows = [How::Plain, How::Tcp];
        let cases = self.by_turns(hows, subscribers, bursts).await?;
        // The one by UDP may be there already, among those of other sizes.
        let is_there = calls
            .case(Scenario::Fanout, Kind::Kaiwa, subscribers)
            .is_some();
        let cases = cases.into_iter().skip(usize::from(is_there));
        calls.cases.extend(cases);
        Ok(())
    }

    /// One publisher to many, without the server's call inspector and with it in turns. Gives how much more CPU it is
    /// with it, of each round.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn inspector(
        &self,
        calls: &mut Calls,
        subscribers: usize,
        bursts: Bursts,
    ) -> Result<Spread> {
        let hows = [How::Kept(0), How::Kept(KEPT_S)];
        let [off, on] = self.by_turns(hows, subscribers, bursts).await?;
        let ratio = on.ratio(&off);
        print::progress(format_args!(
            "the inspector on takes {ratio} times the CPU of the inspector off"
        ));
        calls.cases.extend([off, on]);
        Ok(ratio)
    }

    /// One publisher to many in two ways, round by round; every other round the second goes first.
    async fn by_turns(
        &self,
        hows: [How; 2],
        subscribers: usize,
        bursts: Bursts,
    ) -> Result<[Case; 2]> {
        let mut cases = hows.map(|how| {
            let work = Work::Fanout {
                subscribers,
                bursts,
                how,
            };
            let case = work.case(Kind::Kaiwa);
            (work, case)
        });
        for round in 0..self.options.rounds {
            for turn in 0..cases.len() {
                let (work, case) = &mut cases[(turn + round) % 2];
                self.add(case, work, round).await?;
            }
        }
        Ok(cases.map(|(_, case)| case))
    }

    /// Ten publishers to a hundred, or as many as wanted.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn meeting(
        &self,
        calls: &mut Calls,
        (publishers, people): (usize, usize),
        bursts: Bursts,
    ) -> Result<()> {
        ensure!(publishers <= people, "publishers are people");
        let work = Work::Meeting {
            publishers,
            people,
            bursts,
        };
        self.repeat(calls, &work).await
    }

    /// A room of voices.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn audio(
        &self,
        calls: &mut Calls,
        (speakers, people): (usize, usize),
        voices: usize,
    ) -> Result<()> {
        ensure!(speakers <= people, "speakers are people");
        let work = Work::Audio {
            speakers,
            people,
            voices,
        };
        self.repeat(calls, &work).await
    }

    /// One publisher's trace to many, with pacing on.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn trace(&self, calls: &mut Calls, subscribers: usize, trace: Trace) -> Result<()> {
        calls.trace = Some(trace.origin.clone());
        let trace = Arc::new(trace);
        self.repeat(calls, &Work::Trace { subscribers, trace })
            .await
    }

    async fn repeat(&self, calls: &mut Calls, work: &Work) -> Result<()> {
        let mut case = work.case(Kind::Kaiwa);
        for round in 0..self.options.rounds {
            self.add(&mut case, work, round).await?;
        }
        calls.cases.push(case);
        Ok(())
    }

    /// One more round of a case.
    async fn add(&self, case: &mut Case, work: &Work, round: usize) -> Result<()> {
        let (name, people) = (case.scenario.name(), case.subscribers);
        let server = case.server.name();
        if case.server == Kind::Floor {
            let us = self.floor(work).await?;
            case.us.push(us);
            print::progress(format_args!(
                "{name} {people}, round {round}: {server} {us:.2} µs"
            ));
            return Ok(());
        }
        let (figures, opinion) = self
            .round(case.server, work, round)
            .await
            .with_context(|| format!("{name} of {server} to {people}"))?;
        print::progress(format_args!(
            "{name} {people}, round {round}: {server} {:.2} µs, {:.0} KiB each, {:.0} packets/s, missing {}, \
             twice {}",
            figures.us_per_packet,
            figures.kib_per_subscriber,
            figures.per_s,
            figures.received.video.missing() + figures.received.audio.missing(),
            figures.received.video.duplicates + figures.received.audio.duplicates,
        ));
        case.add(figures);
        case.opinions.extend(opinion);
        Ok(())
    }

    async fn floor(&self, work: &Work) -> Result<f64> {
        let program = self.options.floor.as_ref().context("no floor program")?;
        let Work::Fanout {
            subscribers,
            bursts,
            ..
        } = work
        else {
            anyhow::bail!("the floor has bursts");
        };
        let load = Load {
            subscribers: *subscribers,
            pps: bursts.pps,
            bytes: bursts.bytes,
            burst: bursts.burst,
            seconds: self.options.timing.window,
        };
        let cores = (self.options.core, self.options.load_core);
        Ok(floor::run(program, load, cores.0, cores.1)
            .await?
            .us_per_packet)
    }

    async fn host(&self, server: Kind, work: &Work) -> Result<Host> {
        let (publishers, subscribers) = work.people();
        Ok(match server {
            Kind::Kaiwa => {
                let mut variables = self.options.variables.clone();
                if let Work::Fanout {
                    how: How::Kept(seconds),
                    ..
                } = work
                {
                    variables.push(format!("KAIWA_CALLS__INSPECT_S={seconds}"));
                }
                let plan = KaiwaPlan {
                    core: Some(self.options.core),
                    is_paced: matches!(work, Work::Trace { .. }),
                    variables,
                };
                let people = publishers + subscribers + 1;
                Host::Kaiwa(Box::new(Kaiwa::start(&self.setup, &plan, people).await?))
            }
            Kind::Janus => {
                let plan = self.options.janus().context("no Janus")?;
                Host::Janus(Box::new(Janus::start(&plan).await?))
            }
            Kind::Floor => anyhow::bail!("the floor is no server"),
        })
    }

    async fn round(
        &self,
        server: Kind,
        work: &Work,
        round: usize,
    ) -> Result<(Round, Option<Opinion>)> {
        let stage = self.stage.reseeded(u64::try_from(round)?);
        let mut host = self.host(server, work).await?;
        let mut cast = self
            .cast(&stage, &mut host, work)
            .await
            .with_context(|| format!("faults: {:?}", host.faults()))?;
        let witness = match &mut host {
            // It knows VP8 alone.
            Host::Kaiwa(kaiwa) if matches!(work, Work::Fanout { bursts, .. } if bursts.codec == Coding::Vp8) => {
                witness::enter(kaiwa.seat()?, &self.base()).await?
            }
            Host::Kaiwa(_) | Host::Janus(_) => None,
        };
        cast.witness = witness.map(Arc::from);
        let figures = measure::round(&stage, &host, &cast, self.options.timing).await?;
        let opinion = match &cast.witness {
            Some(witness) => Some(opinion(&stage, witness.as_ref(), &cast).await?),
            None => None,
        };
        if let Some(witness) = cast.witness.take() {
            witness.leave().await;
        }
        host.end(&stage).await?;
        Ok((figures, opinion))
    }

    /// What all participants have in common.
    fn base(&self) -> Plan {
        Plan {
            profile: self.options.profile,
            feedback: Duration::from_millis(self.options.feedback_ms),
            ..Plan::default()
        }
    }

    async fn cast(&self, stage: &Stage, host: &mut Host, work: &Work) -> Result<Cast> {
        let mut cast = Cast::default();
        let base = self.base();
        match work {
            Work::Fanout { bursts, how, .. } => {
                let base = Plan {
                    by_tcp: *how == How::Tcp,
                    coding: bursts.codec,
                    ..base
                };
                let load = (base, bursts.plan(), work.people().1);
                one_to_many(stage, host, &mut cast, load).await?;
            }
            Work::Trace { trace, .. } => {
                let video = VideoPlan::recorded(trace.clone());
                one_to_many(stage, host, &mut cast, (base, video, work.people().1)).await?;
            }
            Work::Meeting {
                publishers, bursts, ..
            } => {
                cast.memory_before = proc::memory(host.pid()?)?.rss;
                let wishes = pictures(*publishers);
                for number in 0..work.people().1 {
                    let publishes = number < *publishers;
                    let plan = Plan {
                        number: u32::try_from(number)?,
                        coding: bursts.codec,
                        video: publishes.then(|| bursts.plan()),
                        video_slots: *publishers - usize::from(publishes),
                        ..base.clone()
                    };
                    let peer = cast.seat(stage, host, plan, wishes).await?;
                    cast.publishers.extend(publishes.then_some(peer));
                }
            }
            Work::Audio {
                speakers,
                people,
                voices,
            } => {
                cast.memory_before = proc::memory(host.pid()?)?.rss;
                for number in 0..*people {
                    let speaks = number < *speakers;
                    let loudness = Loudness::Turns {
                        who: u32::try_from(number)?,
                        of: u32::try_from(*speakers)?,
                        at_once: u32::try_from(*voices)?,
                        turn: TURN,
                    };
                    let plan = Plan {
                        number: u32::try_from(number)?,
                        audio: speaks.then(|| AudioPlan {
                            loudness,
                            ..AudioPlan::default()
                        }),
                        audio_slots: *voices,
                        ..base.clone()
                    };
                    let peer = cast.seat(stage, host, plan, pictures(0)).await?;
                    cast.publishers.extend(speaks.then_some(peer));
                }
            }
        }
        Ok(cast)
    }
}

async fn one_to_many(
    stage: &Stage,
    host: &mut Host,
    cast: &mut Cast,
    (base, video, people): (Plan, VideoPlan, usize),
) -> Result<()> {
    let publisher = Plan {
        video: Some(video),
        ..base.clone()
    };
    let publisher = host.enter(stage, publisher, pictures(0)).await?;
    cast.publishers.push(publisher);
    cast.memory_before = proc::memory(host.pid()?)?.rss;
    let viewer = Plan {
        video_slots: 1,
        ..base
    };
    for _ in 0..people {
        cast.seat(stage, host, viewer.clone(), pictures(1)).await?;
    }
    for &peer in &cast.subscribers {
        stage
            .until(peer, "picture", |status| status.first_picture.is_some())
            .await?;
    }
    Ok(())
}

fn pictures(count: usize) -> Wishes {
    Wishes {
        pictures: count,
        size: LARGE,
    }
}

/// What the witness says, beside the publisher.
async fn opinion(stage: &Stage, witness: &dyn Witness, cast: &Cast) -> Result<Opinion> {
    let last = stage.silence(&cast.publishers).await?;
    let sent = last.values().copied().max().unwrap_or(0);
    let (totals, last) = witness.count();
    Ok(Opinion {
        unique: totals.unique,
        missing: totals.missing() + u64::from(sent.saturating_sub(last)),
        duplicates: totals.duplicates,
        last,
        sent,
    })
}
