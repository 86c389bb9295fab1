//! Which qualities are made of a source. No I/O.
//!
//! By the display's short side after rotation, never above the source. Rates are maxima over a segment: the encoder
//! gets 6/7 of them with a buffer of one second, so that a segment of 6 s that begins with a full buffer
//! (6/7 × (6 + 1) / 6 = 1) stays at its rung's rate.

use crate::model::VideoInfo;

/// Short side in pixels and most bits a second (R30).
const RUNGS: [(u32, u64); 4] = [
    (1080, 5_000_000),
    (720, 3_000_000),
    (480, 1_500_000),
    (360, 800_000),
];

/// Bits a second of the shared sound.
pub const AUDIO_BPS: u64 = 128_000;

/// Seconds between key frames.
pub const GOP_S: u32 = 2;

/// Frames a second as a fraction, so that 29.97 stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Frames.
    pub num: u32,
    /// Seconds.
    pub den: u32,
}

impl Rate {
    /// As a number.
    #[must_use]
    pub fn value(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }

    /// Frames from key frame to key frame.
    #[must_use]
    pub const fn gop(self) -> u32 {
        (GOP_S * self.num).div_ceil(self.den)
    }

    const fn half(self) -> Self {
        Self {
            num: self.num,
            den: self.den * 2,
        }
    }
}

/// One quality that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rung {
    /// Such as `720p`: the short side.
    pub name: String,
    /// Even pixels.
    pub width: u32,
    /// Even pixels.
    pub height: u32,
    /// Frames a second, constant.
    pub rate: Rate,
    /// Most bits a second of the pictures in a segment.
    pub max_bps: u64,
}

impl Rung {
    /// What the encoder is told (`-maxrate`, and `-bufsize` for one second).
    #[must_use]
    pub const fn encoder_bps(&self) -> u64 {
        self.max_bps * 6 / 7
    }
}

/// The ladder of a source, best first; never empty.
#[must_use]
pub fn ladder(video: &VideoInfo) -> Vec<Rung> {
    let short = video.width.min(video.height).max(2);
    let rate = constant_rate(video.fps);
    let mut sides: Vec<u32> = RUNGS
        .iter()
        .map(|(side, _)| *side)
        .filter(|side| *side <= short)
        .collect();
    let best = sides.first().copied().unwrap_or(0);
    // Above 1080p nothing is added: four times the work for what few see in a room.
    if best < RUNGS[0].0 && u64::from(short) * 100 > u64::from(best) * 115 {
        sides.insert(0, short.min(RUNGS[0].0));
    }
    let count = sides.len();
    sides
        .into_iter()
        .enumerate()
        .map(|(index, side)| {
            let scale = |pixels: u32| {
                let (pixels, side, short) = (u64::from(pixels), u64::from(side), u64::from(short));
                // The nearest even number, but none above the source.
                let nearest = (pixels * side + short) / (2 * short) * 2;
                u32::try_from(nearest.min(pixels / 2 * 2))
                    .unwrap_or(u32::MAX - 1)
                    .max(2)
            };
            let low = index > 0 && index + 2 >= count;
            Rung {
                name: format!("{side}p"),
                width: scale(video.width),
                height: scale(video.height),
                rate: if low && rate.value() > 30.0 {
                    rate.half()
                } else {
                    rate
                },
                max_bps: cap(side, video.bitrate.map(|rate| worth(&video.codec, rate))),
            }
        })
        .collect()
}

/// What H.264 needs, quickly coded, for what a source's codec has in so many bits: newer ones need half.
fn worth(codec: &str, bps: u64) -> u64 {
    if matches!(codec, "hevc" | "vp9" | "av1") {
        bps.saturating_mul(2)
    } else {
        bps
    }
}

/// Most bits a second for a short side; not much more than the source has.
fn cap(side: u32, source: Option<u64>) -> u64 {
    let side = u64::from(side);
    let table = RUNGS.windows(2).find_map(|pair| {
        let ((high, top), (low, bottom)) = (pair[0], pair[1]);
        let (high, low) = (u64::from(high), u64::from(low));
        (low..=high)
            .contains(&side)
            .then(|| bottom + (top - bottom) * (side - low) / (high - low))
    });
    let small = (800_000 * side * side / (360 * 360)).max(150_000);
    let max = table.unwrap_or(if side > 1080 { 5_000_000 } else { small });
    source.map_or(max, |source| {
        max.min((source.saturating_mul(11) / 10).max(150_000))
    })
}

