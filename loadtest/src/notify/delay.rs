//! From a message's commit in a real server to the push service's yes, at a steady rate.
//!
//! Everybody who is written to has a device and is away. The server's own histogram says how long it took from the
//! commit to the yes; the grace, in which nobody is told by design, is taken off.

use super::Plan;
use super::service::Service;
use crate::chat::stats::{Latency, Spread, histogram};
use crate::chat::{Setup, Voice};
use crate::codec::Codec;
use crate::proc::{self, Host};
use crate::rng::Rng;
use crate::server::Server;
use crate::{http, print};
use anyhow::{Context as _, Result, bail, ensure};
use hdrhistogram::Histogram;
use kaiwa_common::limits::NOTIFY_GRACE;
use kaiwa_common::time::UnixMs;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{
    DeviceRegister, RoomCreate, RoomKind, Send, WebPushAddress, device_register, reply,
};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delay {
    /// The machine.
    pub host: Host,
    /// Messages a second that were asked for.
    pub asked_per_s: u32,
    /// That were committed, each to one person who is away.
    pub per_s: Spread,
    /// How long a round was.
    pub seconds: u32,
    /// What was taken off, in ms.
    pub grace_ms: f64,
    /// From the commit to the yes without the grace, in ms: half are below.
    pub p50_ms: Spread,
    /// 99 of 100 are below.
    pub p99_ms: Spread,
    /// Of the same messages, from the sending to the reply that they are committed, in ms.
    pub commit_p50_ms: Spread,
    /// 99 of 100 are below.
    pub commit_p99_ms: Spread,
    /// Cores that the server used.
    pub cpu: Spread,
    /// Messages of all rounds; there were as many pushes.
    pub messages: u64,
}

#[derive(Debug)]
struct Round {
    per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    commits: Latency,
    cpu: f64,
    messages: u64,
}

/// People who write at the same time, each waiting for the reply before the next message.
const SENDERS: usize = 50;

/// People who are written to, as many as the push service has subscriptions.
const PEOPLE: usize = 1_000;

/// A room's pushes that are not gathered within a minute: more of one room would be one push.
const UNGATHERED: usize = 3;

const DELIVERIES: &str = "kaiwa_notifier_delivery_seconds";

/// Until the last push after the last message: the grace, and plenty.
const LAST: Duration = Duration::from_secs(30);

/// Measures.
///
/// # Errors
/// When the server fails or refuses, or a push does not come.
pub async fn run(setup: &Setup, plan: &Plan) -> Result<Delay> {
    let mut rounds = Vec::new();
    for number in 1..=plan.rounds {
        let one = round(setup, plan).await?;
        print::progress(format_args!(
            "round {number}: {:.0} messages/s, commit to accepted {:.0} ms, p99 {:.0} ms; {:.2} cores",
            one.per_s, one.p50_ms, one.p99_ms, one.cpu
        ));
        rounds.push(one);
    }
    let of = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    Ok(Delay {
        host: proc::host(),
        asked_per_s: plan.per_s,
        per_s: of(|one| one.per_s),
        seconds: plan.seconds,
        grace_ms: NOTIFY_GRACE.as_secs_f64() * 1e3,
        p50_ms: of(|one| one.p50_ms),
        p99_ms: of(|one| one.p99_ms),
        commit_p50_ms: of(|one| one.commits.p50_us as f64 / 1e3),
        commit_p99_ms: of(|one| one.commits.p99_us as f64 / 1e3),
        cpu: of(|one| one.cpu),
        messages: rounds.iter().map(|one| one.messages).sum(),
    })
}

/// A fresh server, so that its histogram is of this round.
async fn round(setup: &Setup, plan: &Plan) -> Result<Round> {
    let (mut spec, folder) = setup.spec()?;
    let service = Service::start(&plan.examples, PEOPLE).await?;
    let authority = folder.path().join("push-ca.pem");
    std::fs::write(&authority, &service.ca)?;
    let variable = |name: &str, value: String| (name.to_owned(), value);
    spec.variables.extend([
        variable(
            "KAIWA_PUSH__ALLOWED_PRIVATE",
            "[\"127.0.0.0/8\"]".to_owned(),
        ),
        variable("KAIWA_PUSH__EXTRA_CA", authority.display().to_string()),
    ]);
    let server = spec.start().await?;
    let each = plan.per_s as usize * plan.seconds as usize / SENDERS;
    let people = spec.tokens("away-", PEOPLE).await?;
    let writers = spec.tokens("writer-", SENDERS).await?;
    register(server.address(), people, &service.addresses).await?;
    let rooms = found(server.address(), &writers, each.div_ceil(UNGATHERED)).await?;
    // Nobody has a session any more: all are away, and were not here lately.
    server.terminate().await?;
    let server = spec.start().await?;
    let (cpu, start) = (server.cpu()?, Instant::now());
    let period = Duration::from_secs(u64::from(plan.seconds)) / u32::try_from(each)?;
    let commits = load(server.address(), &writers, rooms, (each, period)).await?;
    let took = start.elapsed().as_secs_f64();
    let cpu = server.cpu()?.since(cpu).total().as_secs_f64() / took;
    let (p50, p99) = accepted(&server, commits.len()).await?;
    server.kill().await?;
    let without = |seconds: f64| (seconds - NOTIFY_GRACE.as_secs_f64()) * 1e3;
    Ok(Round {
        per_s: commits.len() as f64 / took,
        p50_ms: without(p50),
        p99_ms: without(p99),
        commits: Latency::of(&commits),
        cpu,
        messages: commits.len(),
    })
}

