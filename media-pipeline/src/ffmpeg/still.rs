//! Poster, pictures for scrubbing, and clips that are pictures. What FFmpeg is told, and the WebVTT; no I/O.

use crate::inspect::{input, words};
use crate::ladder::GOP_S;
use crate::model::Source;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

/// Most pictures in a sprite: 10 × 10.
const TILES: u32 = 100;

/// How a sprite is cut.
pub(crate) struct Sheet {
    /// One of so many key frames.
    every: u32,
    tiles: u32,
    width: u32,
    height: u32,
}

impl Sheet {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds of a clip"
    )]
    pub(crate) fn of((width, height): (u32, u32), seconds: f64) -> Self {
        let frames = ((seconds / f64::from(GOP_S)).ceil() as u32).max(1);
        let every = frames.div_ceil(TILES);
        let side = width.max(height);
        let even = |pixels: u32| (pixels * 160 / side / 2 * 2).max(2);
        Self {
            every,
            tiles: frames.div_ceil(every),
            width: even(width),
            height: even(height),
        }
    }

    pub(crate) const fn interval_ms(&self) -> u32 {
        self.every * GOP_S * 1000
    }

    fn columns(&self) -> u32 {
        self.tiles.min(10)
    }

    /// Numbers of the key frames that it shows, rising.
    pub(crate) fn frames(&self) -> impl Iterator<Item = u32> {
        let every = self.every;
        (0..self.tiles).map(move |tile| tile * every)
    }

    /// From key frames alone, of what was made.
    pub(super) fn args(&self, playlist: &Path, image: &Path) -> Vec<OsString> {
        self.cut(playlist, image, &format!("not(mod(n\\,{}))", self.every))
    }

    /// From these key frames, by their place among those of the playlist.
    pub(crate) fn args_of(&self, playlist: &Path, image: &Path, places: &[u32]) -> Vec<OsString> {
        let places = places.iter().map(|place| format!("eq(n\\,{place})"));
        self.cut(playlist, image, &places.collect::<Vec<_>>().join("+"))
    }

    fn cut(&self, playlist: &Path, image: &Path, which: &str) -> Vec<OsString> {
        let filter = format!(
            "select={which},scale={}:{},tile={}x{}",
            self.width,
            self.height,
            self.columns(),
            self.tiles.div_ceil(self.columns())
        );
        let mut args = quiet();
        args.extend(words(&["-skip_frame", "nokey"]));
        args.extend(made(playlist));
        args.extend(words(&[
            "-an",
            "-vsync",
            "0",
            "-vf",
            &filter,
            "-frames:v",
            "1",
            "-q:v",
            "4",
        ]));
        args.push(image.into());
        args
    }

    pub(crate) fn vtt(&self, seconds: f64) -> String {
        let mut text = String::from("WEBVTT\n");
        let step = f64::from(self.interval_ms()) / 1000.0;
        for tile in 0..self.tiles {
            let from = f64::from(tile) * step;
            let to = (from + step).min(seconds.max(from + 0.001));
            let (x, y) = (
                tile % self.columns() * self.width,
                tile / self.columns() * self.height,
            );
            let _ = write!(
                text,
                "\n{} --> {}\nsprite.jpg#xywh={x},{y},{},{}\n",
                stamp(from),
                stamp(to),
                self.width,
                self.height
            );
        }
        text
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "milliseconds of a clip"
)]
fn stamp(seconds: f64) -> String {
    // Rounded before it is divided: a minute has no 60.000 seconds.
    let ms = (seconds * 1000.0).round() as u64;
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        ms % 1000
    )
}

fn quiet() -> Vec<OsString> {
    words(&[
        "-hide_banner",
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-threads",
        "2",
    ])
}

/// Our own playlist as input: checked before, and it names files beside it alone.
fn made(playlist: &Path) -> Vec<OsString> {
    let mut args = words(&[
        "-protocol_whitelist",
        "file",
        "-allowed_extensions",
        "ALL",
        "-f",
        "hls",
        "-i",
    ]);
    args.push(playlist.into());
    args
}

/// A picture from the first third: of ten frames the one that says most.
pub(crate) fn poster_args(playlist: &Path, seconds: f64, image: &Path) -> Vec<OsString> {
    let from = (seconds / 3.0).min(3.0);
    still_args(
        playlist,
        &format!("select=gte(t\\,{from:.3}),thumbnail=10"),
        image,
    )
}

/// The first picture, of a clip that has none to choose from.
pub(crate) fn first_args(playlist: &Path, image: &Path) -> Vec<OsString> {
    still_args(playlist, "null", image)
}

fn still_args(playlist: &Path, filter: &str, image: &Path) -> Vec<OsString> {
    let mut args = quiet();
    args.extend(made(playlist));
    args.extend(words(&[
        "-an",
        "-vf",
        filter,
        "-frames:v",
        "1",
        "-q:v",
        "3",
    ]));
    args.push(image.into());
    args
}

/// Checks one rendition: what `ffprobe` says of it.
pub(super) fn probe_args(playlist: &Path) -> Vec<OsString> {
    let mut args = words(&["-v", "error", "-select_streams", "v:0", "-show_entries"]);
    args.extend(words(&["stream=codec_name,width,height", "-of", "csv=p=0"]));
    args.extend(made(playlist));
    args
}

/// A picture without its metadata, at most so long at its longer side.
pub(super) fn image_args(
    source: &Source,
    file: &Path,
    longest: Option<u32>,
    image: &Path,
) -> Vec<OsString> {
    let mut args = quiet();
    args.extend(input(&source.container, file));
    if let Some(side) = longest {
        let filter =
            format!("scale=min({side}\\,iw):min({side}\\,ih):force_original_aspect_ratio=decrease");
        args.extend(words(&["-vf", &filter, "-frames:v", "1"]));
    }
    args.extend(words(&[
        "-map_metadata",
        "-1",
        "-fflags",
        "+bitexact",
        "-flags:v",
        "+bitexact",
        "-q:v",
        "2",
    ]));
    if image.extension().is_some_and(|e| e != "gif") {
        args.extend(words(&["-frames:v", "1", "-update", "1"]));
    }
    args.push(image.into());
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_sprite_has_times_that_rise_and_places_within_its_picture(
            seconds in 0.01_f64..36_000.0, width in 2_u32..4096, height in 2_u32..4096
        ) {
            let sheet = Sheet::of((width, height), seconds);
            prop_assert!((1..=TILES).contains(&sheet.tiles));
            let text = sheet.vtt(seconds);
            let mut last = String::new();
            for line in text.lines().filter(|line| line.contains("-->")) {
                let (from, to) = line.split_once(" --> ").expect("two times");
                // Of the same form, so that they compare as texts.
                prop_assert!(last.as_str() <= from && from < to, "{}", line);
                prop_assert!(!line.contains(":60"), "{}", line);
                to.clone_into(&mut last);
            }
        }
    }

    #[test]
    fn a_minute_has_no_sixtieth_second() {
        assert_eq!(stamp(59.9996), "00:01:00.000");
        assert_eq!(stamp(3599.25), "00:59:59.250");
    }
}