/// The constant rate nearest to a measured one: within 1 % of a usual rate that, else the next higher; at most 60.
#[must_use]
pub fn constant_rate(fps: f64) -> Rate {
    const USUAL: [(u32, u32); 14] = [
        (5, 1),
        (10, 1),
        (12, 1),
        (15, 1),
        (20, 1),
        (24_000, 1001),
        (24, 1),
        (25, 1),
        (30_000, 1001),
        (30, 1),
        (48, 1),
        (50, 1),
        (60_000, 1001),
        (60, 1),
    ];
    let rates = || {
        USUAL.iter().map(|(num, den)| Rate {
            num: *num,
            den: *den,
        })
    };
    let distance = |rate: &Rate| (rate.value() / fps - 1.0).abs();
    rates()
        .filter(|rate| distance(rate) < 0.01)
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .or_else(|| rates().find(|rate| rate.value() >= fps))
        .unwrap_or(Rate { num: 60, den: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn video(width: u32, height: u32, fps: f64, bitrate: Option<u64>) -> VideoInfo {
        VideoInfo {
            codec: "h264".into(),
            width,
            height,
            fps,
            rotation: 0,
            bitrate,
            hdr: false,
        }
    }

    #[test]
    fn rungs_follow_the_short_side_and_never_exceed_the_source() {
        for (size, expected) in [
            (
                (1920, 1080),
                vec!["1920x1080", "1280x720", "854x480", "640x360"],
            ),
            (
                (1080, 1920),
                vec!["1080x1920", "720x1280", "480x854", "360x640"],
            ),
            (
                (3840, 2160),
                vec!["1920x1080", "1280x720", "854x480", "640x360"],
            ),
            ((1280, 720), vec!["1280x720", "854x480", "640x360"]),
            ((1066, 600), vec!["1066x600", "852x480", "640x360"]),
            ((960, 540), vec!["854x480", "640x360"]),
            ((321, 241), vec!["320x240"]),
            ((2, 2), vec!["2x2"]),
        ] {
            let made: Vec<_> = ladder(&video(size.0, size.1, 30.0, None))
                .iter()
                .map(|rung| format!("{}x{}", rung.width, rung.height))
                .collect();
            assert_eq!(made, expected, "{size:?}");
        }
    }

    #[test]
    fn rates_are_those_of_the_requirement_and_bounded_by_the_source() {
        let rates = |bitrate| -> Vec<u64> {
            ladder(&video(1920, 1080, 30.0, bitrate))
                .iter()
                .map(|rung| rung.max_bps)
                .collect()
        };
        assert_eq!(rates(None), [5_000_000, 3_000_000, 1_500_000, 800_000]);
        assert_eq!(
            rates(Some(1_000_000)),
            [1_100_000, 1_100_000, 1_100_000, 800_000]
        );
    }

    #[test]
    fn the_two_lowest_rungs_of_a_fast_source_have_half_its_frames() {
        let rates: Vec<_> = ladder(&video(1920, 1080, 59.94, None))
            .iter()
            .map(|r| r.rate.gop())
            .collect();
        assert_eq!(rates, [120, 120, 60, 60]);
        assert_eq!(
            constant_rate(29.97),
            Rate {
                num: 30_000,
                den: 1001
            }
        );
        assert_eq!(
            constant_rate(29.3),
            Rate {
                num: 30_000,
                den: 1001
            }
        );
        assert_eq!(constant_rate(240.0), Rate { num: 60, den: 1 });
    }

    proptest! {
        #[test]
        fn every_ladder_is_even_falling_and_within_its_source(
            width in 2_u32..8000, height in 2_u32..8000, fps in 0.5_f64..300.0,
            bitrate in proptest::option::of(1_000_u64..100_000_000)
        ) {
            let rungs = ladder(&video(width, height, fps, bitrate));
            prop_assert!((1..=5).contains(&rungs.len()));
            for rung in &rungs {
                prop_assert!(rung.width <= width && rung.height <= height);
                prop_assert!(rung.width % 2 == 0 && rung.height % 2 == 0 && rung.width > 0 && rung.height > 0);
                prop_assert!(rung.rate.value() <= 60.0 && rung.max_bps >= 13_000 && rung.max_bps <= 5_000_000);
                prop_assert!((rung.width > rung.height) <= (width > height));
            }
            for pair in rungs.windows(2) {
                prop_assert!(pair[0].height >= pair[1].height && pair[0].max_bps >= pair[1].max_bps);
                prop_assert!(pair[0].name != pair[1].name);
            }
        }
    }
}
