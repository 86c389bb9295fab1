//! Committed sends per second and their latency, beside SQLite alone with batches of the same size.

use super::stats::{Latency, Spread, histogram};
use super::{Setup, Voice, public_room};
use crate::codec::Codec;
use crate::proc::{self, Host};
use crate::rng::Rng;
use crate::server::Server;
use crate::{http, print};
use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{ClientMessage, Send, reply, server_message};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The size of the measurement.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Senders, each in a room of its own.
    #[arg(long, default_value_t = 64)]
    pub senders: usize,
    /// Sends of each that wait for their replies.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    pub windows: Vec<usize>,
    /// How long one round takes, in seconds, after a warm-up of a fifth.
    #[arg(long, default_value_t = 3)]
    pub round_s: u64,
    /// Rounds of each kind.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Bytes of text in a message.
    #[arg(long, default_value_t = 128)]
    pub text_bytes: usize,
    /// The program that measures SQLite alone; left out, there is no ratio.
    #[arg(long)]
    pub floor: Option<PathBuf>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            senders: 64,
            windows: vec![1, 4, 16],
            round_s: 3,
            rounds: 5,
            text_bytes: 128,
            floor: None,
        }
    }
}

/// The figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sends {
    /// The machine.
    pub host: Host,
    /// Senders, each in a room of its own that nobody follows.
    pub senders: usize,
    /// Bytes of text in a message.
    pub text_bytes: usize,
    /// Each codec and window.
    pub cases: Vec<Case>,
}

/// One codec and window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    /// The codec.
    pub codec: Codec,
    /// Sends of each sender in flight.
    pub window: usize,
    /// Committed sends per second.
    pub per_s: Spread,
    /// Messages in one commit.
    pub batch: Spread,
    /// CPU of the server per send, in µs.
    pub cpu_us: Spread,
    /// SQLite alone, messages per second.
    pub floor_per_s: Option<Spread>,
    /// The server's rate over SQLite's, round by round.
    pub ratio: Option<Spread>,
    /// From sending to the reply.
    pub latency: Latency,
}

#[derive(Debug)]
struct Gathered {
    per_s: Vec<f64>,
    batch: Vec<f64>,
    cpu_us: Vec<f64>,
    floor: Vec<f64>,
    latencies: Histogram<u64>,
}

impl Default for Gathered {
    fn default() -> Self {
        let none = Vec::new;
        Self {
            per_s: none(),
            batch: none(),
            cpu_us: none(),
            floor: none(),
            latencies: histogram(),
        }
    }
}

/// The server's counters of commits, and of the jobs in them: one for each room with new messages.
const COMMITS: &str = "kaiwa_store_commits_total";
const JOBS: &str = "kaiwa_store_jobs_total";

/// Measures.
///
/// # Errors
/// When the server fails or refuses a send.
pub async fn run(setup: &Setup, plan: &Plan) -> Result<Sends> {
    let (spec, folder) = setup.spec()?;
    let server = spec.start().await?;
    let tokens = spec.tokens("user-", plan.senders).await?;
    let rooms = found(server.address(), &tokens).await?;
    let bench = Bench {
        server,
        tokens,
        rooms,
        plan,
    };
    let mut gathered: BTreeMap<(usize, Codec), Gathered> = BTreeMap::new();
    for round in 1..=plan.rounds {
        for &window in &plan.windows {
            for codec in Codec::ALL {
                let all = gathered.entry((window, codec)).or_default();
                let batches = bench.round(codec, window, all).await?;
                if let Some(floor) = &plan.floor {
                    let rate = alone(floor, folder.path(), batches, plan.text_bytes).await?;
                    all.floor.push(rate);
                }
                let last = |values: &[f64]| values.last().copied().unwrap_or_default();
                print::progress(format_args!(
                    "round {round}, {} × {window}, {}: {:.0}/s, {:.1} in a commit; SQLite alone {:.0}/s",
                    plan.senders,
                    codec.name(),
                    last(&all.per_s),
                    last(&all.batch),
                    last(&all.floor),
                ));
            }
        }
    }
    let Bench { server, .. } = bench;
    server.kill().await?;
    let cases = gathered
        .into_iter()
        .map(|((window, codec), all)| case(codec, window, &all));
    Ok(Sends {
        host: proc::host(),
        senders: plan.senders,
        text_bytes: plan.text_bytes,
        cases: cases.collect(),
    })
}

