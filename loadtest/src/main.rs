//! `loadtest`: measures a Kaiwa server, kills it, and checks that it kept its promises.

use anyhow::{Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use kaiwa_loadtest::chaos::run::{Plan, run};
use kaiwa_loadtest::chat::{Setup, fanout, idle, sends};
use kaiwa_loadtest::{bare, print, report};
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
    /// The markdown file; what stands between its `bench:chat` markers is replaced.
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
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(Box::pin(dispatch(cli.command)))
}

async fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Chat { what } => chat(what).await,
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
