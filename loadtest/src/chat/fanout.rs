//! CPU time of the server per delivered message, beside a bare loop that writes the same bytes to as
//! many sockets.
//!
//! Both are read by the same tasks with the same code; the bare loop's bytes are those that the server
//! sent. Rounds of the server and of the bare loop take turns, and each ratio is of one round, so that
//! a noisy neighbour hits both.

pub mod readers;

use self::readers::{Crowd, Side};
use super::stats::{Latency, Spread};
use super::{Setup, Voice, public_room};
use crate::bare::Bare;
use crate::codec::Codec;
use crate::print;
use crate::proc::{self, Cpu, Host};
use crate::rng::Rng;
use crate::server::Server;
use anyhow::{Result, ensure};
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{
    ClientMessage, Pong, RoomJoin, RoomPosition, Send, reply, server_message,
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Well below the time after which the server gives up a silent client.
const SPEAK: Duration = Duration::from_secs(5);

/// The size of the measurement.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// Connections that follow the room.
    #[arg(long, default_value_t = 1_000)]
    pub subscribers: usize,
    /// Single messages in a round.
    #[arg(long, default_value_t = 200)]
    pub singles: usize,
    /// Bursts in a round.
    #[arg(long, default_value_t = 100)]
    pub bursts: usize,
    /// Messages in a burst.
    #[arg(long, default_value_t = 16)]
    pub burst: usize,
    /// Rounds of each kind.
    #[arg(long, default_value_t = 7)]
    pub rounds: usize,
    /// Bytes of text in a message.
    #[arg(long, default_value_t = 128)]
    pub text_bytes: usize,
    /// JSON instead of Protobuf.
    #[arg(long)]
    pub json: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            subscribers: 1_000,
            singles: 200,
            bursts: 100,
            burst: 16,
            rounds: 7,
            text_bytes: 128,
            json: false,
        }
    }
}

/// The figures; CPU in µs per delivered message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fanout {
    /// The machine.
    pub host: Host,
    /// The codec.
    pub codec: Codec,
    /// Connections that follow the room.
    pub subscribers: usize,
    /// Messages in a burst.
    pub burst: usize,
    /// Bytes on the wire of one delivery, and of a burst's.
    pub wire_bytes: (usize, usize),
    /// Messages one at a time.
    pub single: Comparison,
    /// Bursts, beside one write of all of a burst's bytes per socket.
    pub burst_joined: Comparison,
    /// Bursts, beside a write of each message per socket.
    pub burst_separate: Comparison,
    /// From sending to receiving, messages one at a time.
    pub latency: Latency,
    /// The same in bursts.
    pub burst_latency: Latency,
    /// Deliveries checked: each once, in order.
    pub deliveries: u64,
}

/// The server beside the bare loop.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// CPU of the server, in µs per delivery.
    pub server_us: Spread,
    /// CPU of the bare loop, in µs per delivery.
    pub bare_us: Spread,
    /// Their ratio, round by round.
    pub ratio: Spread,
}

impl Comparison {
    fn of(server: &[f64], bare: &[f64]) -> Self {
        Self {
            server_us: Spread::of(server.iter().copied()),
            bare_us: Spread::of(bare.iter().copied()),
            ratio: Spread::of(server.iter().zip(bare).map(|(s, b)| s / b)),
        }
    }
}

/// µs per delivery, round by round.
#[derive(Debug, Default)]
struct Rounds {
    single: (Vec<f64>, Vec<f64>),
    joined: (Vec<f64>, Vec<f64>),
    separate: Vec<f64>,
}

/// Measures.
///
/// # Errors
/// When the server fails, or a subscriber misses a message.
pub async fn run(setup: &Setup, plan: &Plan) -> Result<Fanout> {
    let codec = if plan.json { Codec::Json } else { Codec::Proto };
    let (spec, _folder) = setup.spec()?;
    let server = spec.start().await?;
    let tokens = spec.tokens("user-", plan.subscribers + 1).await?;
    print::progress(format_args!("{} subscribers …", plan.subscribers));
    let mut stand = Stand::build(server, codec, &tokens, plan).await?;
    let wire = stand.warm_up().await?;
    let mut rounds = Rounds::default();
    for round in 1..=plan.rounds {
        stand.round(&mut rounds).await?;
        let last = |values: &[f64]| values.last().copied().unwrap_or_default();
        print::progress(format_args!(
            "round {round}: single {:.2} of {:.2} µs; burst {:.3} of {:.3} joined, {:.3} separate",
            last(&rounds.single.0),
            last(&rounds.single.1),
            last(&rounds.joined.0),
            last(&rounds.joined.1),
            last(&rounds.separate),
        ));
    }
    ensure!(
        stand.crowd.faults() == 0,
        "{} deliveries lost or out of order",
        stand.crowd.faults()
    );
    let deliveries = stand.crowd.received(Side::Server);
    let Stand { server, crowd, .. } = stand;
    let latency = Latency::of(&crowd.latencies(false));
    let burst_latency = Latency::of(&crowd.latencies(true));
    server.kill().await?;
    Ok(Fanout {
        host: proc::host(),
        codec,
        subscribers: plan.subscribers,
        burst: plan.burst,
        wire_bytes: wire,
        single: Comparison::of(&rounds.single.0, &rounds.single.1),
        burst_joined: Comparison::of(&rounds.joined.0, &rounds.joined.1),
        burst_separate: Comparison::of(&rounds.joined.0, &rounds.separate),
        latency,
        burst_latency,
        deliveries,
    })
}