/// A server with people and a room for each.
struct Bench<'a> {
    server: Server,
    tokens: Vec<String>,
    rooms: Vec<String>,
    plan: &'a Plan,
}

impl Bench<'_> {
    /// One round; its figures go into `all`.
    async fn round(&self, codec: Codec, window: usize, all: &mut Gathered) -> Result<Batches> {
        let Self {
            server,
            tokens,
            rooms,
            plan,
        } = self;
        let (address, time) = (server.address(), Duration::from_secs(plan.round_s));
        let warm = Load {
            codec,
            window,
            time: time / 5,
            text: plan.text_bytes,
        };
        load(address, tokens, rooms, warm).await?;
        let (cpu, before) = (server.cpu()?, http::metrics(address).await?);
        let (latencies, took) = load(address, tokens, rooms, Load { time, ..warm }).await?;
        let (cpu, after) = (server.cpu()?.since(cpu), http::metrics(address).await?);
        let grown = |name: &str| {
            let end = after
                .get(name)
                .with_context(|| format!("no metric {name}"))?;
            anyhow::Ok(end - before.get(name).copied().unwrap_or(0.0))
        };
        let (commits, jobs) = (grown(COMMITS)?, grown(JOBS)?);
        let sends = latencies.len() as f64;
        all.per_s.push(sends / took);
        all.batch.push(sends / commits.max(1.0));
        all.cpu_us.push(cpu.total().as_secs_f64() * 1e6 / sends);
        all.latencies += latencies;
        Ok(Batches::of(sends, jobs, commits))
    }
}

fn case(codec: Codec, window: usize, all: &Gathered) -> Case {
    let spread = |values: &[f64]| Spread::of(values.iter().copied());
    let has_floor = !all.floor.is_empty();
    Case {
        codec,
        window,
        per_s: spread(&all.per_s),
        batch: spread(&all.batch),
        cpu_us: spread(&all.cpu_us),
        floor_per_s: has_floor.then(|| spread(&all.floor)),
        ratio: has_floor.then(|| Spread::of(all.per_s.iter().zip(&all.floor).map(|(s, f)| s / f))),
        latency: Latency::of(&all.latencies),
    }
}

async fn found(server: SocketAddr, tokens: &[String]) -> Result<Vec<String>> {
    let (mut rng, mut rooms) = (Rng::new(1), Vec::new());
    for token in tokens {
        let mut voice = Voice::connect(server, Codec::Proto, None, token, vec![]).await?;
        let create = public_room(rng.cid(UnixMs::now().0), "sends");
        rooms.push(voice.room(create).await?.room);
    }
    Ok(rooms)
}

/// What each sender does.
#[derive(Debug, Clone, Copy)]
struct Load {
    codec: Codec,
    window: usize,
    time: Duration,
    text: usize,
}

/// All senders at once; gives the latencies of all sends in µs, and how many seconds they took.
async fn load(
    server: SocketAddr,
    tokens: &[String],
    rooms: &[String],
    load: Load,
) -> Result<(Histogram<u64>, f64)> {
    let mut senders = JoinSet::new();
    let mut rng = Rng::new(u64::try_from(UnixMs::now().0)?);
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(tokens.len()));
    for (token, room) in tokens.iter().zip(rooms) {
        let voice = Voice::connect(server, load.codec, None, token, vec![]).await?;
        let (start, room, rng) = (std::sync::Arc::clone(&start), room.clone(), rng.fork());
        senders.spawn(async move {
            start.wait().await;
            send(voice, room, rng, load).await
        });
    }
    // The last one was let in by now, and with it all.
    let started = Instant::now();
    let mut all = histogram();
    while let Some(ended) = senders.join_next().await {
        all += ended??;
    }
    Ok((all, started.elapsed().as_secs_f64()))
}

