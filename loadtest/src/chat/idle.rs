//! Resident memory and CPU of connections that only stay.

use super::{Setup, Voice, public_room};
use crate::codec::Codec;
use crate::print;
use crate::proc::{self, Cpu, Host, Memory};
use crate::rng::Rng;
use anyhow::{Context as _, Result, ensure};
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{ClientMessage, Pong, RoomJoin, RoomPosition, push, server_message};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The size of the measurement.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Connections, each of another person.
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// People in one room; each connection follows one.
    #[arg(long, default_value_t = 100)]
    pub room_size: usize,
    /// How long CPU time is taken, in seconds: a whole ping interval, so that every connection is
    /// pinged once.
    #[arg(long, default_value_t = 25)]
    pub idle_s: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            connections: 10_000,
            room_size: 100,
            idle_s: 25,
        }
    }
}

/// The figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Idle {
    /// The machine.
    pub host: Host,
    /// Authenticated connections, each following one room.
    pub connections: usize,
    /// The server without any.
    pub before: Memory,
    /// With all of them, after each was pinged and answered.
    pub after: Memory,
    /// Resident bytes per connection.
    pub rss_per_connection: f64,
    /// The same of anonymous memory.
    pub anon_per_connection: f64,
    /// The same of the proportional share.
    pub pss_per_connection: f64,
    /// Connections made per second, TCP to `Connected`.
    pub connects_per_s: f64,
    /// CPU time of the server per connection made, in µs.
    pub cpu_us_per_connect: f64,
    /// CPU seconds per second with all of them idle, pings included.
    pub idle_cpu: f64,
}

/// Connections that are being made at the same time.
const AT_ONCE: usize = 64;

/// Until the slowest connection had its ping: the interval and some more.
const PINGED: Duration = Duration::from_secs(60);

/// Connections of one source address: well below the range of ports.
const PER_ADDRESS: usize = 4_000;

/// Measures.
///
/// # Errors
/// When the server fails, or doesn't take all connections.
pub async fn run(setup: &Setup, plan: &Plan) -> Result<Idle> {
    let (spec, _folder) = setup.spec()?;
    let server = spec.start().await?;
    let tokens = Arc::new(spec.tokens("user-", plan.connections).await?);
    print::progress(format_args!(
        "{} people join their rooms …",
        plan.connections
    ));
    let rooms = Arc::new(found(server.address(), &tokens, plan).await?);
    // A fresh process: what joining needed must not hide what idling needs.
    server.terminate().await?;
    let server = spec.start().await?;
    let (address, crowd) = (server.address(), Arc::new(Crowd::default()));
    // One connection warms up what is made once.
    let first = Voice::connect(address, Codec::Proto, None, &tokens[0], vec![]).await?;
    drop(first);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = server.memory()?;
    let (cpu, start) = (server.cpu()?, Instant::now());
    print::progress(format_args!("{} connections …", plan.connections));
    let staying = connect(address, &tokens, &rooms, plan, &crowd).await?;
    let took = start.elapsed();
    let connecting = server.cpu()?.since(cpu);
    let pinged = async {
        while crowd.pinged.load(Ordering::Relaxed) < count(plan.connections) {
            crowd.news.notified().await;
        }
    };
    tokio::time::timeout(PINGED, pinged)
        .await
        .context("not everybody was pinged")?;
    let (cpu, start) = (server.cpu()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(plan.idle_s)).await;
    let (idling, idle) = (server.cpu()?.since(cpu), start.elapsed());
    let after = server.memory()?;
    ensure!(
        crowd.ended.load(Ordering::Relaxed) == 0,
        "connections ended"
    );
    drop(staying);
    server.kill().await?;
    Ok(figures(
        plan,
        (before, after),
        (connecting, took),
        (idling, idle),
    ))
}

fn figures(
    plan: &Plan,
    (before, after): (Memory, Memory),
    (connecting, took): (Cpu, Duration),
    (idling, idle): (Cpu, Duration),
) -> Idle {
    let number = plan.connections as f64;
    let each = |of: fn(&Memory) -> u64| (of(&after) as f64 - of(&before) as f64) / number;
    Idle {
        host: proc::host(),
        connections: plan.connections,
        before,
        after,
        rss_per_connection: each(|m| m.rss),
        anon_per_connection: each(|m| m.anon),
        pss_per_connection: each(|m| m.pss),
        connects_per_s: number / took.as_secs_f64(),
        cpu_us_per_connect: connecting.total().as_secs_f64() * 1e6 / number,
        idle_cpu: idling.total().as_secs_f64() / idle.as_secs_f64(),
    }
}

