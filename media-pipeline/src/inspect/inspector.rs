//! The inspector on this machine.

use super::policy::{self, Policy};
use super::sniff::{Format, sniff};
use super::{probe, refuse};
use crate::cage::{Cage, CageError, Ran, Tools};
use crate::model::{ClipError, ClipKind, Declared, Source};
use crate::ports::{Answer, InspectError, Inspector, ObjectError, Objects};
use futures_util::StreamExt;
use kaiwa_common::limits::{CLIP_PROBE, CLIP_SNIFF_BYTES};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// Looks with `ffprobe`, in a cage.
pub struct FfprobeInspector {
    objects: Arc<dyn Objects>,
    tools: Tools,
    policy: Policy,
    work: PathBuf,
}

impl FfprobeInspector {
    /// `work` is a folder for sources that have to be fetched first.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>, tools: Tools, policy: Policy, work: PathBuf) -> Self {
        Self {
            objects,
            tools,
            policy,
            work,
        }
    }

    async fn look(&self, key: &str) -> Result<Source, InspectError> {
        let info = self.objects.head(key).await.map_err(unavailable)?;
        let info = info
            .ok_or_else(|| InspectError::Rejected(refuse("EMPTY_FILE", "Nothing was uploaded.")))?;
        if info.size > self.policy.max_bytes {
            let message = format!("It may have {} bytes.", self.policy.max_bytes);
            return Err(InspectError::Rejected(refuse("TOO_LARGE", message)));
        }
        let head = self.bytes(key, 0, info.size.min(CLIP_SNIFF_BYTES)).await?;
        let tail = self
            .bytes(key, info.size.saturating_sub(65_557), info.size)
            .await?;
        let format = sniff(&head, &tail).map_err(InspectError::Rejected)?;
        if let Some((width, height)) = declared_pixels(format, &head) {
            policy::check_pixels(&self.policy, width, height, format.kind)
                .map_err(InspectError::Rejected)?;
        }
        let fetched = Fetched::get(&*self.objects, key, &self.work)
            .await
            .map_err(unavailable)?;
        let mut probed = self.probe(&fetched.path, format, info.size).await?;
        policy::check(&self.policy, &probed, format.kind).map_err(InspectError::Rejected)?;
        self.decode_ends(&fetched.path, &probed.source, format)
            .await?;
        probed.source.sha256 = match info.sha256 {
            Some(known) => Some(known),
            None => Some(sha256(fetched.path.clone()).await?),
        };
        Ok(probed.source)
    }

    async fn bytes(&self, key: &str, from: u64, to: u64) -> Result<Vec<u8>, InspectError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let mut reading = self
            .objects
            .read(key, Some((from, to)))
            .await
            .map_err(unavailable)?;
        let mut bytes = Vec::new();
        while let Some(piece) = reading.bytes.next().await {
            bytes.extend_from_slice(&piece.map_err(unavailable)?);
        }
        Ok(bytes)
    }

    async fn probe(
        &self,
        file: &Path,
        format: Format,
        size: u64,
    ) -> Result<probe::Probed, InspectError> {
        let mut args = words(&[
            "-hide_banner",
            "-v",
            "error",
            "-print_format",
            "json",
            "-show_streams",
        ]);
        args.extend(words(&["-show_format", "-max_pixels", "300000000"]));
        args.extend(input(format.demuxer, file));
        let ran = self.run(&self.tools.ffprobe, &args).await?;
        if !ran.success {
            let text = String::from_utf8_lossy(&ran.stderr);
            return Err(InspectError::Rejected(
                if text.contains("moov atom not found") || text.contains("End of file") {
                    refuse("TRUNCATED", "The file is cut off: its end is missing.")
                } else {
                    refuse(
                        "UNREADABLE",
                        "The file is damaged, or not what it begins like.",
                    )
                },
            ));
        }
        probe::read(&ran.stdout, format, size).map_err(InspectError::Rejected)
    }

    /// Decodes the first and the last second: a file that was cut off has a beginning only.
    async fn decode_ends(
        &self,
        file: &Path,
        source: &Source,
        format: Format,
    ) -> Result<(), InspectError> {
        let seconds = source.duration.as_secs_f64();
        let starts = if format.kind == ClipKind::Image || seconds <= 1.0 {
            vec![None]
        } else {
            vec![None, Some(seconds - 1.0)]
        };
        for start in starts {
            let mut args = words(&[
                "-hide_banner",
                "-v",
                "error",
                "-nostdin",
                "-progress",
                "pipe:1",
            ]);
            args.extend(words(&["-max_pixels", "300000000", "-threads", "2"]));
            if let Some(start) = start {
                args.extend(words(&["-ss", &format!("{start:.3}")]));
            }
            args.extend(input(format.demuxer, file));
            let stream = if source.video.is_some() {
                "0:V:0"
            } else {
                "0:a:0"
            };
            args.extend(words(&["-t", "1", "-map", stream, "-f", "null", "-"]));
            let ran = self.run(&self.tools.ffmpeg, &args).await?;
            let said = String::from_utf8_lossy(&ran.stdout);
            let last = |name: &str| {
                said.lines()
                    .rev()
                    .find_map(|line| line.strip_prefix(name))
                    .and_then(|v| v.parse::<i64>().ok())
            };
            let decoded = if source.video.is_some() {
                last("frame=")
            } else {
                last("out_time_us=")
            };
            if !ran.success || decoded.is_none_or(|amount| amount <= 0) {
                let message =
                    "Its beginning or its end cannot be played: it is damaged or cut off.";
                return Err(InspectError::Rejected(refuse("TRUNCATED", message)));
            }
        }
        Ok(())
    }

    async fn run(&self, program: &Path, args: &[OsString]) -> Result<Ran, InspectError> {
        let cage = Cage {
            cpu_s: CLIP_PROBE.as_secs(),
            file_bytes: 0,
            wall: CLIP_PROBE,
        };
        cage.run(&self.tools, program, args)
            .await
            .map_err(|error| match error {
                CageError::Start(error) => InspectError::Unavailable(error.to_string()),
                CageError::Deadline => InspectError::Rejected(refuse(
                    "INSPECTION_TIMEOUT",
                    "It takes too long to look at.",
                )),
                CageError::TooMuch => InspectError::Rejected(refuse(
                    "UNREADABLE",
                    "Its description is too long to be true.",
                )),
            })
    }
}

