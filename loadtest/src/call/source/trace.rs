//! Recorded frames of a real encoder: when each came and how large it was.
//!
//! A trace is text, a frame a line: `<ms> <layer> <bytes> [key]`, in the order of time; the layer of a
//! simulcast counts from 0, the smallest. Lines that begin with `#` are notes; the first of them says where the
//! trace is from. It is played again and again; its first frame must be a key frame.

use std::time::Duration;

/// Frames of a trace: ten minutes of three layers at 60 a second, and some.
const MAX_FRAMES: usize = 120_000;

/// Bytes of a frame: what 255 packets carry.
const MAX_BYTES: usize = 255 * 1_000;

/// A trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Where it is from, in a line.
    pub origin: String,
    frames: Vec<Recorded>,
    /// From the first frame to the first of the repetition.
    length: Duration,
}

/// A frame of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Since the beginning.
    pub at: Duration,
    /// The layer of a simulcast.
    pub layer: u8,
    /// Its size.
    pub bytes: usize,
    /// A key frame.
    pub is_key: bool,
}

/// Why a trace can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// This line, counted from 1, is not a frame.
    #[error("line {0} is not `<ms> <layer> <bytes> [key]` in the order of time")]
    Line(usize),
    /// There are none, or too many.
    #[error("a trace has 2 to {MAX_FRAMES} frames, and begins with a key frame")]
    Frames,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let mut frames: Vec<Recorded> = Vec::new();
        for (n, line) in (1..).zip(text.lines()) {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let frame = recorded(line).ok_or(TraceError::Line(n))?;
            if frames.last().is_some_and(|last| last.at > frame.at) {
                return Err(TraceError::Line(n));
            }
            frames.push(frame);
        }
        let is_sound = (2..=MAX_FRAMES).contains(&frames.len()) && frames[0].is_key;
        let span = frames.last().map_or(Duration::ZERO, |last| last.at);
        if !is_sound || span.is_zero() {
            return Err(TraceError::Frames);
        }
        let origin = text.lines().find_map(|line| line.strip_prefix('#'));
        // As far from the last to the next first as frames are on average.
        let layers = u32::from(frames.iter().map(|f| f.layer).max().unwrap_or(0)) + 1;
        let steps = u32::try_from(frames.len()).unwrap_or(u32::MAX) / layers;
        Ok(Self {
            origin: origin.unwrap_or("unknown").trim().to_owned(),
            length: span + span / steps.saturating_sub(1).max(1),
            frames,
        })
    }

    /// What Chromium's encoder gave in a call of ours, for a camera with a moving, grainy picture
    /// (`web/e2e/record-trace.mjs`).
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn chromium() -> Self {
        Self::parse(include_str!("../../../traces/chromium.txt"))
            .expect("what is kept here can be read")
    }

    /// The frame at this place, counted on over repetitions, and when it is due.
    #[must_use]
    pub fn frame(&self, place: usize) -> Recorded {
        let frame = self.frames[place % self.frames.len()];
        let round = u32::try_from(place / self.frames.len()).unwrap_or(u32::MAX);
        Recorded {
            at: self.length.saturating_mul(round) + frame.at,
            ..frame
        }
    }

    /// How many layers it has.
    #[must_use]
    pub fn layers(&self) -> usize {
        usize::from(
            self.frames
                .iter()
                .map(|frame| frame.layer)
                .max()
                .unwrap_or(0),
        ) + 1
    }
}

fn recorded(line: &str) -> Option<Recorded> {
    let mut fields = line.split_whitespace();
    let ms: f64 = fields.next()?.parse().ok()?;
    let layer = fields
        .next()?
        .parse()
        .ok()
        .filter(|&layer: &u8| layer < 3)?;
    let bytes = fields
        .next()?
        .parse()
        .ok()
        .filter(|bytes| (1..=MAX_BYTES).contains(bytes))?;
    let is_key = match fields.next() {
        None => false,
        Some("key") => true,
        Some(_) => return None,
    };
    Some(Recorded {
        at: Duration::try_from_secs_f64(ms / 1_000.0).ok()?,
        layer,
        bytes,
        is_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_trace_is_played_again_and_again() {
        let trace = Trace::parse("# a camera\n0 0 9000 key\n40 0 800\n80.0 0 900\n").unwrap();
        assert_eq!(trace.origin, "a camera");
        let at = |n: usize| trace.frame(n).at.as_millis();
        assert_eq!([at(0), at(1), at(2), at(3), at(4)], [0, 40, 80, 120, 160]);
        assert!(trace.frame(3).is_key);
    }

    #[test]
    fn a_line_that_is_no_frame_is_named() {
        for bad in [
            "x",
            "40 0",
            "40 3 8",
            "40 0 0",
            "40 0 8 no",
            "-1 0 8",
            "NaN 0 8",
        ] {
            let text = format!("0 0 9 key\n{bad}\n");
            assert_eq!(Trace::parse(&text), Err(TraceError::Line(2)), "{bad}");
        }
        assert_eq!(Trace::parse("9 0 9 key\n5 0 9\n"), Err(TraceError::Line(2)));
        assert_eq!(Trace::parse("0 0 9\n5 0 9\n"), Err(TraceError::Frames));
    }

    #[test]
    fn the_recording_that_is_built_in_has_three_layers_and_says_where_it_is_from() {
        let trace = Trace::chromium();
        assert_eq!(trace.layers(), 3);
        assert!(trace.origin.starts_with("Chromium "), "{}", trace.origin);
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "[0-9 keya.#\n]{0,60}") {
            let _ = Trace::parse(&text);
        }
    }
}