async fn register(
    server: SocketAddr,
    people: Vec<String>,
    addresses: &[WebPushAddress],
) -> Result<()> {
    let mut rng = Rng::new(2);
    let mut lanes: Vec<Vec<_>> = (0..SENDERS).map(|_| Vec::new()).collect();
    for (n, (token, address)) in people.into_iter().zip(addresses).enumerate() {
        let device = rng.cid(UnixMs::now().0);
        lanes[n % SENDERS].push((token, device, address.clone()));
    }
    let mut tasks = JoinSet::new();
    for lane in lanes {
        tasks.spawn(async move {
            for (token, device_id, address) in lane {
                let mut voice = Voice::connect(server, Codec::Proto, None, &token, vec![]).await?;
                let register = DeviceRegister {
                    device_id,
                    name: "Browser".to_owned(),
                    address: Some(device_register::Address::WebPush(address)),
                };
                let result = voice.request(Command::DeviceRegister(register)).await?;
                let is_refused = matches!(result, reply::Result::Error(_));
                ensure!(!is_refused, "a device was refused: {result:?}");
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

/// So many direct rooms for each writer; gives each one's.
async fn found(server: SocketAddr, writers: &[String], each: usize) -> Result<Vec<Vec<String>>> {
    ensure!(
        each <= PEOPLE,
        "a writer has one room with each of {PEOPLE} people"
    );
    let mut tasks = JoinSet::new();
    for (n, token) in writers.iter().cloned().enumerate() {
        tasks.spawn(async move {
            let mut voice = Voice::connect(server, Codec::Proto, None, &token, vec![]).await?;
            let mut rooms = Vec::with_capacity(each);
            for room in 0..each {
                let other = (n * each + room) % PEOPLE;
                let create = RoomCreate {
                    kind: RoomKind::Direct.into(),
                    members: vec![format!("away-{other}")],
                    ..RoomCreate::default()
                };
                rooms.push(voice.room(Command::RoomCreate(create)).await?.room);
            }
            anyhow::Ok((n, rooms))
        });
    }
    let mut all = vec![Vec::new(); writers.len()];
    while let Some(ended) = tasks.join_next().await {
        let (n, rooms) = ended??;
        all[n] = rooms;
    }
    Ok(all)
}

/// Everybody writes so many messages, one in each period; gives how long the replies took, in µs.
async fn load(
    server: SocketAddr,
    writers: &[String],
    rooms: Vec<Vec<String>>,
    (each, period): (usize, Duration),
) -> Result<Histogram<u64>> {
    let mut tasks = JoinSet::new();
    let mut rng = Rng::new(u64::try_from(UnixMs::now().0)?);
    let mut voices = Vec::new();
    for token in writers {
        voices.push(Voice::connect(server, Codec::Proto, None, token, vec![]).await?);
    }
    let start = tokio::time::Instant::now();
    for (n, (mut voice, rooms)) in voices.into_iter().zip(rooms).enumerate() {
        let mut rng = rng.fork();
        // Their turns are spread over the period.
        let begin = start + period * u32::try_from(n)? / u32::try_from(writers.len())?;
        tasks.spawn(async move {
            let mut latencies = histogram();
            for (turn, room) in (0..each).zip(rooms.iter().cycle()) {
                tokio::time::sleep_until(begin + period * u32::try_from(turn)?).await;
                let sent = Instant::now();
                let send = Send {
                    room: room.clone(),
                    cid: rng.cid(UnixMs::now().0),
                    text: "Shall we meet at noon, at the usual place?".to_owned(),
                    ..Send::default()
                };
                let result = voice.request(Command::Send(send)).await?;
                let is_committed = matches!(result, reply::Result::Committed(_));
                ensure!(is_committed, "a send was answered with {result:?}");
                latencies.saturating_record(u64::try_from(sent.elapsed().as_micros())?);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = histogram();
    while let Some(ended) = tasks.join_next().await {
        all += ended??;
    }
    Ok(all)
}

/// Once so many pushes are accepted: half of them, and 99 of 100, within so many seconds of the commit.
async fn accepted(server: &Server, messages: u64) -> Result<(f64, f64)> {
    let end = Instant::now() + LAST;
    loop {
        let text = http::get(server.address(), "/metrics").await?;
        let count = value(&text, &format!("{DELIVERIES}_count"), "").unwrap_or(0.0);
        if count >= messages as f64 {
            let quantile = |which: &str| {
                let label = format!("quantile=\"{which}\"");
                value(&text, DELIVERIES, &label).with_context(|| format!("no {label}"))
            };
            return Ok((quantile("0.5")?, quantile("0.99")?));
        }
        if Instant::now() > end {
            bail!("{count} pushes were accepted of {messages} messages");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The value of a series by its name and one of its labels; there is one channel.
fn value(text: &str, name: &str, label: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (of, labels) = series.split_once('{')?;
        (of == name && labels.contains(label)).then(|| value.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_found_by_its_label() {
        let text = "# TYPE d summary\nd{channel=\"webpush\",quantile=\"0.5\"} 2.04\n\
                    d{channel=\"webpush\",quantile=\"0.99\"} 2.2\nd_sum{channel=\"webpush\"} 9\n\
                    d_count{channel=\"webpush\"} 4\n";
        assert_eq!(value(text, "d", "quantile=\"0.99\""), Some(2.2));
        assert_eq!(value(text, "d_count", ""), Some(4.0));
        assert_eq!(value(text, "e", ""), None);
    }
}
