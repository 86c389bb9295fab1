//! What a decoder would show of a stream of pictures: frames that are whole and whose reference was
//! shown, and how long it stood still.

use super::stamp::{Stamp, Stream};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Frames that wait for packets or for their reference; the oldest goes when there are more.
const WAITING: usize = 32;

/// Frames shown that a later one may refer to.
const REFERABLE: usize = 64;

/// A stream that shows nothing for so long asks for a key frame.
const PATIENCE: Duration = Duration::from_millis(500);

/// A stop that people notice is this much longer than the usual time between frames, and at least three
/// times as long: as WebRTC's statistics count freezes (webrtc-stats, `freezeCount`).
const FREEZE: Duration = Duration::from_millis(150);

/// The sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pictures {
    /// Frames shown.
    pub decoded: u64,
    /// Of them, key frames.
    pub keys: u64,
    /// Frames of which something came, and that could not be shown.
    pub dropped: u64,
    /// Frames shown, by layer of the simulcast.
    pub by_layer: [u64; 3],
    /// How often the picture stood still.
    pub freezes: u64,
    /// For how long in all, in ms.
    pub frozen_ms: u64,
    /// How often another layer began.
    pub switches: u64,
}

impl std::ops::AddAssign for Pictures {
    fn add_assign(&mut self, other: Self) {
        self.decoded += other.decoded;
        self.keys += other.keys;
        self.dropped += other.dropped;
        self.freezes += other.freezes;
        self.frozen_ms += other.frozen_ms;
        self.switches += other.switches;
        for (sum, layer) in self.by_layer.iter_mut().zip(other.by_layer) {
            *sum += layer;
        }
    }
}

/// One receiving m-line's decoder.
#[derive(Debug, Default)]
pub struct Decoder {
    waiting: VecDeque<Frame>,
    shown: VecDeque<u32>,
    stream: Option<Stream>,
    last_shown: Option<Instant>,
    usual: Duration,
    /// Since when packets come and nothing is shown.
    starved: Option<Instant>,
    pictures: Pictures,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    stream: Stream,
    number: u32,
    refers: u32,
    is_key: bool,
    missing: u16,
}

impl Decoder {
    /// A packet that was not here before.
    pub fn handle(&mut self, now: Instant, stamp: &Stamp) {
        self.starved.get_or_insert(now);
        let is_same = |frame: &Frame| frame.number == stamp.frame && frame.stream == stamp.stream;
        match self.waiting.iter_mut().find(|frame| is_same(frame)) {
            Some(frame) => frame.missing = frame.missing.saturating_sub(1),
            None => {
                if self.waiting.len() == WAITING {
                    self.waiting.pop_front();
                    self.pictures.dropped += 1;
                }
                self.waiting.push_back(Frame {
                    stream: stamp.stream,
                    number: stamp.frame,
                    refers: stamp.refers,
                    is_key: stamp.is_key,
                    missing: stamp.count.saturating_sub(1),
                });
            }
        }
        self.show(now);
    }

    /// Whether a key frame should be asked for.
    #[must_use]
    pub fn is_starved(&self, now: Instant) -> bool {
        self.starved.is_some_and(|since| now >= since + PATIENCE)
    }

    /// A key frame was asked for: the next one is asked for after some patience.
    pub fn asked(&mut self, now: Instant) {
        self.starved = Some(now);
    }

    /// The sums so far.
    #[must_use]
    pub fn pictures(&self) -> Pictures {
        self.pictures
    }

    /// Shows all that can be, as often as one makes another possible.
    fn show(&mut self, now: Instant) {
        while let Some(at) = self.waiting.iter().position(|frame| self.can_show(frame)) {
            let Some(frame) = self.waiting.remove(at) else {
                return;
            };
            self.note(now, frame);
            if frame.is_key {
                // Nothing before it will be shown any more.
                let before = self.waiting.len();
                self.waiting
                    .retain(|other| other.number >= frame.number && other.stream == frame.stream);
                let gone = before - self.waiting.len();
                self.pictures.dropped += u64::try_from(gone).unwrap_or(0);
            }
        }
    }

    fn can_show(&self, frame: &Frame) -> bool {
        let follows = self.stream == Some(frame.stream) && self.shown.contains(&frame.refers);
        frame.missing == 0 && (frame.is_key || follows)
    }

