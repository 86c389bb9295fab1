//! `loadtest`: measures a Kaiwa server, kills it, and checks that it kept its promises.

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use kaiwa_loadtest::call::bench::joins::JoinPlan;
use kaiwa_loadtest::call::bench::watch::{self, WatchPlan};
use kaiwa_loadtest::call::bench::{Bench, Bursts, Options};
use kaiwa_loadtest::call::coding::Coding;
use kaiwa_loadtest::call::results::Calls;
use kaiwa_loadtest::call::source::Trace;
use kaiwa_loadtest::chaos::run::{Plan, run};
use kaiwa_loadtest::chat::{Setup, fanout, idle, sends};
use kaiwa_loadtest::{bare, clips, notify, print, report};
use std::path::{Path, PathBuf};

/// Load, chaos and verification for a Kaiwa server, over the wire.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures chat: memory of idle connections, fan-out, committed sends.
    Chat {
        #[command(subcommand)]
        what: Chat,
    },
    /// Measures calls: CPU per forwarded packet, memory, joining; every packet is counted.
    Call {
        #[command(subcommand)]
        what: Call,
    },
    /// Measures notifications: the router, Web Push, the delay to the push service, jobs that wait.
    Notify {
        /// Which of them.
        #[arg(value_enum)]
        what: notify::What,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        plan: notify::Plan,
    },
    /// Measures clips: uploads, the server's memory while they run, calls of the API, transcoding.
    Clips {
        /// Which of them.
        #[arg(value_enum)]
        what: clips::What,
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        plan: clips::Plan,
    },
    /// Kills the server under load, again and again, and checks what everybody saw.
    Chaos(Chaos),
    /// Renders results as markdown into a file, and as plots beside it.
    Report(Report),
    /// (Started by `chat fanout`.) Writes given bytes to sockets, and does nothing else.
    #[command(hide = true)]
    BareLoop,
}

#[derive(Debug, Subcommand)]
enum Chat {
    /// Resident memory and CPU per idle connection.
    Idle {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        plan: idle::Plan,
    },
    /// CPU per delivered message, beside a loop that only writes.
    Fanout {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        plan: fanout::Plan,
    },
    /// Committed sends per second, beside SQLite alone.
    Sends {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        plan: sends::Plan,
    },
    /// All three, with their defaults.
    All {
        #[command(flatten)]
        common: Common,
        /// The program that measures SQLite alone.
        #[arg(long)]
        floor: Option<PathBuf>,
    },
}

