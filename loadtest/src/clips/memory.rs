//! The server's resident memory while four large uploads run at once.

use super::Plan;
use super::api::{Person, with_clips};
use super::sum::Kind;
use super::upload::bring;
use crate::chat::Setup;
use crate::print;
use crate::proc::{self, Host};
use crate::rng::Rng;
use crate::server::Server;
use anyhow::Result;
use futures_util::future::try_join_all;
use kaiwa_common::time::UnixMs;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The figures; memory is resident and belongs to no file (`RssAnon`), in bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadMemory {
    /// The machine.
    pub host: Host,
    /// Uploads at once.
    pub uploads: usize,
    /// Bytes of each.
    pub bytes: u64,
    /// Before them.
    pub before: u64,
    /// The most in each tenth of the time.
    pub tenths: Vec<u64>,
    /// All together, in MB/s.
    pub mb_s: f64,
}

const UPLOADS: usize = 4;
const TENTHS: usize = 10;
const TICK: Duration = Duration::from_millis(50);

/// Measures.
///
/// # Errors
/// When the server fails or refuses.
pub async fn run(setup: &Setup, plan: &Plan) -> Result<UploadMemory> {
    let (mut spec, _folder) = setup.spec()?;
    with_clips(&mut spec);
    let server = spec.start().await?;
    let mut rng = Rng::new(u64::try_from(UnixMs::now().0)?);
    let (mut people, bytes) = (Vec::new(), plan.memory_mib << 20);
    for token in spec.tokens("uploader-", UPLOADS).await? {
        let mut person = Person::connect(server.address(), token, rng.fork()).await?;
        let room = person.room().await?;
        people.push((person, room));
    }
    let (before, begun) = (server.memory()?.anon, Instant::now());
    let all = people
        .iter_mut()
        .map(|(person, room)| bring(&server, person, room, (bytes, Kind::Crc32c), plan.lanes));
    let mut samples = Vec::new();
    tokio::select! {
        ended = try_join_all(all) => { ended?; }
        Err(error) = sample(&server, &mut samples) => return Err(error),
    }
    let took = begun.elapsed().as_secs_f64();
    let tenths: Vec<u64> = samples
        .chunks(samples.len().div_ceil(TENTHS).max(1))
        .map(|some| some.iter().copied().max().unwrap_or(0))
        .collect();
    print::progress(format_args!("{before} before, then {tenths:?}"));
    server.kill().await?;
    Ok(UploadMemory {
        host: proc::host(),
        uploads: UPLOADS,
        bytes,
        before,
        tenths,
        mb_s: UPLOADS as f64 * bytes as f64 / 1e6 / took,
    })
}

/// Looks until somebody stops it; ends by itself only when the server is gone.
async fn sample(server: &Server, samples: &mut Vec<u64>) -> Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        samples.push(server.memory()?.anon);
    }
}
