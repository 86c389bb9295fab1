//! RTCP feedback (RFC 4585, section 4.2).

/// Kinds of RTCP feedback (RFC 4585, section 4.2) that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feedback {
    /// `nack`
    Nack,
    /// `nack pli`
    Pli,
    /// `ccm fir` (RFC 5104)
    Fir,
    /// `transport-cc` (draft-holmer-rmcat-transport-wide-cc-extensions-01)
    TransportCc,
    /// `goog-remb` (draft-alvestrand-rmcat-remb)
    Remb,
}

impl Feedback {
    /// All, in the order in which they are written.
    pub const ALL: [Self; 5] = [
        Self::Nack,
        Self::Pli,
        Self::Fir,
        Self::TransportCc,
        Self::Remb,
    ];

    /// As after the payload type.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nack => "nack",
            Self::Pli => "nack pli",
            Self::Fir => "ccm fir",
            Self::TransportCc => "transport-cc",
            Self::Remb => "goog-remb",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Nack => 1,
            Self::Pli => 2,
            Self::Fir => 4,
            Self::TransportCc => 8,
            Self::Remb => 16,
        }
    }
}

/// Some of [`Feedback`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedbackSet(u8);

impl FeedbackSet {
    /// Adds one.
    pub fn insert(&mut self, feedback: Feedback) {
        self.0 |= feedback.bit();
    }

    /// Whether it is there.
    #[must_use]
    pub fn contains(self, feedback: Feedback) -> bool {
        self.0 & feedback.bit() != 0
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// In the order of [`Feedback::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Feedback> {
        Feedback::ALL.into_iter().filter(move |&f| self.contains(f))
    }
}

impl FromIterator<Feedback> for FeedbackSet {
    fn from_iter<I: IntoIterator<Item = Feedback>>(iter: I) -> Self {
        let mut set = Self::default();
        iter.into_iter().for_each(|feedback| set.insert(feedback));
        set
    }
}
