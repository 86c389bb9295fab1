//! Uploads through a real server into its embedded store, beside a plain write and fsync of the same bytes.

use super::api::{Person, with_clips};
use super::sender::{self, Part};
use super::sum::Kind;
use super::{Plan, floor};
use crate::chat::Setup;
use crate::chat::stats::Spread;
use crate::print;
use crate::proc::{self, Host};
use crate::rng::Rng;
use crate::server::Server;
use anyhow::{Context as _, Result, ensure};
use kaiwa_common::limits::{CLIP_PART_BYTES, CLIP_PARTS_ASKED};
use kaiwa_common::time::UnixMs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

/// The figures. Rates are in MB/s (10⁶ bytes).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upload {
    /// The machine.
    pub host: Host,
    /// Bytes of an upload.
    pub bytes: u64,
    /// Connections of an upload.
    pub lanes: usize,
    /// Written and synced alone.
    pub written_mb_s: Spread,
    /// Received over loopback, written and synced.
    pub received_mb_s: Spread,
    /// With each kind of checksum.
    pub kinds: Vec<KindFigures>,
}

/// Of uploads whose parts have this kind of checksum.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KindFigures {
    /// Which.
    pub kind: Kind,
    /// From asking for the way in to the answer that it is complete.
    pub upload_mb_s: Spread,
    /// Written, summed and synced.
    pub summed_mb_s: Spread,
    /// The upload's rate over each of these, round by round.
    pub to_written: Spread,
    /// See `to_written`.
    pub to_summed: Spread,
    /// See `to_written`.
    pub to_received: Spread,
    /// CPU of the server, in seconds a GB (10⁹ bytes).
    pub server_s_per_gb: Spread,
    /// CPU of the sender.
    pub sender_s_per_gb: Spread,
}

#[derive(Debug)]
struct Round {
    written: f64,
    received: f64,
    /// In the order of [`Kind::ALL`].
    kinds: [KindRound; 2],
}

#[derive(Debug)]
struct KindRound {
    upload: f64,
    summed: f64,
    server: f64,
    sender: f64,
}

/// What every part is made of, again and again: it stays in a core's cache.
pub(super) static PATTERN: [u8; 256 * 1024] = [7; 256 * 1024];

/// Measures.
///
/// # Errors
/// When the server fails or refuses.
pub async fn run(setup: &Setup, plan: &Plan) -> Result<Upload> {
    let (mut spec, folder) = setup.spec()?;
    with_clips(&mut spec);
    let server = spec.start().await?;
    let tokens = spec.tokens("uploader-", plan.rounds + 1).await?;
    let mut rng = Rng::new(u64::try_from(UnixMs::now().0)?);
    let (path, bytes) = (folder.path().join("floor"), plan.mib << 20);
    let mut rounds = Vec::new();
    for (number, token) in tokens.into_iter().enumerate() {
        let mut person = Person::connect(server.address(), token, rng.fork()).await?;
        let room = person.room().await?;
        let written = rate(bytes, floor::written(&path, bytes)?);
        let mut kinds = Vec::new();
        for kind in Kind::ALL {
            person.reconnect().await?;
            let own = Own {
                room: &room,
                path: &path,
                bytes,
                lanes: plan.lanes,
            };
            kinds.push(one(&server, &mut person, own, kind).await?);
        }
        let round = Round {
            written,
            received: rate(bytes, floor::received(&path, bytes)?),
            kinds: kinds.try_into().ok().context("two kinds")?,
        };
        print::progress(format_args!("round {number}: {round:.2?}"));
        // The first touches memory and disk that nobody had touched.
        if number > 0 {
            rounds.push(round);
        }
    }
    server.kill().await?;
    Ok(figures(plan, &rounds))
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}

/// What an upload of a round is.
#[derive(Debug, Clone, Copy)]
struct Own<'a> {
    room: &'a str,
    path: &'a Path,
    bytes: u64,
    lanes: usize,
}

/// An upload with that checksum, and its floor.
async fn one(server: &Server, person: &mut Person, own: Own<'_>, kind: Kind) -> Result<KindRound> {
    let (before, sender) = (server.cpu()?, proc::cpu(std::process::id())?);
    let begun = Instant::now();
    bring(server, person, own.room, (own.bytes, kind), own.lanes).await?;
    let upload = rate(own.bytes, begun.elapsed());
    let per_gb = |cpu: proc::Cpu| cpu.total().as_secs_f64() / (own.bytes as f64 / 1e9);
    Ok(KindRound {
        upload,
        server: per_gb(server.cpu()?.since(before)),
        sender: per_gb(proc::cpu(std::process::id())?.since(sender)),
        summed: rate(own.bytes, floor::summed(own.path, own.bytes, kind)?),
    })
}