impl Inspector for FfprobeInspector {
    fn inspect<'a>(&'a self, key: &'a str) -> Answer<'a, Source, InspectError> {
        Box::pin(self.look(key))
    }
}

/// Is it what the uploader said? The kind by content may differ from the declared one only between film and sound,
/// which share containers.
///
/// # Errors
/// `SIZE_MISMATCH`, `CHECKSUM_MISMATCH` or `TYPE_MISMATCH`.
pub fn check_declared(source: &Source, declared: &Declared) -> Result<(), ClipError> {
    if source.size != declared.size {
        return Err(refuse(
            "SIZE_MISMATCH",
            "What arrived has another size than was announced.",
        ));
    }
    if let (Some(stored), Some(said)) = (source.sha256, declared.sha256)
        && stored != said
    {
        return Err(refuse(
            "CHECKSUM_MISMATCH",
            "What arrived has other bytes than were announced.",
        ));
    }
    let says_image = declared.content_type.starts_with("image/");
    let says_film = ["video/", "audio/"]
        .iter()
        .any(|kind| declared.content_type.starts_with(kind));
    let image = source.kind() == ClipKind::Image;
    if (says_image && !image) || (says_film && image) {
        return Err(refuse(
            "TYPE_MISMATCH",
            "The file is of another kind than was announced.",
        ));
    }
    Ok(())
}

/// A source as a file: the store's own, or a copy that goes with this.
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    copy: bool,
}

impl Fetched {
    pub(crate) async fn get(
        objects: &dyn Objects,
        key: &str,
        work: &Path,
    ) -> Result<Self, ObjectError> {
        if let Some(path) = objects.local_path(key) {
            return Ok(Self { path, copy: false });
        }
        let io = |error: std::io::Error| ObjectError::Unavailable(error.to_string());
        tokio::fs::create_dir_all(work).await.map_err(io)?;
        let mut reading = objects.read(key, None).await?;
        let fetched = Self {
            path: work.join(format!("source-{}", uuid::Uuid::now_v7())),
            copy: true,
        };
        let mut file = tokio::fs::File::create(&fetched.path).await.map_err(io)?;
        let mut size = 0;
        while let Some(piece) = reading.bytes.next().await {
            let piece = piece?;
            size += piece.len() as u64;
            file.write_all(&piece).await.map_err(io)?;
        }
        file.flush().await.map_err(io)?;
        if size != reading.info.size {
            return Err(ObjectError::Unavailable(
                "the source came in part".to_owned(),
            ));
        }
        Ok(fetched)
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.copy {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// `-protocol_whitelist file -f … -i file:…`
pub(crate) fn input(demuxer: &str, file: &Path) -> Vec<OsString> {
    let mut args = words(&["-protocol_whitelist", "file", "-f", demuxer, "-i"]);
    let mut name = OsString::from("file:");
    name.push(file);
    args.push(name);
    args
}

pub(crate) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Of a whole file; half a second for 500 MB.
async fn sha256(path: PathBuf) -> Result<[u8; 32], InspectError> {
    let hash = move || -> std::io::Result<[u8; 32]> {
        let mut file = std::fs::File::open(path)?;
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => context.update(&buffer[..read]),
            }
        }
        context
            .finish()
            .as_ref()
            .try_into()
            .map_err(std::io::Error::other)
    };
    let unavailable = |error: String| InspectError::Unavailable(error);
    tokio::task::spawn_blocking(hash)
        .await
        .map_err(|error| unavailable(error.to_string()))?
        .map_err(|error| unavailable(error.kind().to_string()))
}

fn unavailable(error: ObjectError) -> InspectError {
    InspectError::Unavailable(error.to_string())
}

/// Pixels that a still picture's first bytes say, before anything is unpacked.
fn declared_pixels(format: Format, head: &[u8]) -> Option<(u32, u32)> {
    let big = |at: usize| {
        head.get(at..at + 4)?
            .try_into()
            .ok()
            .map(u32::from_be_bytes)
    };
    let little = |at: usize| {
        head.get(at..at + 2)?
            .try_into()
            .ok()
            .map(u16::from_le_bytes)
            .map(u32::from)
    };
    match format.name {
        "png" => Some((big(16)?, big(20)?)),
        "gif" => Some((little(6)?, little(8)?)),
        _ => None,
    }
}