    fn note(&mut self, now: Instant, frame: Frame) {
        if self.stream != Some(frame.stream) {
            self.pictures.switches += u64::from(self.stream.is_some());
            self.stream = Some(frame.stream);
            self.shown.clear();
        }
        if self.shown.len() == REFERABLE {
            self.shown.pop_front();
        }
        self.shown.push_back(frame.number);
        self.starved = None;
        self.pictures.decoded += 1;
        self.pictures.keys += u64::from(frame.is_key);
        let layer = usize::from(frame.stream.layer);
        if let Some(count) = self.pictures.by_layer.get_mut(layer) {
            *count += 1;
        }
        if let Some(last) = self.last_shown.replace(now) {
            self.note_pause(now.saturating_duration_since(last));
        }
    }

    fn note_pause(&mut self, pause: Duration) {
        if !self.usual.is_zero() && pause >= (self.usual * 3).max(self.usual + FREEZE) {
            self.pictures.freezes += 1;
            let ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            self.pictures.frozen_ms = self.pictures.frozen_ms.saturating_add(ms);
        } else if self.usual.is_zero() {
            self.usual = pause;
        } else {
            self.usual = (self.usual * 7 + pause) / 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        decoder: Decoder,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                decoder: Decoder::default(),
                now: Instant::now(),
            }
        }

        /// Packets `which` of a frame of three.
        fn frame(&mut self, layer: u8, frame: u32, refers: u32, which: &[u16]) {
            for &index in which {
                let stream = Stream {
                    publisher: 1,
                    track: 1,
                    layer,
                };
                let stamp = Stamp {
                    stream,
                    is_key: frame == refers,
                    frame,
                    refers,
                    index,
                    count: 3,
                    ..Stamp::default()
                };
                self.decoder.handle(self.now, &stamp);
            }
            self.now += Duration::from_millis(40);
        }

        fn decoded(&self) -> u64 {
            self.decoder.pictures().decoded
        }
    }

    const ALL: [u16; 3] = [0, 1, 2];

    #[test]
    fn a_frame_waits_for_its_last_packet_and_others_for_it() {
        let mut bench = Bench::new();
        bench.frame(0, 1, 1, &ALL);
        bench.frame(0, 2, 1, &[0, 2]);
        bench.frame(0, 3, 2, &ALL);
        assert_eq!(bench.decoded(), 1);
        bench.frame(0, 2, 1, &[1]);
        assert_eq!(bench.decoded(), 3);
        assert_eq!(bench.decoder.pictures().dropped, 0);
    }

    #[test]
    fn nothing_is_shown_before_a_key_frame_and_one_is_asked_for_after_a_while() {
        let mut bench = Bench::new();
        bench.frame(0, 5, 4, &ALL);
        assert_eq!(bench.decoded(), 0);
        assert!(!bench.decoder.is_starved(bench.now));
        bench.now += PATIENCE;
        assert!(bench.decoder.is_starved(bench.now));
        bench.frame(0, 9, 9, &ALL);
        assert!(!bench.decoder.is_starved(bench.now + PATIENCE));
        assert_eq!(bench.decoder.pictures().dropped, 1);
    }

    #[test]
    fn another_layer_begins_with_a_key_frame() {
        let mut bench = Bench::new();
        bench.frame(0, 1, 1, &ALL);
        bench.frame(1, 2, 1, &ALL);
        assert_eq!(bench.decoded(), 1);
        bench.frame(1, 3, 3, &ALL);
        bench.frame(1, 4, 3, &ALL);
        let pictures = bench.decoder.pictures();
        assert_eq!((pictures.decoded, pictures.switches), (3, 1));
        assert_eq!(pictures.by_layer, [1, 2, 0]);
    }

    #[test]
    fn frames_of_a_higher_temporal_layer_may_be_absent() {
        let mut bench = Bench::new();
        bench.frame(0, 1, 1, &ALL);
        bench.frame(0, 3, 1, &ALL);
        bench.frame(0, 5, 3, &ALL);
        assert_eq!(bench.decoded(), 3);
    }

    #[test]
    fn a_long_pause_is_a_freeze() {
        let mut bench = Bench::new();
        for frame in 1..10 {
            bench.frame(0, frame, (frame - 1).max(1), &ALL);
        }
        bench.now += Duration::from_millis(400);
        bench.frame(0, 10, 9, &ALL);
        let pictures = bench.decoder.pictures();
        assert_eq!((pictures.freezes, pictures.frozen_ms), (1, 440));
    }
}
