//! The parameters of H.264 that have to match (RFC 6184, sections 8.1 and 8.2.2).

use std::fmt;

/// What decodes H.264, as a format's parameters name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct H264 {
    /// Which tools its pictures use.
    pub profile: Profile,
    /// Which packets carry them.
    pub packetization: Packetization,
    /// `profile-level-id` as it was offered: the answer repeats it.
    level_id: [u8; 3],
    /// `level-asymmetry-allowed=1`: each side has a level of its own.
    allows_asymmetry: bool,
}

/// Profiles that are told apart; others are not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// What all others but baseline contain.
    ConstrainedBaseline,
    /// With slice groups and redundant slices, which others don't have.
    Baseline,
    /// With interlacing, B slices and CABAC.
    Main,
    /// High without interlacing and B slices.
    ConstrainedHigh,
    /// With transforms of 8 x 8.
    High,
}

/// `packetization-mode`. Mode 2 is interleaved, is used by nobody, and is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packetization {
    /// Mode 0: a packet is a NAL unit.
    Single,
    /// Mode 1: it may also be several, or a piece of one.
    NonInterleaved,
}

/// What stands for baseline at level 1, which holds where no `profile-level-id` is (section 8.1).
const DEFAULT_LEVEL_ID: [u8; 3] = [0x42, 0x00, 0x0a];

impl H264 {
    /// From the values of a format's parameters. `None` for what is not forwarded.
    pub(super) fn read(
        level_id: Option<&str>,
        packetization_mode: Option<&str>,
        level_asymmetry: Option<&str>,
    ) -> Option<Self> {
        let level_id = level_id.map_or(Some(DEFAULT_LEVEL_ID), parse_level_id)?;
        Some(Self {
            profile: Profile::of(level_id)?,
            packetization: match packetization_mode {
                None | Some("0") => Packetization::Single,
                Some("1") => Packetization::NonInterleaved,
                Some(_) => return None,
            },
            level_id,
            allows_asymmetry: level_asymmetry == Some("1"),
        })
    }

    /// Whether pictures and packets are of the same kind; levels may differ.
    pub(super) fn is_same(self, other: Self) -> bool {
        (self.profile, self.packetization) == (other.profile, other.packetization)
    }

    /// 0 for what all browsers have, 1 for its other way of packing, 2 for the rest.
    pub(super) fn rarity(self) -> u8 {
        let is_common = self.profile == Profile::ConstrainedBaseline;
        match self.packetization {
            Packetization::NonInterleaved if is_common => 0,
            Packetization::Single if is_common => 1,
            Packetization::NonInterleaved | Packetization::Single => 2,
        }
    }

    /// Whether who asks for `self` can decode what is sent as `other`. Levels are not compared: browsers
    /// ask for 3.1 and decode whatever fits their memory, and what a picture's size comes to is what
    /// layers are chosen by.
    pub(super) fn takes(self, other: Self) -> bool {
        let takes_packets = self.packetization == Packetization::NonInterleaved
            || other.packetization == Packetization::Single;
        takes_packets && self.profile.contains(other.profile)
    }
}

/// As the value of `a=fmtp`.
impl fmt::Display for H264 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.allows_asymmetry {
            f.write_str("level-asymmetry-allowed=1;")?;
        }
        let mode = match self.packetization {
            Packetization::Single => 0,
            Packetization::NonInterleaved => 1,
        };
        let [profile, constraints, level] = self.level_id;
        write!(
            f,
            "packetization-mode={mode};profile-level-id={profile:02x}{constraints:02x}{level:02x}"
        )
    }
}

impl Profile {
    /// Section 8.1, table 5: by `profile_idc` and the constraint flags that matter for it.
    fn of([profile, constraints, _]: [u8; 3]) -> Option<Self> {
        let has = |flags| constraints & flags == flags;
        let is_baseline_too = has(0x80);
        let is_main_too = has(0x40);
        match profile {
            66 if is_main_too => Some(Self::ConstrainedBaseline),
            66 => Some(Self::Baseline),
            77 if is_baseline_too => Some(Self::ConstrainedBaseline),
            77 => Some(Self::Main),
            88 if is_baseline_too && is_main_too => Some(Self::ConstrainedBaseline),
            100 if constraints == 0x0c => Some(Self::ConstrainedHigh),
            100 => Some(Self::High),
            _ => None,
        }
    }

    /// Whether who decodes `self` decodes `other` as well (H.264, annex A.2).
    fn contains(self, other: Self) -> bool {
        match other {
            Self::ConstrainedBaseline => true,
            Self::Baseline => self == Self::Baseline,
            Self::Main => matches!(self, Self::Main | Self::High),
            Self::ConstrainedHigh => matches!(self, Self::ConstrainedHigh | Self::High),
            Self::High => self == Self::High,
        }
    }
}

/// Six hexadecimal digits.
fn parse_level_id(text: &str) -> Option<[u8; 3]> {
    let is_hex = text.len() == 6 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    let value = u32::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    let [_, bytes @ ..] = value.to_be_bytes();
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(level_id: &str, mode: &str) -> Option<H264> {
        H264::read(Some(level_id), Some(mode), Some("1"))
    }

    #[test]
    fn profiles_are_those_of_table_5() {
        let profile = |level_id| read(level_id, "1").map(|read| read.profile);
        for constrained in ["42e01f", "42c01e", "4240ff", "4d801f", "58c01f"] {
            assert_eq!(profile(constrained), Some(Profile::ConstrainedBaseline));
        }
        assert_eq!(profile("42001f"), Some(Profile::Baseline));
        assert_eq!(profile("4d001f"), Some(Profile::Main));
        assert_eq!(profile("640c1f"), Some(Profile::ConstrainedHigh));
        assert_eq!(profile("64001F"), Some(Profile::High));
        for other in ["58001f", "7a001f", "42e01", "+2e01f", "42e01g", "42e01f0"] {
            assert_eq!(profile(other), None, "{other}");
        }
    }

    #[test]
    fn without_parameters_it_is_baseline_in_single_units() {
        let read = H264::read(None, None, None).unwrap();
        assert_eq!(read.profile, Profile::Baseline);
        assert_eq!(read.packetization, Packetization::Single);
        assert_eq!(
            read.to_string(),
            "packetization-mode=0;profile-level-id=42000a"
        );
        assert_eq!(H264::read(None, Some("2"), None), None);
    }

    #[test]
    fn an_answer_repeats_what_was_offered() {
        let text = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e034";
        assert_eq!(read("42e034", "1").unwrap().to_string(), text);
    }

    #[test]
    fn a_receiver_takes_what_it_asked_for_and_what_that_contains() {
        let takes = |asked: (&str, &str), sent: (&str, &str)| {
            read(asked.0, asked.1)
                .unwrap()
                .takes(read(sent.0, sent.1).unwrap())
        };
        let constrained = "42e01f";
        assert!(takes((constrained, "1"), ("42e034", "1")), "another level");
        assert!(takes((constrained, "1"), (constrained, "0")));
        assert!(!takes((constrained, "0"), (constrained, "1")));
        for wider in ["42001f", "4d001f", "640c1f", "64001f"] {
            assert!(takes((wider, "1"), (constrained, "1")), "{wider}");
            assert!(!takes((constrained, "1"), (wider, "1")), "{wider}");
        }
        assert!(takes(("64001f", "1"), ("4d001f", "1")));
        assert!(!takes(("4d001f", "1"), ("640c1f", "1")));
        assert!(!takes(("64001f", "1"), ("42001f", "1")), "slice groups");
    }
}