/// Everybody signs in once and joins a room; gives each person's room.
async fn found(server: SocketAddr, tokens: &Arc<Vec<String>>, plan: &Plan) -> Result<Vec<String>> {
    let mut rng = Rng::new(1);
    let mut rooms = Vec::new();
    for n in 0..plan.connections.div_ceil(plan.room_size) {
        let owner = &tokens[n * plan.room_size];
        let mut voice = Voice::connect(server, Codec::Proto, None, owner, vec![]).await?;
        let create = public_room(rng.cid(UnixMs::now().0), &format!("idle {n}"));
        rooms.push(voice.room(create).await?.room);
    }
    let rooms = Arc::new(rooms);
    let mut joining = JoinSet::new();
    for lane in 0..AT_ONCE {
        let (rooms, tokens) = (Arc::clone(&rooms), Arc::clone(tokens));
        let size = plan.room_size;
        joining.spawn(async move {
            for n in (lane..tokens.len()).step_by(AT_ONCE) {
                let from = Some(source(n));
                let mut voice =
                    Voice::connect(server, Codec::Proto, from, &tokens[n], vec![]).await?;
                let join = RoomJoin {
                    room: rooms[n / size].clone(),
                };
                voice.room(Command::RoomJoin(join)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = joining.join_next().await {
        ended??;
    }
    Ok((0..tokens.len())
        .map(|n| rooms[n / plan.room_size].clone())
        .collect())
}

#[derive(Debug, Default)]
struct Crowd {
    pinged: AtomicU64,
    ended: AtomicU64,
    news: Notify,
}

/// Everybody connects and stays; the tasks end when the set is dropped.
async fn connect(
    server: SocketAddr,
    tokens: &Arc<Vec<String>>,
    rooms: &Arc<Vec<String>>,
    plan: &Plan,
    crowd: &Arc<Crowd>,
) -> Result<JoinSet<()>> {
    let mut connecting = JoinSet::new();
    for lane in 0..AT_ONCE {
        let (tokens, rooms, all) = (Arc::clone(tokens), Arc::clone(rooms), plan.connections);
        connecting.spawn(async move {
            let mut voices = Vec::new();
            for n in (lane..all).step_by(AT_ONCE) {
                let room = RoomPosition {
                    room: rooms[n].clone(),
                    epoch: 0,
                    seq: 0,
                };
                let from = Some(source(n));
                let codec = Codec::Proto;
                voices.push(Voice::connect(server, codec, from, &tokens[n], vec![room]).await?);
            }
            anyhow::Ok(voices)
        });
    }
    let mut staying = JoinSet::new();
    while let Some(ended) = connecting.join_next().await {
        for voice in ended?? {
            staying.spawn(stay(voice, Arc::clone(crowd)));
        }
    }
    Ok(staying)
}

/// Answers pings.
async fn stay(mut voice: Voice, crowd: Arc<Crowd>) {
    let mut first = true;
    loop {
        let mut pings = 0;
        let alive = match voice.lean.readable().await {
            Ok(()) => voice.lean.read(None, |message| {
                if let Some(server_message::Message::Push(push)) = message.message
                    && let Some(push::Push::Ping(ping)) = push.push
                {
                    pings = ping.count + 1;
                }
            }),
            Err(error) => Err(error),
        };
        if !matches!(alive, Ok(true)) {
            crowd.ended.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if pings > 0 {
            let command = Some(Command::Pong(Pong { count: pings - 1 }));
            // The next read tells if it is gone.
            let _ = voice.lean.send(&[ClientMessage { id: 0, command }]).await;
            if std::mem::take(&mut first) {
                crowd.pinged.fetch_add(1, Ordering::Relaxed);
                crowd.news.notify_one();
            }
        }
    }
}

fn source(n: usize) -> IpAddr {
    let last = u8::try_from(1 + n / PER_ADDRESS).unwrap_or(254);
    Ipv4Addr::new(127, 0, 1, last).into()
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
