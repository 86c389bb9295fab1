//! How long `GetClip` and `IssueUploadCredentials` take over HTTP and over gRPC while many callers make them, each the next
//! as soon as the last is answered.

use super::api::Person;
use super::{Plan, grpc};
use crate::chat::Setup;
use crate::chat::stats::{Latency, Spread, histogram};
use crate::print;
use crate::proc::{self, Host};
use crate::rng::Rng;
use crate::server::{Server, Spec, free_address};
use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use kaiwa_common::limits::CLIP_PART_BYTES;
use kaiwa_common::time::UnixMs;
use kaiwa_proto::media::v1;
use kaiwa_proto::media::v1::upload_grant::Way;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
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
    /// Each call in each form.
    pub calls: Vec<CallFigures>,
}

/// Of one call in one form; times are in ms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallFigures {
    /// Which call.
    pub call: Call,
    /// In which form.
    pub form: Form,
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

/// A call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// `GetClip`.
    Get,
    /// `IssueUploadCredentials`.
    Issue,
}

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// JSON over HTTP/1.1.
    Http,
    /// gRPC, plain.
    Grpc,
}

const ALL: [(Call, Form); 4] = [
    (Call::Get, Form::Http),
    (Call::Get, Form::Grpc),
    (Call::Issue, Form::Http),
    (Call::Issue, Form::Grpc),
];

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
    let grpc = free_address()?;
    let listen = ("KAIWA_CLIPS__GRPC_LISTEN".to_owned(), grpc.to_string());
    spec.variables.push(listen);
    let server = spec.start().await?;
    let mut rng = Rng::new(u64::try_from(UnixMs::now().0)?);
    let people = people(&spec, &server, plan.callers, &mut rng).await?;
    let mut rounds: [Vec<Round>; ALL.len()] = Default::default();
    for number in 0..plan.rounds {
        for ((call, form), rounds) in ALL.into_iter().zip(&mut rounds) {
            let mut callers = Vec::new();
            for (token, clip) in &people {
                let line = match form {
                    Form::Http => {
                        let token = token.clone();
                        Line::Http(Person::connect(server.address(), token, rng.fork()).await?)
                    }
                    Form::Grpc => Line::Grpc(grpc::Person::connect(grpc, token).await?),
                };
                callers.push(Caller {
                    line,
                    clip: clip.clone(),
                    rng: rng.fork(),
                });
            }
            let round = round(&server, callers, call, plan.seconds).await?;
            print::progress(format_args!(
                "round {number}: {call:?} {form:?} {:.0}/s, p99 {} µs, {:.0} µs of CPU each",
                round.per_s,
                round.latencies.value_at_percentile(99.0),
                round.cpu_us
            ));
            rounds.push(round);
        }
    }
    server.kill().await?;
    let calls = ALL.into_iter().zip(&rounds);
    Ok(ClipCalls {
        host: proc::host(),
        callers: plan.callers,
        parts: PARTS,
        calls: calls
            .map(|(which, rounds)| figures(which, rounds))
            .collect(),
    })
}

/// So many people, each with a clip in a room of their own: tokens and clips.
async fn people(
    spec: &Spec,
    server: &Server,
    count: usize,
    rng: &mut Rng,
) -> Result<Vec<(String, String)>> {
    let mut people = Vec::new();
    for token in spec.tokens("caller-", count).await? {
        let mut person = Person::connect(server.address(), token.clone(), rng.fork()).await?;
        let room = person.room().await?;
        let clip = person.register(&room, PARTS * CLIP_PART_BYTES).await?;
        people.push((token, clip));
    }
    Ok(people)
}

fn figures((call, form): (Call, Form), rounds: &[Round]) -> CallFigures {
    let ms = |percentile: f64| {
        let value = move |one: &Round| one.latencies.value_at_percentile(percentile) as f64 / 1e3;
        Spread::of(rounds.iter().map(value))
    };
    let mut all = histogram();
    for round in rounds {
        all += &round.latencies;
    }
    CallFigures {
        call,
        form,
        per_s: Spread::of(rounds.iter().map(|one| one.per_s)),
        p50_ms: ms(50.0),
        p99_ms: ms(99.0),
        cpu_us: Spread::of(rounds.iter().map(|one| one.cpu_us)),
        latency: Latency::of(&all),
    }
}

async fn round(server: &Server, callers: Vec<Caller>, call: Call, seconds: u64) -> Result<Round> {
    let (before, begun) = (server.cpu()?, Instant::now());
    let end = begun + Duration::from_secs(seconds);
    let mut calling = JoinSet::new();
    for caller in callers {
        calling.spawn(calls(caller, call, end));
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

/// A person's clip, and how it is asked about.
struct Caller {
    line: Line,
    clip: String,
    rng: Rng,
}

enum Line {
    Http(Person),
    Grpc(grpc::Person),
}

/// The same parts, as each form has them.
struct Asked {
    json: Vec<Value>,
    proto: Vec<v1::PartPlan>,
}

/// Calls until that time; gives how long each took, in µs.
async fn calls(mut caller: Caller, call: Call, end: Instant) -> Result<Histogram<u64>> {
    let mut latencies = histogram();
    let asked = asked()?;
    let (get, issue) = (
        format!("/api/v1/clips/{}", caller.clip),
        format!("/api/v1/clips/{}/upload", caller.clip),
    );
    while Instant::now() < end {
        let key = caller.rng.cid(UnixMs::now().0);
        let begun = Instant::now();
        match (&mut caller.line, call) {
            (Line::Http(person), Call::Get) => {
                person.call("GET", &get, None).await?;
            }
            (Line::Http(person), Call::Issue) => {
                let ask = json!({ "requestId": key, "parts": asked.json });
                person.call("POST", &issue, Some(&ask)).await?;
            }
            (Line::Grpc(person), Call::Get) => person.get(&caller.clip).await?,
            (Line::Grpc(person), Call::Issue) => {
                let grant = person.issue(&caller.clip, key, &asked.proto).await?;
                let is_whole = matches!(grant.way, Some(Way::Parts(parts)) if parts.parts.len() == asked.proto.len());
                ensure!(is_whole, "another grant than was asked for");
            }
        }
        latencies.saturating_record(u64::try_from(begun.elapsed().as_micros())?);
    }
    Ok(latencies)
}

/// Each part with a CRC-32C.
fn asked() -> Result<Asked> {
    let size = CLIP_PART_BYTES.to_string();
    let json =
        (1..=PARTS).map(|number| json!({ "number": number, "size": size, "crc32c": "4waSgw==" }));
    let proto = (1..=u32::try_from(PARTS)?).map(|number| v1::PartPlan {
        number,
        size: CLIP_PART_BYTES,
        crc32c: b"\xe3\x06\x92\x83".as_slice().into(),
        ..v1::PartPlan::default()
    });
    Ok(Asked {
        json: json.collect(),
        proto: proto.collect(),
    })
}
