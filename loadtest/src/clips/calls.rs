//! How long `GetClip` and `IssueUploadCredentials` take while many callers make them, each the next as soon as the last
//! is answered.

use super::Plan;
use super::api::{Person, with_clips};
use crate::chat::Setup;
use crate::chat::stats::{Latency, Spread, histogram};
use crate::print;
use crate::proc::{self, Host};
use crate::rng::Rng;
use crate::server::Server;
use anyhow::Result;
use hdrhistogram::Histogram;
use kaiwa_common::limits::CLIP_PART_BYTES;
use kaiwa_common::time::UnixMs;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClipCalls {
    /// The machine.
    pub host: Host,
    /// Callers at once, each a person with a room, a clip and a connection.
    pub callers: usize,
    /// Parts that one `IssueUploadCredentials` asks for.
    pub parts: u64,
    /// `GetClip`.
    pub get: CallFigures,
    /// `IssueUploadCredentials`.
    pub issue: CallFigures,
}

/// Of one call; times are in ms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallFigures {
    /// Answers a second.
    pub per_s: Spread,
    /// Half are below.
    pub p50_ms: Spread,
    /// 99 of 100 are below.
    pub p99_ms: Spread,
    /// The server's CPU for one, in µs.
    pub cpu_us: Spread,
    /// All rounds together.
    pub latency: Latency,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Get,
    Issue,
}

#[derive(Debug)]
struct Round {
    per_s: f64,
    cpu_us: f64,
    latencies: Histogram<u64>,
}

/// As many as a browser asks for at once.
const PARTS: u64 = 8;

/// Measures.
///
/// # Errors
/// When the server fails or refuses.
pub async fn run(setup: &Setup, plan: &Plan) -> Result<ClipCalls> {
    let (mut spec, _folder) = setup.spec()?;
    with_clips(&mut spec);
    let server = spec.start().await?;
    let mut rng = Rng::new(u64::try_from(UnixMs::now().0)?);
    let mut clips = Vec::new();
    let tokens = spec.tokens("caller-", plan.callers).await?;
    for token in &tokens {
        let mut person = Person::connect(server.address(), token.clone(), rng.fork()).await?;
        let room = person.room().await?;
        clips.push(person.register(&room, PARTS * CLIP_PART_BYTES).await?);
    }
    let (mut gets, mut issues) = (Vec::new(), Vec::new());
    for number in 0..plan.rounds {
        for (which, rounds) in [(Which::Get, &mut gets), (Which::Issue, &mut issues)] {
            let mut people = Vec::new();
            for (token, clip) in tokens.iter().zip(&clips) {
                let person = Person::connect(server.address(), token.clone(), rng.fork()).await?;
                people.push((person, clip.clone()));
            }
            let round = round(&server, people, which, plan.seconds).await?;
            print::progress(format_args!(
                "round {number}: {which:?} {:.0}/s, p99 {} µs, {:.0} µs of CPU each",
                round.per_s,
                round.latencies.value_at_percentile(99.0),
                round.cpu_us
            ));
            rounds.push(round);
        }
    }
    server.kill().await?;
    Ok(ClipCalls {
        host: proc::host(),
        callers: plan.callers,
        parts: PARTS,
        get: figures(&gets),
        issue: figures(&issues),
    })
}

fn figures(rounds: &[Round]) -> CallFigures {
    let ms = |percentile: f64| {
        let value = move |one: &Round| one.latencies.value_at_percentile(percentile) as f64 / 1e3;
        Spread::of(rounds.iter().map(value))
    };
    let mut all = histogram();
    for round in rounds {
        all += &round.latencies;
    }
    CallFigures {
        per_s: Spread::of(rounds.iter().map(|one| one.per_s)),
        p50_ms: ms(50.0),
        p99_ms: ms(99.0),
        cpu_us: Spread::of(rounds.iter().map(|one| one.cpu_us)),
        latency: Latency::of(&all),
    }
}

async fn round(
    server: &Server,
    people: Vec<(Person, String)>,
    which: Which,
    seconds: u64,
) -> Result<Round> {
    let (before, begun) = (server.cpu()?, Instant::now());
    let end = begun + Duration::from_secs(seconds);
    let mut calling = JoinSet::new();
    for (person, clip) in people {
        calling.spawn(calls(person, clip, which, end));
    }
    let mut latencies = histogram();
    while let Some(ended) = calling.join_next().await {
        latencies += ended??;
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu = server.cpu()?.since(before).total().as_secs_f64();
    let number = latencies.len() as f64;
    Ok(Round {
        per_s: number / took,
        cpu_us: cpu * 1e6 / number,
        latencies,
    })
}

/// Calls until that time; gives how long each took, in µs.
async fn calls(
    mut person: Person,
    clip: String,
    which: Which,
    end: Instant,
) -> Result<Histogram<u64>> {
    let mut latencies = histogram();
    let size = CLIP_PART_BYTES.to_string();
    let parts: Vec<_> = (1..=PARTS)
        .map(|number| json!({ "number": number, "size": size }))
        .collect();
    let (get, issue) = (
        format!("/api/v1/clips/{clip}"),
        format!("/api/v1/clips/{clip}/upload"),
    );
    while Instant::now() < end {
        let key = person.key();
        let ask = json!({ "requestId": key, "mode": "UPLOAD_MODE_MULTIPART", "parts": parts });
        let begun = Instant::now();
        match which {
            Which::Get => person.call("GET", &get, None).await?,
            Which::Issue => person.call("POST", &issue, Some(&ask)).await?,
        };
        latencies.saturating_record(u64::try_from(begun.elapsed().as_micros())?);
    }
    Ok(latencies)
}
