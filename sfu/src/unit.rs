//! Ids and units of media, each its own type.

use kaiwa_common::time::UnixMs;
use std::fmt;
use std::time::Duration;

/// A synchronisation source (RFC 3550, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

/// A payload type, 0–127 (RFC 3550, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadType(pub u8);

/// A sequence number as it is on the wire: it wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SeqNo(pub u16);

/// A sequence number that does not wrap: rollovers in the upper bits (RFC 3711, section 3.3.1, calls
/// it the packet index).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtSeqNo(pub u64);

impl ExtSeqNo {
    /// As it goes on the wire.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the wire has the lower 16 bits"
    )]
    pub fn wire(self) -> SeqNo {
        SeqNo(self.0 as u16)
    }

    /// The rollover counter (RFC 3711, section 3.3.1).
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "SRTP's counter has 32 bits"
    )]
    pub fn rollovers(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// The extended number nearest to `self` whose lower bits are `seq`; never below zero.
    #[must_use]
    pub fn nearest(self, seq: SeqNo) -> Self {
        let distance = i64::from(seq.0.wrapping_sub(self.wire().0).cast_signed());
        match self.0.checked_add_signed(distance) {
            Some(near) => Self(near),
            None => Self(u64::from(seq.0)),
        }
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// An RTP timestamp, in ticks of its stream's clock: it wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RtpTime(pub u32);

/// Ticks per second of a stream's RTP clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClockRate(pub u32);

/// An NTP timestamp: seconds since 1900 in the upper 32 bits, their fraction in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// The middle 32 bits, as reports carry them (RFC 3550, section 6.4.1).
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the middle 32 bits are meant"
    )]
    pub fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// From 1900 to 1970 (RFC 868).
pub(crate) const NTP_OFFSET_S: u32 = 2_208_988_800;

/// Bits per second, of the whole datagram's UDP payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Bitrate(pub u64);

impl Bitrate {
    /// From thousands of bits per second.
    #[must_use]
    pub const fn kbps(kbps: u64) -> Self {
        Self(kbps * 1_000)
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kbit/s", self.0 / 1_000)
    }
}

/// What a stream carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

macro_rules! short_text {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            bytes: [u8; $max],
            len: u8,
        }

        impl $name {
            /// The most bytes that one has.
            pub const MAX_BYTES: usize = $max;

            /// Checks a text from outside: 1 to [`Self::MAX_BYTES`] printable ASCII characters
            /// without a space.
            #[must_use]
            pub fn parse(text: &[u8]) -> Option<Self> {
                let len = u8::try_from(text.len()).ok()?;
                let fits = (1..=$max).contains(&text.len());
                if !fits || !text.iter().all(u8::is_ascii_graphic) {
                    return None;
                }
                let mut bytes = [0; $max];
                bytes[..text.len()].copy_from_slice(text);
                Some(Self { bytes, len })
            }

            /// Its bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.bytes[..usize::from(self.len)]
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(self.as_bytes()).expect("checked to be ASCII")
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

short_text! {
    /// Names an m-line (RFC 9143). Sixteen bytes are what a one-byte header extension carries.
    Mid, 16
}
short_text! {
    /// Names an encoding of a simulcast (RFC 8851).
    Rid, 16
}

impl RtpTime {
    /// So many ticks later.
    #[must_use]
    pub fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// Ticks from `earlier` to this; negative when this is the earlier one of the two.
    #[must_use]
    pub fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

impl ClockRate {
    /// Of every video format (RFC 7741, section 4.1).
    pub const VIDEO: Self = Self(90_000);
    /// Of Opus, whatever it samples at (RFC 7587, section 4.1).
    pub const OPUS: Self = Self(48_000);

    /// How long so many ticks last.
    #[must_use]
    pub fn span(self, ticks: u32) -> Duration {
        Duration::from_secs(ticks.into()) / self.0.max(1)
    }

    /// How many ticks a span has, modulo 2^32 as timestamps are.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower 32 bits are the result modulo 2^32"
    )]
    pub fn ticks(self, span: Duration) -> u32 {
        (span.as_nanos() * u128::from(self.0) / 1_000_000_000) as u32
    }
}

impl NtpTime {
    /// The same by the clock of Unix, from 1970 to 2106 (RFC 4330, section 3, has the second era of these
    /// timestamps begin in 2036).
    #[must_use]
    pub fn unix(self) -> UnixMs {
        let seconds = ((self.0 >> 32) as u32).wrapping_sub(NTP_OFFSET_S);
        let ms = ((self.0 & u64::from(u32::MAX)) * 1_000) >> 32;
        UnixMs(i64::from(seconds) * 1_000 + ms.cast_signed())
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let seconds = span.as_secs() << 32;
        let fraction = (u64::from(span.subsec_nanos()) << 32) / 1_000_000_000;
        Self(self.0.wrapping_add(seconds).wrapping_add(fraction))
    }

    /// From `earlier` to this, in units of 2^-32 s; negative when this is the earlier one of the two.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_number_is_on_either_side_of_a_wrap() {
        let at = ExtSeqNo(0x1_0002);
        assert_eq!(at.nearest(SeqNo(0xffff)), ExtSeqNo(0xffff));
        assert_eq!(at.nearest(SeqNo(5)), ExtSeqNo(0x1_0005));
        assert_eq!(ExtSeqNo(0xfffe).nearest(SeqNo(1)), ExtSeqNo(0x1_0001));
        assert_eq!(ExtSeqNo(1).nearest(SeqNo(0xffff)), ExtSeqNo(0xffff));
    }

    #[test]
    fn a_mid_is_short_and_printable() {
        assert_eq!(Mid::parse(b"0").expect("a mid").as_str(), "0");
        for wrong in [&b""[..], b"a b", b"seventeen letters", b"\xff"] {
            assert_eq!(Mid::parse(wrong), None);
        }
    }

    #[test]
    fn times_are_told_apart_across_their_wrap() {
        assert_eq!(RtpTime(5).since(RtpTime(u32::MAX - 4)), 10);
        assert_eq!(RtpTime(u32::MAX - 4).since(RtpTime(5)), -10);
        assert_eq!(NtpTime(1).since(NtpTime(u64::MAX)), 2);
        let half = Duration::from_millis(500);
        assert_eq!(ClockRate::VIDEO.ticks(half), 45_000);
        assert_eq!(NtpTime(0).plus(half), NtpTime(1 << 31));
        let last = NtpTime(u64::MAX - u64::from(u32::MAX)).plus(half);
        // 2036-02-07T06:28:15.5Z and a second later.
        assert_eq!(last.unix(), UnixMs(2_085_978_495_500));
        assert_eq!(last.plus(half + half).unix(), UnixMs(2_085_978_496_500));
    }
}
