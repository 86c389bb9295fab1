//! Which protocol a datagram on a shared port belongs to.

/// A protocol that shares the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RFC 8489: ICE's connectivity checks.
    Stun,
    /// RFC 6347: the handshake.
    Dtls,
    /// RFC 3550, protected by RFC 3711: media.
    Rtp,
    /// RFC 3550, protected by RFC 3711: reports and feedback.
    Rtcp,
}

impl Kind {
    /// Tells by the first byte (RFC 7983, section 7, as RFC 9443 leaves it for these protocols), and
    /// RTCP from RTP by the second (RFC 5761, section 4: RTCP's packet types 192 to 223 are what RTP
    /// would have as a marker and the payload types 64 to 95, which are not used then).
    ///
    /// `None` for what is none of them (ZRTP, TURN channels, QUIC) and for less than two bytes. It
    /// says nothing about whether the rest is valid.
    #[must_use]
    pub fn of(datagram: &[u8]) -> Option<Self> {
        let &[first, second, ..] = datagram else {
            return None;
        };
        match (first, second) {
            (0..=3, _) => Some(Self::Stun),
            (20..=63, _) => Some(Self::Dtls),
            (128..=191, 192..=223) => Some(Self::Rtcp),
            (128..=191, _) => Some(Self::Rtp),
            (4..=19 | 64..=127 | 192..=255, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_protocol_at_every_edge() {
        let table = [
            (0, Some(Kind::Stun)),
            (3, Some(Kind::Stun)),
            (4, None),
            (19, None),
            (20, Some(Kind::Dtls)),
            (63, Some(Kind::Dtls)),
            (64, None),
            (79, None),
            (80, None),
            (127, None),
            (128, Some(Kind::Rtp)),
            (191, Some(Kind::Rtp)),
            (192, None),
            (255, None),
        ];
        for (first, kind) in table {
            assert_eq!(Kind::of(&[first, 0]), kind, "first byte {first}");
        }
    }

    #[test]
    fn the_second_byte_tells_rtcp_from_rtp() {
        for second in 0..=255 {
            let kind = if (192..=223).contains(&second) {
                Kind::Rtcp
            } else {
                Kind::Rtp
            };
            assert_eq!(
                Kind::of(&[0x80, second]),
                Some(kind),
                "second byte {second}"
            );
        }
    }

    #[test]
    fn less_than_two_bytes_are_nothing() {
        assert_eq!(Kind::of(&[]), None);
        assert_eq!(Kind::of(&[0x80]), None);
    }
}
