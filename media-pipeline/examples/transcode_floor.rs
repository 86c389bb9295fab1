//! What the pipeline costs beside bare FFmpeg with the same flags, in one run:
//! `cargo run -p kaiwa-media-pipeline --example transcode_floor [ROUNDS]`.
//!
//! Each round codes the same minute of 1080p with bare FFmpeg and then through the transcoder, which besides measures,
//! verifies, makes poster and sprite, and stores everything in a folder. CPU is that of all child processes and ours.
//! The last line says all of it in JSON, in seconds.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    dead_code,
    reason = "a measurement, which shares the tests' helpers"
)]

#[path = "../tests/ffmpeg/support.rs"]
mod support;

use kaiwa_media_pipeline::ffmpeg::plan::{Shape, hls_args};
use kaiwa_media_pipeline::ladder::ladder;
use kaiwa_media_pipeline::ports::{Inspector, Transcoder};
use serde_json::json;
use std::time::Instant;
use support::{Place, done, make, order};

/// How long the film is.
const FILM_S: u32 = 60;

/// Seconds of CPU of this process and of the children that have ended (proc(5), fields 14 to 17).
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = rustix::param::clock_ticks_per_second();
    let used: u32 = fields[11..15]
        .iter()
        .map(|field| field.parse::<u32>().unwrap())
        .sum();
    f64::from(used) / f64::from(u32::try_from(ticks).unwrap())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let rounds = std::env::args()
        .nth(1)
        .map_or(3, |rounds| rounds.parse().unwrap());
    let place = Place::new(true);
    make(
        &format!(
            "-f lavfi -i testsrc2=s=1920x1080:r=30:d={FILM_S} -f lavfi -i sine=duration={FILM_S} -c:a aac \
             -c:v libx264 -preset ultrafast -pix_fmt yuv420p -f mp4"
        ),
        &place.path("source"),
    );
    let source = place.inspector.inspect("source").await.unwrap();
    let rungs = ladder(source.video.as_ref().unwrap());
    let transcoder = place.transcoder();
    let mut told = Vec::new();
    println!("round  bare wall  bare cpu  ours wall  ours cpu  wall ratio  cpu ratio");
    for round in 1..=rounds {
        let out = tempfile::tempdir().unwrap();
        let (began, cpu) = (Instant::now(), cpu_s());
        let args = hls_args(
            &source,
            Shape::default(),
            &rungs,
            6,
            &place.path("source"),
            out.path(),
        );
        let bare = tokio::process::Command::new("ffmpeg")
            .args(args)
            .stdout(std::process::Stdio::null())
            .status();
        assert!(bare.await.unwrap().success());
        let (bare_wall, bare_cpu) = (began.elapsed().as_secs_f64(), cpu_s() - cpu);
        let (began, cpu) = (Instant::now(), cpu_s());
        let mut order = order("source", source.clone());
        order.segment_s = 6;
        let job = transcoder.submit(&order).await.unwrap();
        done(&transcoder, &job, &order).await;
        let (wall, cpu) = (began.elapsed().as_secs_f64(), cpu_s() - cpu);
        println!(
            "{round:>5}  {bare_wall:>9.2}  {bare_cpu:>8.2}  {wall:>9.2}  {cpu:>8.2}  {:>10.3}  {:>9.3}",
            wall / bare_wall,
            cpu / bare_cpu
        );
        told.push(json!({
            "bare_wall_s": bare_wall, "bare_cpu_s": bare_cpu, "wall_s": wall, "cpu_s": cpu,
        }));
    }
    println!("{}", json!({ "film_s": FILM_S, "rounds": told }));
}