/// Each of these starts its servers itself, but for `watch`.
#[derive(Debug, Subcommand)]
enum Call {
    /// One publisher to many, beside the floor and Janus.
    Fanout {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: Box<Options>,
        #[command(flatten)]
        bursts: Bursts,
        /// How many.
        #[arg(long, value_delimiter = ',', default_value = "50,100,200")]
        subscribers: Vec<usize>,
    },
    /// One publisher to many, by UDP and by TCP in turns.
    Tcp {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: Box<Options>,
        #[command(flatten)]
        bursts: Bursts,
        /// How many.
        #[arg(long, default_value_t = 100)]
        subscribers: usize,
    },
    /// One publisher to many, without the server's call inspector and with it in turns.
    Inspector {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: Box<Options>,
        #[command(flatten)]
        bursts: Bursts,
        /// How many.
        #[arg(long, default_value_t = 100)]
        subscribers: usize,
    },
    /// Several publishers to everybody.
    Meeting {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: Box<Options>,
        /// How many publish.
        #[arg(long, default_value_t = 10)]
        publishers: usize,
        /// How many there are.
        #[arg(long, default_value_t = 100)]
        people: usize,
    },
    /// A room of voices, of which the loudest are heard.
    Audio {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: Box<Options>,
        /// How many of them have a microphone: the server lets no more than 100 publish.
        #[arg(long, default_value_t = 100)]
        speakers: usize,
        /// How many there are.
        #[arg(long, default_value_t = 300)]
        people: usize,
        /// How many are heard.
        #[arg(long, default_value_t = 3)]
        voices: usize,
    },
    /// One publisher's recorded frames to many, with pacing on.
    Trace {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: Box<Options>,
        /// Another recording than the one of Chromium that is built in.
        #[arg(long)]
        trace: Option<PathBuf>,
        /// How many.
        #[arg(long, default_value_t = 100)]
        subscribers: usize,
    },
    /// How long joining takes, and what is left of many who came and went.
    Join {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: Box<Options>,
        #[command(flatten)]
        plan: JoinPlan,
    },
    /// All of these, with their defaults.
    All {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        options: Box<Options>,
        /// Another recording than the one of Chromium that is built in.
        #[arg(long)]
        trace: Option<PathBuf>,
    },
    /// Participants in a given room of a given server, who say what they count.
    Watch {
        #[command(flatten)]
        plan: Box<WatchPlan>,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// The `kaiwa` program.
    #[arg(long, env = "KAIWA_BIN")]
    server: PathBuf,
    /// Where results go, as JSON and markdown.
    #[arg(long, default_value = "bench-results")]
    out: PathBuf,
    /// Where the server's data goes while it is measured; a disk's speed counts.
    #[arg(long)]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Chaos {
    /// The `kaiwa` program.
    #[arg(long, env = "KAIWA_BIN")]
    server: PathBuf,
    /// How often the server is killed.
    #[arg(long, default_value_t = 20)]
    kills: u32,
    /// How many storms, each with the next seed.
    #[arg(long, default_value_t = 1)]
    storms: u64,
    /// The first seed; the clock's when left out.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Debug, Args)]
struct Report {
    /// The folder with results.
    #[arg(long, default_value = "bench-results")]
    results: PathBuf,
    /// The markdown file; what stands between its markers (`bench:chat`, `calls`, `notify`, `clips`) is replaced.
    #[arg(long)]
    into: PathBuf,
    /// The folder for plots.
    #[arg(long)]
    plots: PathBuf,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if matches!(cli.command, Command::BareLoop) {
        // It measures itself against a server: one thread, no runtime.
        return bare::child();
    }
    if let Command::Call { what } = &cli.command {
        // Before the runtime's threads are there to be pinned too.
        what.options().map_or(Ok(()), Options::pin)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(Box::pin(dispatch(cli.command)))
}

async fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Chat { what } => chat(what).await,
        Command::Call { what } => Box::pin(call(what)).await,
        Command::Notify { what, common, plan } => {
            notify::run(&setup(&common), what, &plan, &common.out).await
        }
        Command::Clips { what, common, plan } => {
            clips::run(&setup(&common), what, &plan, &common.out).await
        }
        Command::Chaos(chaos) => storms(chaos).await,
        Command::Report(Report {
            results,
            into,
            plots,
        }) => report::render(&results, &into, &plots),
        Command::BareLoop => bail!("runs without a runtime"),
    }
}

async fn chat(what: Chat) -> Result<()> {
    match what {
        Chat::Idle { common, plan } => {
            save(&common, "idle", &idle::run(&setup(&common), &plan).await?)
        }
        Chat::Fanout { common, plan } => save(
            &common,
            if plan.json { "fanout-json" } else { "fanout" },
            &fanout::run(&setup(&common), &plan).await?,
        ),
        Chat::Sends { common, plan } => {
            save(&common, "sends", &sends::run(&setup(&common), &plan).await?)
        }
        Chat::All { common, floor } => {
            let setup = setup(&common);
            for (name, json) in [("fanout", false), ("fanout-json", true)] {
                let plan = fanout::Plan {
                    json,
                    ..fanout::Plan::default()
                };
                save(&common, name, &fanout::run(&setup, &plan).await?)?;
            }
            let plan = sends::Plan {
                floor,
                ..sends::Plan::default()
            };
            save(&common, "sends", &sends::run(&setup, &plan).await?)?;
            save(
                &common,
                "idle",
                &idle::run(&setup, &idle::Plan::default()).await?,
            )
        }
    }
}

impl Call {
    /// What measurements share; `watch` measures nothing.
    fn options(&self) -> Option<&Options> {
        match self {
            Self::Fanout { options, .. }
            | Self::Tcp { options, .. }
            | Self::Inspector { options, .. }
            | Self::Meeting { options, .. }
            | Self::Audio { options, .. }
            | Self::Trace { options, .. }
            | Self::Join { options, .. }
            | Self::All { options, .. } => Some(options),
            Self::Watch { .. } => None,
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each command")]
async fn call(what: Call) -> Result<()> {
    let bench = |common: &Common, options: Box<Options>| Bench::new(setup(common), *options);
    match what {
        Call::Fanout {
            common,
            options,
            bursts,
            subscribers,
        } => {
            let bench = bench(&common, options)?;
            let mut calls = bench.calls();
            bench.fanout(&mut calls, &subscribers, bursts).await?;
            save(&common, "calls-fanout", &calls)
        }
        Call::Tcp {
            common,
            options,
            bursts,
            subscribers,
        } => {
            let bench = bench(&common, options)?;
            let mut calls = bench.calls();
            bench.tcp(&mut calls, subscribers, bursts).await?;
            save(&common, "calls-tcp", &calls)
        }
        Call::Inspector {
            common,
            options,
            bursts,
            subscribers,
        } => {
            let bench = bench(&common, options)?;
            let mut calls = bench.calls();
            bench.inspector(&mut calls, subscribers, bursts).await?;
            save(&common, "calls-inspector", &calls)
        }
        Call::Meeting {
            common,
            options,
            publishers,
            people,
        } => {
            let bench = bench(&common, options)?;
            let mut calls = bench.calls();
            bench
                .meeting(&mut calls, (publishers, people), Bursts::meeting())
                .await?;
            save(&common, "calls-meeting", &calls)
        }
        Call::Audio {
            common,
            options,
            speakers,
            people,
            voices,
        } => {
            let bench = bench(&common, options)?;
            let mut calls = bench.calls();
            bench.audio(&mut calls, (speakers, people), voices).await?;
            save(&common, "calls-audio", &calls)
        }
        Call::Trace {
            common,
            options,
            trace,
            subscribers,
        } => {
            let bench = bench(&common, options)?;
            let mut calls = bench.calls();
            bench
                .trace(&mut calls, subscribers, read_trace(trace.as_deref())?)
                .await?;
            save(&common, "calls-trace", &calls)
        }
        Call::Join {
            common,
            options,
            plan,
        } => {
            let bench = bench(&common, options)?;
            let mut calls = bench.calls();
            bench.joins(&mut calls, plan).await?;
            save(&common, "calls-join", &calls)
        }
        Call::All {
            common,
            options,
            trace,
        } => {
            let bench = bench(&common, options)?;
            save(
                &common,
                "calls",
                &all_calls(&bench, trace.as_deref()).await?,
            )
        }
        Call::Watch { plan } => watch::run(&plan).await,
    }
}

async fn all_calls(bench: &Bench, trace: Option<&Path>) -> Result<Calls> {
    let mut calls = bench.calls();
    bench
        .fanout(&mut calls, &[50, 100, 200], Bursts::default())
        .await?;
    for codec in [Coding::H264, Coding::Vp9] {
        let bursts = Bursts {
            codec,
            ..Bursts::default()
        };
        bench.fanout(&mut calls, &[100], bursts).await?;
    }
    bench.tcp(&mut calls, 100, Bursts::default()).await?;
    bench.inspector(&mut calls, 100, Bursts::default()).await?;
    bench.trace(&mut calls, 100, read_trace(trace)?).await?;
    bench
        .meeting(&mut calls, (10, 100), Bursts::meeting())
        .await?;
    bench.audio(&mut calls, (100, 300), 3).await?;
    bench.joins(&mut calls, JoinPlan::default()).await?;
    Ok(calls)
}

fn read_trace(path: Option<&Path>) -> Result<Trace> {
    let Some(path) = path else {
        return Ok(Trace::chromium());
    };
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Trace::parse(&text).with_context(|| path.display().to_string())
}

fn setup(common: &Common) -> Setup {
    Setup {
        binary: common.server.clone(),
        data: common.data.clone(),
    }
}

fn save(common: &Common, name: &str, result: &impl report::Section) -> Result<()> {
    report::save(Path::new(&common.out), name, result)
}

async fn storms(chaos: Chaos) -> Result<()> {
    let first = chaos.seed.unwrap_or_else(|| {
        let now = kaiwa_common::time::UnixMs::now().0;
        now.unsigned_abs() % 1_000_000
    });
    let mut failed = Vec::new();
    for seed in first..first + chaos.storms {
        let report = Box::pin(run(&Plan::new(chaos.server.clone(), seed, chaos.kills))).await?;
        print::storm(seed, &report);
        if !report.violations.is_empty() {
            failed.push(seed);
        }
    }
    ensure!(
        failed.is_empty(),
        "promises were broken with seeds {failed:?}"
    );
    Ok(())
}