fn figures(plan: &Plan, rounds: &[Round]) -> Upload {
    let of = |value: fn(&Round) -> f64| Spread::of(rounds.iter().map(value));
    let kinds = Kind::ALL.into_iter().enumerate();
    Upload {
        host: proc::host(),
        bytes: plan.mib << 20,
        lanes: plan.lanes,
        written_mb_s: of(|one| one.written),
        received_mb_s: of(|one| one.received),
        kinds: kinds
            .map(|(place, kind)| kind_figures(kind, place, rounds))
            .collect(),
    }
}

fn kind_figures(kind: Kind, place: usize, rounds: &[Round]) -> KindFigures {
    let of = |value: fn(&Round, &KindRound) -> f64| {
        let values = rounds
            .iter()
            .filter_map(|round| Some(value(round, round.kinds.get(place)?)));
        Spread::of(values)
    };
    KindFigures {
        kind,
        upload_mb_s: of(|_, one| one.upload),
        summed_mb_s: of(|_, one| one.summed),
        to_written: of(|round, one| one.upload / round.written),
        to_summed: of(|_, one| one.upload / one.summed),
        to_received: of(|round, one| one.upload / round.received),
        server_s_per_gb: of(|_, one| one.server),
        sender_s_per_gb: of(|_, one| one.sender),
    }
}

/// One whole upload: registered, its parts signed and sent over so many connections, completed.
pub(super) async fn bring(
    server: &Server,
    person: &mut Person,
    room: &str,
    (bytes, kind): (u64, Kind),
    lanes: usize,
) -> Result<()> {
    let clip = person.register(room, bytes).await?;
    let parts = signed(person, &clip, bytes, kind).await?;
    let address = server.address();
    let mut sending = tokio::task::JoinSet::new();
    for lane in 0..lanes {
        let parts: Vec<_> = parts.iter().skip(lane).step_by(lanes).cloned().collect();
        sending.spawn_blocking(move || sent(address, &parts));
    }
    while let Some(ended) = sending.join_next().await {
        ended??;
    }
    person.reconnect().await?;
    let complete = json!({ "requestId": person.key() });
    let path = format!("/api/v1/clips/{clip}/complete");
    person.call("POST", &path, Some(&complete)).await?;
    Ok(())
}

fn sent(address: SocketAddr, parts: &[Part]) -> Result<()> {
    let marks = sender::send(address, &PATTERN, parts)?;
    ensure!(
        marks.iter().all(|mark| !mark.is_empty()),
        "a part has no mark"
    );
    Ok(())
}

/// All parts of a clip, each with its checksum.
async fn signed(person: &mut Person, clip: &str, bytes: u64, kind: Kind) -> Result<Vec<Part>> {
    let sum = |bytes| kind.of(&PATTERN, bytes);
    let (whole, last) = (sum(CLIP_PART_BYTES), bytes % CLIP_PART_BYTES);
    let last_sum = sum(last);
    let wanted: Vec<Value> = (1..=bytes.div_ceil(CLIP_PART_BYTES))
        .map(|number| {
            let size = CLIP_PART_BYTES.min(bytes - (number - 1) * CLIP_PART_BYTES);
            let sum = if size == last { &last_sum } else { &whole };
            json!({ "number": number, "size": size.to_string(), kind.field(): sum })
        })
        .collect();
    let mut parts = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(CLIP_PARTS_ASKED) {
        let ask =
            json!({ "requestId": person.key(), "mode": "UPLOAD_MODE_MULTIPART", "parts": some });
        let path = format!("/api/v1/clips/{clip}/upload");
        let grant = person.call("POST", &path, Some(&ask)).await?;
        let granted = grant["parts"]["parts"].as_array().context("no parts")?;
        ensure!(granted.len() == some.len(), "{} parts", granted.len());
        for (part, asked) in granted.iter().zip(some) {
            parts.push(read(part, asked)?);
        }
    }
    Ok(parts)
}

fn read(part: &Value, asked: &Value) -> Result<Part> {
    let headers = part["headers"].as_object().context("no headers")?;
    let header = |(name, value): (&String, &Value)| {
        let value = value.as_str().unwrap_or_default().to_owned();
        (!name.eq_ignore_ascii_case("content-length")).then(|| (name.clone(), value))
    };
    Ok(Part {
        target: part["url"].as_str().context("no URL")?.to_owned(),
        headers: headers.iter().filter_map(header).collect(),
        bytes: asked["size"].as_str().context("no size")?.parse()?,
    })
}
