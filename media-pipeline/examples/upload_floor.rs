//! Uploads into the embedded store, through its router over loopback, beside a plain write and fsync of the same
//! bytes; and how much memory several large ones take.
//!
//! `upload_floor [DIR] [MB] [MEMORY_MB] [ROUNDS]`: the folder (emptied of what this makes), the size of one upload
//! whose time is taken (default 512), the size of each of four that run at once (default 2048), and rounds (3).
#![expect(clippy::print_stdout, reason = "figures are its output")]

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use kaiwa_common::redact::Secret;
use kaiwa_media_pipeline::objects::http::{HttpOptions, router};
use kaiwa_media_pipeline::objects::sign::{Keyring, SigningKey};
use kaiwa_media_pipeline::objects::{FolderObjects, FolderOptions};
use kaiwa_media_pipeline::ports::{Objects, PartPlan};
use kaiwa_platform::clock::SystemClock;
use kaiwa_platform::sqlite::{Sqlite, SqliteOptions};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;
type Body = http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>;

const PART: u64 = 8 * 1024 * 1024;
const PIECE: usize = 64 * 1024;
/// Parts of one upload that are under way at once, as a browser does.
const LANES: usize = 4;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |place: usize, default: u64| args.get(place).map_or(Ok(default), |text| text.parse());
    let dir = PathBuf::from(args.first().map_or("upload-floor", String::as_str));
    let (mb, memory_mb, rounds) = (number(1, 512)?, number(2, 2048)?, number(3, 3)?);
    std::fs::create_dir_all(&dir)?;
    let server = Server::start(&dir).await?;
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let floor = floor(&dir.join("floor"), mb << 20)?;
        let through = server.upload(&format!("a/{round}"), mb << 20).await?;
        server.objects.delete_prefix("a/").await?;
        let rate = |time: Duration| (mb << 20) as f64 / 1e6 / time.as_secs_f64();
        println!(
            "write+fsync {:.0} MB/s, upload {:.0} MB/s (of it completing {:.0} ms)",
            rate(floor),
            rate(through.0),
            through.1.as_secs_f64() * 1e3
        );
        ratios.push(rate(through.0) / rate(floor));
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "upload_ratio_median {:.2}",
        ratios.get(ratios.len() / 2).copied().unwrap_or_default()
    );
    memory(&server, memory_mb).await?;
    drop(server);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Four uploads at once, and the process's resident memory while they run.
async fn memory(server: &Server, mb: u64) -> Result<(), Failure> {
    let before = resident()?;
    let sizes = tokio::spawn(async {
        let (mut tick, mut most) = (tokio::time::interval(Duration::from_millis(50)), Vec::new());
        loop {
            tick.tick().await;
            most.push(resident().unwrap_or(0));
            if most.len() > 100_000 {
                return most;
            }
            let _ = SAMPLES.send_replace(most.clone());
        }
    });
    let begun = Instant::now();
    let all = (0..4).map(|n| async move { server.upload(&format!("m/{n}"), mb << 20).await });
    futures_util::future::try_join_all(all).await?;
    let seconds = begun.elapsed().as_secs_f64();
    sizes.abort();
    let samples = SAMPLES.borrow().clone();
    let quarter = samples.len() / 4;
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or(0) >> 10;
    println!(
        "four uploads of {mb} MB: {:.0} MB/s together; resident {} MiB before, at most {} MiB in the first quarter, {} MiB after it",
        (4 * mb) as f64 * 1.048_576 / seconds,
        before >> 10,
        most(samples.get(..quarter).unwrap_or_default()),
        most(samples.get(quarter..).unwrap_or_default()),
    );
    server.objects.delete_prefix("m/").await?;
    Ok(())
}

static SAMPLES: std::sync::LazyLock<tokio::sync::watch::Sender<Vec<u64>>> =
    std::sync::LazyLock::new(|| tokio::sync::watch::Sender::new(Vec::new()));

/// KiB. The client is in this process too.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS")?.parse()?)
}

/// The bytes of an upload, all alike: what is measured does not look at them.
fn piece() -> Bytes {
    static PIECES: std::sync::LazyLock<Bytes> = std::sync::LazyLock::new(|| {
        Bytes::from(
            (0..PIECE)
                .map(|n| u8::try_from(n % 251).unwrap_or(0))
                .collect::<Vec<_>>(),
        )
    });
    PIECES.clone()
}

fn floor(path: &Path, size: u64) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let mut file = std::fs::File::create(path)?;
    let piece = vec![7; 1024 * 1024];
    for _ in 0..size / piece.len() as u64 {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    let time = begun.elapsed();
    std::fs::remove_file(path)?;
    Ok(time)
}

struct Server {
    objects: FolderObjects,
    address: std::net::SocketAddr,
}

impl Server {
    async fn start(dir: &Path) -> Result<Self, Failure> {
        let db = Sqlite::open(SqliteOptions::new(dir.join("db")), &[])?;
        let keys = Keyring::new(SigningKey::new("k1", &Secret::new([7; 32])), None);
        let options = FolderOptions::new(dir.join("objects"));
        let objects = FolderObjects::open(db, Arc::new(SystemClock), keys, options).await?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = router(objects.clone(), HttpOptions::default());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { objects, address })
    }

    /// The whole, and what of it was the completion.
    async fn upload(&self, key: &str, size: u64) -> Result<(Duration, Duration), Failure> {
        let begun = Instant::now();
        let upload = self.objects.begin(key, "video/mp4").await?;
        let parts = size.div_ceil(PART);
        let lanes = (0_u64..)
            .take(LANES)
            .map(|lane| self.lane(key, &upload, (lane..parts).step_by(LANES), size));
        futures_util::future::try_join_all(lanes).await?;
        let completing = Instant::now();
        let info = self.objects.complete(key, &upload, &[]).await?;
        if info.size != size {
            return Err("the object has another size".into());
        }
        Ok((begun.elapsed(), completing.elapsed()))
    }

    async fn lane(
        &self,
        key: &str,
        upload: &str,
        parts: impl Iterator<Item = u64>,
        size: u64,
    ) -> Result<(), Failure> {
        let stream = tokio::net::TcpStream::connect(self.address).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        for part in parts {
            let length = PART.min(size - part * PART);
            let plan = PartPlan {
                number: u32::try_from(part + 1)?,
                size: length,
                sha256: None,
            };
            let signed = self
                .objects
                .sign_part(key, upload, &plan, Duration::from_secs(600))
                .await?;
            put(&mut sender, &signed.url, length).await?;
        }
        Ok(())
    }
}

async fn put(sender: &mut SendRequest<Body>, url: &str, length: u64) -> Result<(), Failure> {
    let pieces = (0..length.div_ceil(PIECE as u64)).map(move |n| {
        let left = usize::try_from(length - n * PIECE as u64).unwrap_or(PIECE);
        Ok(Frame::data(piece().slice(..left.min(PIECE))))
    });
    let body = BodyExt::boxed(StreamBody::new(stream::iter(pieces)));
    let request = hyper::Request::put(url)
        .header("host", "localhost")
        .header("content-length", length);
    sender.ready().await?;
    let response = sender.send_request(request.body(body)?).await?;
    if response.status() != 200 {
        return Err(format!("a part was answered {}", response.status()).into());
    }
    response.into_body().collect().await?;
    Ok(())
}