/// One sender: as many sends in flight as the window allows, until the time is over and all are
/// answered.
async fn send(mut voice: Voice, room: String, mut rng: Rng, load: Load) -> Result<Histogram<u64>> {
    let end = Instant::now() + load.time;
    let mut latencies = histogram();
    let mut flying: BTreeMap<u32, Instant> = BTreeMap::new();
    let text = "x".repeat(load.text);
    loop {
        let now = Instant::now();
        let mut frame = Vec::new();
        while now < end && flying.len() < load.window {
            let (room, cid) = (room.clone(), rng.cid(UnixMs::now().0));
            let id = voice.take_id();
            let send = Send {
                room,
                cid,
                text: text.clone(),
                reply_to: 0,
                ..Send::default()
            };
            frame.push(ClientMessage {
                id,
                command: Some(Command::Send(send)),
            });
            flying.insert(id, now);
        }
        if flying.is_empty() {
            return Ok(latencies);
        }
        if !frame.is_empty() {
            voice.lean.send(&frame).await?;
        }
        for message in voice.lean.next().await? {
            let Some(server_message::Message::Reply(reply)) = message.message else {
                continue;
            };
            let committed = matches!(reply.result, Some(reply::Result::Committed(_)));
            ensure!(committed, "a send was answered with {:?}", reply.result);
            let sent = flying.remove(&reply.id).context("a reply to nothing")?;
            let us = u64::try_from(sent.elapsed().as_micros())?;
            latencies.saturating_record(us);
        }
    }
}

/// What the floor's program prints.
#[derive(Debug, Deserialize)]
struct Floor {
    msgs_per_s: f64,
}

/// How a round's commits were made up: so many rooms in one, so many messages of each.
#[derive(Debug, Clone, Copy)]
struct Batches {
    rooms: u64,
    messages: u64,
    commits: u64,
}

impl Batches {
    /// Whole numbers nearest to what the server did; their product is the batch's size.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of one round, rounded on purpose"
    )]
    fn of(sends: f64, jobs: f64, commits: f64) -> Self {
        let messages = (sends / jobs.max(1.0)).round().max(1.0);
        let rooms = (sends / commits.max(1.0) / messages).round().max(1.0);
        let commits = commits.max(1.0);
        Self {
            rooms: rooms as u64,
            messages: messages as u64,
            commits: commits as u64,
        }
    }
}

/// SQLite alone, with the same batches: messages per second.
async fn alone(floor: &Path, data: &Path, batches: Batches, text: usize) -> Result<f64> {
    let folder = tempfile::Builder::new().prefix("floor-").tempdir_in(data)?;
    let Batches {
        rooms,
        messages,
        commits,
    } = batches;
    let output = tokio::process::Command::new(floor)
        .arg(folder.path())
        .args([rooms, messages, commits].map(|n| n.to_string()))
        .arg(text.to_string())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| floor.display().to_string())?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {words}", floor.display());
    let floor: Floor = serde_json::from_slice(&output.stdout)?;
    Ok(floor.msgs_per_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_gets_batches_of_the_servers_size() {
        let of = |sends, jobs, commits| {
            let Batches {
                rooms,
                messages,
                commits,
            } = Batches::of(sends, jobs, commits);
            (rooms, messages, commits)
        };
        assert_eq!(of(6_400.0, 6_400.0, 100.0), (64, 1, 100));
        assert_eq!(of(6_400.0, 1_600.0, 25.0), (64, 4, 25));
        // 1.4 messages of a room in a commit of 42: 42 rooms with one each are as many.
        assert_eq!(of(4_200.0, 3_000.0, 100.0), (42, 1, 100));
        assert_eq!(of(1.0, 0.0, 0.0), (1, 1, 1));
    }
}