/// The server, the bare loop, and those who read from both.
struct Stand<'a> {
    plan: &'a Plan,
    server: Server,
    bare: Bare,
    crowd: Crowd,
    sender: Voice,
    room: String,
    rng: Rng,
}

impl<'a> Stand<'a> {
    async fn build(
        server: Server,
        codec: Codec,
        tokens: &[String],
        plan: &'a Plan,
    ) -> Result<Self> {
        let (address, mut rng) = (server.address(), Rng::new(1));
        let mut sender = Voice::connect(address, codec, None, &tokens[0], vec![]).await?;
        let create = public_room(rng.cid(UnixMs::now().0), "fan-out");
        let room = sender.room(create).await?.room;
        for token in &tokens[1..] {
            let mut voice = Voice::connect(address, codec, None, token, vec![]).await?;
            voice
                .room(Command::RoomJoin(RoomJoin { room: room.clone() }))
                .await?;
        }
        // All have joined before anybody follows, so that nobody hears of the others' joining.
        let mut crowd = Crowd::default();
        for (n, token) in tokens[1..].iter().enumerate() {
            let after = RoomPosition {
                room: room.clone(),
                epoch: 0,
                seq: 0,
            };
            let voice = Voice::connect(address, codec, None, token, vec![after]).await?;
            crowd.add(Side::Server, voice.lean, n == 0);
        }
        let bare = Bare::start(plan.subscribers).await?;
        for _ in 0..plan.subscribers {
            let lean = crate::lean::Lean::plain(bare.address, codec).await?;
            crowd.add(Side::Bare, lean, false);
        }
        Ok(Self {
            plan,
            server,
            bare,
            crowd,
            sender,
            room,
            rng,
        })
    }

    /// Sends until everything is warm, and takes the bytes of one delivery and of a burst.
    async fn warm_up(&mut self) -> Result<(usize, usize)> {
        for _ in 0..3 {
            self.send(self.plan.burst).await?;
            self.send(1).await?;
        }
        self.crowd.capture();
        self.send(1).await?;
        let single = self.crowd.captured();
        // The server may cut one burst in two; the frames of most decide.
        let mut bursts = Vec::new();
        for _ in 0..9 {
            self.crowd.capture();
            self.send(self.plan.burst).await?;
            bursts.push(self.crowd.captured());
        }
        bursts.sort_by_key(Vec::len);
        let joined = bursts.swap_remove(bursts.len() / 2);
        self.bare.ready(&single, &joined).await?;
        self.crowd.forget_latencies();
        Ok((single.len(), joined.len()))
    }

    async fn round(&mut self, rounds: &mut Rounds) -> Result<()> {
        let Plan {
            singles,
            bursts,
            burst,
            ..
        } = *self.plan;
        let many = format!("many {burst}");
        rounds.single.0.push(self.serve(singles, 1).await?);
        rounds.single.1.push(self.write(singles, 1, "one").await?);
        rounds.joined.0.push(self.serve(bursts, burst).await?);
        rounds
            .joined
            .1
            .push(self.write(bursts, burst, "all").await?);
        rounds
            .separate
            .push(self.write(bursts, burst, &many).await?);
        Ok(())
    }

    /// The server delivers; µs of its CPU per delivery.
    async fn serve(&mut self, times: usize, messages: usize) -> Result<f64> {
        let before = self.server.cpu()?;
        for _ in 0..times {
            self.send(messages).await?;
        }
        Ok(self.per_delivery(self.server.cpu()?.since(before), times * messages))
    }

    /// The bare loop writes; µs of its CPU per delivery.
    async fn write(&mut self, times: usize, messages: usize, order: &str) -> Result<f64> {
        let before = self.bare.cpu()?;
        let mut heard = Instant::now();
        for _ in 0..times {
            if heard.elapsed() > SPEAK {
                heard = Instant::now();
                self.speak().await?;
            }
            let done = self
                .crowd
                .expect(Side::Bare, messages * self.plan.subscribers);
            self.bare.order(order).await?;
            done.wait().await?;
        }
        Ok(self.per_delivery(self.bare.cpu()?.since(before), times * messages))
    }

    /// Lets the server hear the sender, who has nothing to send while the bare loop writes.
    async fn speak(&mut self) -> Result<()> {
        let command = Some(Command::Pong(Pong { count: 0 }));
        self.sender
            .lean
            .send(&[ClientMessage { id: 0, command }])
            .await
    }

    fn per_delivery(&self, cpu: Cpu, messages: usize) -> f64 {
        cpu.total().as_secs_f64() * 1e6 / (messages * self.plan.subscribers) as f64
    }

    /// Sends so many messages at once, and waits until everybody has them.
    async fn send(&mut self, messages: usize) -> Result<()> {
        self.crowd.burst(messages > 1);
        let done = self
            .crowd
            .expect(Side::Server, messages * self.plan.subscribers);
        let mut frame = Vec::new();
        for _ in 0..messages {
            let send = Send {
                room: self.room.clone(),
                cid: self.rng.cid(UnixMs::now().0),
                text: self.crowd.stamp(self.plan.text_bytes),
                reply_to: 0,
                ..Send::default()
            };
            let id = self.sender.take_id();
            frame.push(ClientMessage {
                id,
                command: Some(Command::Send(send)),
            });
        }
        self.sender.lean.send(&frame).await?;
        let mut committed = 0;
        while committed < messages {
            for message in self.sender.lean.next().await? {
                if let Some(server_message::Message::Reply(reply)) = message.message {
                    let is_committed = matches!(reply.result, Some(reply::Result::Committed(_)));
                    ensure!(is_committed, "a send was answered with {:?}", reply.result);
                    committed += 1;
                }
            }
        }
        done.wait().await
    }
}
