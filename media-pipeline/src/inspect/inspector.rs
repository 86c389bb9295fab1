//! The inspector on this machine.

use super::policy::{self, Policy};
use super::sniff::{Format, sniff};
use super::source::{Fetched, input, sha256, words};
use super::{boxes, probe, refuse, walk};
use crate::cage::{Cage, CageError, Ran, Tools};
use crate::model::{ClipError, ClipKind, Declared, Source};
use crate::ports::{Answer, InspectError, Inspector, ObjectError, Objects};
use futures_util::StreamExt;
use kaiwa_common::limits::{CLIP_INSPECTION, CLIP_PROBE, CLIP_SNIFF_BYTES};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Looks with `ffprobe`, in a cage.
pub struct FfprobeInspector {
    objects: Arc<dyn Objects>,
    pub(super) tools: Tools,
    policy: Policy,
    work: PathBuf,
}

impl FfprobeInspector {
    /// `work` is a folder for sources that have to be fetched first; what a server before left there is removed.
    #[must_use]
    pub fn new(objects: Arc<dyn Objects>, tools: Tools, policy: Policy, work: PathBuf) -> Self {
        Fetched::remove_leftovers(&work);
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
        if format.demuxer == "mov" {
            refuse_other_files(fetched.path.clone()).await?;
        }
        let mut probed = self.probe(&fetched.path, format, info.size).await?;
        policy::check(&self.policy, &probed, format.kind).map_err(InspectError::Rejected)?;
        let told = probed.source.duration;
        let packets = self.walk(&fetched.path, format).await?;
        walk::believe(&mut probed.source, &packets, format).map_err(InspectError::Rejected)?;
        policy::check_time(&self.policy, &probed.source, &packets)
            .map_err(InspectError::Rejected)?;
        self.decode_ends(&fetched.path, &probed.source, told, format)
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
        args.extend(words(&["-show_format"]));
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

    /// Runs a program that looks. What takes more work than it may is refused; on a machine that is too busy to get it
    /// done, it is tried again.
    pub(super) async fn run(&self, program: &Path, args: &[OsString]) -> Result<Ran, InspectError> {
        let cage = Cage {
            cpu_s: CLIP_PROBE.as_secs(),
            file_bytes: 0,
            wall: CLIP_INSPECTION,
        };
        let ran = cage.run(&self.tools, program, args).await;
        let ran = ran.map_err(|error| match error {
            CageError::Start(error) => InspectError::Unavailable(error.to_string()),
            CageError::Deadline => InspectError::Unavailable(BUSY.to_owned()),
            CageError::TooMuch => InspectError::Rejected(refuse(
                "UNREADABLE",
                "Its description is too long to be true.",
            )),
        })?;
        if ran.was_killed {
            return Err(InspectError::Rejected(refuse(
                "INSPECTION_TIMEOUT",
                "It takes too long to look at.",
            )));
        }
        Ok(ran)
    }
}

const BUSY: &str = "this machine is too busy to look at a clip";

impl Inspector for FfprobeInspector {
    fn inspect<'a>(&'a self, key: &'a str) -> Answer<'a, Source, InspectError> {
        Box::pin(async move {
            let looked = tokio::time::timeout(CLIP_INSPECTION, self.look(key)).await;
            looked.unwrap_or_else(|_| Err(InspectError::Unavailable(BUSY.to_owned())))
        })
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

async fn refuse_other_files(path: PathBuf) -> Result<(), InspectError> {
    let look = move || boxes::movie(&path).map(|movie| boxes::names_other_files(&movie));
    let found = tokio::task::spawn_blocking(look).await;
    let found = found.map_err(std::io::Error::other).and_then(|found| found);
    match found {
        Ok(false) => Ok(()),
        Ok(true) => Err(InspectError::Rejected(refuse(
            "EXTERNAL_DATA",
            "Its pictures or sound are in another file: please share a film that has all of it.",
        ))),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
        Err(error) => Err(InspectError::Unavailable(error.kind().to_string())),
    }
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
        "jpeg" => jpeg_pixels(head),
        _ => None,
    }
}

/// Of the frame header (ITU-T T.81, B.2.2), if it is in the first bytes.
fn jpeg_pixels(head: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let segment = head.get(at..)?;
        let [0xff, kind, high, low, rest @ ..] = segment else {
            return None;
        };
        if matches!(kind, 0xc0..=0xcf) && !matches!(kind, 0xc4 | 0xc8 | 0xcc) {
            let side =
                |at: usize| Some(u32::from(*rest.get(at)?) << 8 | u32::from(*rest.get(at + 1)?));
            return Some((side(3)?, side(1)?));
        }
        at += 2 + (usize::from(*high) << 8 | usize::from(*low)).max(2);
    }
}
