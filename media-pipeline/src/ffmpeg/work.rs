//! One job from its source to its outputs.

use super::measure::measure;
use super::plan::hls_args;
use super::publish::publish;
use super::shape::{self, shape_args};
use super::still::{Sheet, first_args, image_args, poster_args, probe_args};
use crate::cage::{Cage, CageError, Ran, Tools};
use crate::inspect::Fetched;
use crate::ladder::{AUDIO_BPS, Rung, ladder};
use crate::model::{ClipError, ClipKind, Outputs, Phase, Progress, Rendition, Sprite};
use crate::ports::{ObjectError, Objects, Order};
use futures_util::future::try_join_all;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Why a job ended badly.
pub(super) fn failed(reason: &str, message: &str, retryable: bool) -> ClipError {
    ClipError {
        reason: reason.to_owned(),
        message: message.to_owned(),
        retryable,
        provider_code: None,
    }
}

pub(super) struct Worker {
    pub(super) objects: Arc<dyn Objects>,
    pub(super) tools: Tools,
}

impl Worker {
    /// Makes everything below `folder`, which is empty, and publishes it.
    pub(super) async fn run(
        &self,
        order: &Order,
        folder: &Path,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Outputs, ClipError> {
        progress(Progress {
            phase: Phase::Probing,
            percent: 0,
        });
        let out = folder.join("out");
        make_folder(&out).await?;
        let rungs = order.source.video.as_ref().map_or_else(Vec::new, ladder);
        room_for(order, &rungs, folder)?;
        let source = Fetched::get(&*self.objects, &order.source_key, folder)
            .await
            .map_err(fetch)?;
        let made = match order.source.kind() {
            ClipKind::Image => self.picture(order, &source.path, &out).await?,
            ClipKind::Video => {
                self.streams(order, &rungs, &source.path, folder, progress)
                    .await?
            }
            ClipKind::Audio => {
                self.streams(order, &[], &source.path, folder, progress)
                    .await?
            }
        };
        drop(source);
        let files = publish(&*self.objects, &out, &order.processed, |done, all| {
            let percent = u8::try_from(90 + 10 * done / all.max(1)).unwrap_or(100);
            progress(Progress {
                phase: Phase::Storing,
                percent,
            });
        })
        .await?;
        Ok(Outputs { files, ..made })
    }

    async fn streams(
        &self,
        order: &Order,
        rungs: &[Rung],
        source: &Path,
        folder: &Path,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Outputs, ClipError> {
        let hls = folder.join("out/hls");
        make_folder(&hls).await?;
        let asked = shape_args(&order.source.container, source);
        let asked = cage(Duration::ZERO)
            .run(&self.tools, &self.tools.ffprobe, &asked)
            .await;
        let shape = shape::read(&ended(asked)?.stdout);
        let args = hls_args(&order.source, shape, rungs, order.segment_s, source, &hls);
        self.transcode(order, &args, folder, progress).await?;
        let seconds = order.source.duration.as_secs_f64();
        let channels = order.source.audio.as_ref().map(|audio| audio.channels);
        let (place, made) = (hls.clone(), rungs.to_vec());
        let measured =
            tokio::task::spawn_blocking(move || measure(&place, &made, channels, seconds));
        let renditions = measured
            .await
            .map_err(|_| failed("OUTPUT_INVALID", "outputs cannot be measured", true))??;
        let mut outputs = Outputs {
            playlist: Some("hls/master.m3u8".to_owned()),
            renditions,
            poster: None,
            sprite: None,
            files: Default::default(),
        };
        if let (Some(best), Some(least)) = (rungs.first(), rungs.last()) {
            let pictures = folder.join("out/thumbnails");
            make_folder(&pictures).await?;
            let best = hls.join(&best.name).join("index.m3u8");
            let sheet = Sheet::of((least.width, least.height), seconds);
            let least = hls.join(&least.name).join("index.m3u8");
            // All of them read what is finished, each on a thread or two: one after another leaves cores idle.
            tokio::try_join!(
                self.verify(&hls, rungs),
                self.poster(&best, seconds, &pictures),
                self.sprite(&sheet, &least, seconds, &pictures),
            )?;
            outputs.poster = Some("thumbnails/poster.jpg".to_owned());
            outputs.sprite = Some(Sprite {
                image: "thumbnails/sprite.jpg".to_owned(),
                vtt: "thumbnails/sprite.vtt".to_owned(),
                interval_ms: sheet.interval_ms(),
            });
        }
        Ok(outputs)
    }

    async fn transcode(
        &self,
        order: &Order,
        args: &[OsString],
        folder: &Path,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), ClipError> {
        let cage = cage(order.source.duration);
        let started = cage.start(&self.tools, &self.tools.ffmpeg, args).await;
        let running = started.map_err(|_| failed("FFMPEG", "FFmpeg does not start", true))?;
        if let Some(id) = running.id() {
            super::transcoder::note_process(folder, id).await;
        }
        let whole = order.source.duration.as_micros().max(1);
        let ran = cage
            .watch(running, |line| {
                if let Some(us) = line
                    .strip_prefix("out_time_us=")
                    .and_then(|us| us.parse::<u128>().ok())
                {
                    let percent = u8::try_from(us.saturating_mul(90) / whole)
                        .unwrap_or(90)
                        .min(90);
                    progress(Progress {
                        phase: Phase::Transcoding,
                        percent,
                    });
                }
            })
            .await;
        ended(ran).map(|_| ())
    }

    /// Each rendition is what its playlist says.
    async fn verify(&self, hls: &Path, rungs: &[Rung]) -> Result<(), ClipError> {
        try_join_all(rungs.iter().map(|rung| self.verify_one(hls, rung))).await?;
        Ok(())
    }

    async fn verify_one(&self, hls: &Path, rung: &Rung) -> Result<(), ClipError> {
        let args = probe_args(&hls.join(&rung.name).join("index.m3u8"));
        let short = cage(Duration::ZERO);
        let ran = ended(short.run(&self.tools, &self.tools.ffprobe, &args).await)?;
        let said = String::from_utf8_lossy(&ran.stdout);
        let first = said.lines().next();
        let first = first.map(|line| line.trim().trim_end_matches(','));
        if first != Some(&*format!("h264,{},{}", rung.width, rung.height)) {
            let what = "a rendition is not what was ordered";
            return Err(failed("OUTPUT_INVALID", what, true));
        }
        Ok(())
    }

    /// From a chosen moment of the best rendition; where there is none, its first picture.
    async fn poster(&self, best: &Path, seconds: f64, pictures: &Path) -> Result<(), ClipError> {
        let poster = pictures.join("poster.jpg");
        let chosen = poster_args(best, seconds, &poster);
        if self.still(&chosen, &poster).await.is_err() {
            self.still(&first_args(best, &poster), &poster).await?;
        }
        Ok(())
    }

    async fn sprite(
        &self,
        sheet: &Sheet,
        least: &Path,
        seconds: f64,
        pictures: &Path,
    ) -> Result<(), ClipError> {
        let image = pictures.join("sprite.jpg");
        self.still(&sheet.args(least, &image), &image).await?;
        let written = tokio::fs::write(pictures.join("sprite.vtt"), sheet.vtt(seconds)).await;
        written.map_err(|_| failed("DISK", "a file cannot be written", true))
    }

    async fn picture(
        &self,
        order: &Order,
        source: &Path,
        out: &Path,
    ) -> Result<Outputs, ClipError> {
        let folder = out.join("image");
        make_folder(&folder).await?;
        let (full, small) = match order.source.container.as_str() {
            "jpeg_pipe" => ("full.jpg", "small.jpg"),
            "gif" => ("full.gif", "small.png"),
            _ => ("full.png", "small.png"),
        };
        let (full_path, small_path) = (folder.join(full), folder.join(small));
        self.still(
            &image_args(&order.source, source, None, &full_path),
            &full_path,
        )
        .await?;
        self.still(
            &image_args(&order.source, source, Some(640), &small_path),
            &small_path,
        )
        .await?;
        let (width, height) = order
            .source
            .video
            .as_ref()
            .map_or((0, 0), |v| (v.width, v.height));
        Ok(Outputs {
            playlist: None,
            renditions: vec![Rendition {
                name: "image".to_owned(),
                width,
                height,
                fps: 0.0,
                peak: 0,
                average: 0,
                codecs: String::new(),
                playlist: format!("image/{full}"),
            }],
            poster: Some(format!("image/{small}")),
            sprite: None,
            files: Default::default(),
        })
    }

    /// Makes a picture, which FFmpeg may leave out without a word.
    async fn still(&self, args: &[OsString], image: &Path) -> Result<(), ClipError> {
        ended(
            cage(Duration::ZERO)
                .run(&self.tools, &self.tools.ffmpeg, args)
                .await,
        )?;
        if tokio::fs::metadata(image).await.map_or(0, |m| m.len()) == 0 {
            return Err(failed("OUTPUT_INVALID", "a picture is missing", true));
        }
        Ok(())
    }
}

async fn make_folder(folder: &Path) -> Result<(), ClipError> {
    let made = tokio::fs::create_dir_all(folder).await;
    made.map_err(|_| failed("DISK", "no folder can be made", true))
}

/// Five minutes and ten times the clip's length.
fn cage(duration: Duration) -> Cage {
    let wall = Duration::from_secs(300) + duration * 10;
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
    Cage {
        cpu_s: wall.as_secs() * cores,
        file_bytes: 4_000_000_000,
        wall,
    }
}

fn ended(ran: Result<Ran, CageError>) -> Result<Ran, ClipError> {
    match ran {
        Ok(ran) if ran.success => Ok(ran),
        Ok(ran) if ran.was_killed => Err(failed(
            "TRANSCODE_DEADLINE",
            "transcoding took too long",
            true,
        )),
        Ok(ran) => {
            let text = String::from_utf8_lossy(&ran.stderr);
            Err(if text.contains("No space left on device") {
                failed("DISK", "the disk is full", true)
            } else {
                failed("TRANSCODE_FAILED", "FFmpeg gave up on this clip", false)
            })
        }
        Err(CageError::Start(_)) => Err(failed("FFMPEG", "FFmpeg does not start", true)),
        Err(CageError::Deadline) => Err(failed(
            "TRANSCODE_DEADLINE",
            "transcoding took too long",
            true,
        )),
        Err(CageError::TooMuch) => Err(failed("TRANSCODE_FAILED", "FFmpeg says too much", false)),
    }
}

/// The ladder at its highest rates, the source where it must be fetched, and half as much again.
fn room_for(order: &Order, rungs: &[Rung], folder: &Path) -> Result<(), ClipError> {
    let rates: u64 = rungs.iter().map(|rung| rung.max_bps).sum::<u64>() + AUDIO_BPS;
    let need = (order.source.duration.as_secs() + 1) * rates / 8 + order.source.size;
    let disk = rustix::fs::statvfs(folder)
        .map_err(|_| failed("DISK", "the disk does not answer", true))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < need + need / 2 {
        return Err(failed("DISK", "there is no room for the outputs", true));
    }
    Ok(())
}

fn fetch(error: ObjectError) -> ClipError {
    let gone = error == ObjectError::NotFound;
    failed(
        if gone {
            "SOURCE_GONE"
        } else {
            "STORE_UNAVAILABLE"
        },
        &error.to_string(),
        !gone,
    )
}
