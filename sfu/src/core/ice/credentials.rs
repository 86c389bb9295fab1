//! What a check shows that it is meant for a peer, and allowed.

use std::fmt;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const UFRAG_CHARS: usize = 8;
const PASSWORD_CHARS: usize = 24;

/// A user fragment of ours: 8 characters, 48 bits (24 at least; RFC 8445, section 5.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ufrag([u8; UFRAG_CHARS]);

impl Ufrag {
    /// From the first part of a check's USERNAME; `None` when it cannot be one of ours.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let bytes: [u8; UFRAG_CHARS] = text.try_into().ok()?;
        bytes
            .iter()
            .all(|byte| ALPHABET.contains(byte))
            .then_some(Self(bytes))
    }

    /// As it stands in `a=ice-ufrag`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        as_text(&self.0)
    }
}

impl fmt::Debug for Ufrag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A user fragment and its password. Has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: Ufrag,
    password: [u8; PASSWORD_CHARS],
}

impl Credentials {
    /// From 24 random bytes: 6 make the user fragment, 18 the password, 144 bits (128 at least; RFC
    /// 8445, section 5.3).
    #[must_use]
    pub fn from_random(random: &[u8; 24]) -> Self {
        let mut text = [0; UFRAG_CHARS + PASSWORD_CHARS];
        for (bytes, chars) in random.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
            let bits = bytes
                .iter()
                .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
            for (char, shift) in chars.iter_mut().zip([18, 12, 6, 0]) {
                *char = ALPHABET[bits >> shift & 63];
            }
        }
        let mut ufrag = [0; UFRAG_CHARS];
        let mut password = [0; PASSWORD_CHARS];
        ufrag.copy_from_slice(&text[..UFRAG_CHARS]);
        password.copy_from_slice(&text[UFRAG_CHARS..]);
        Self {
            ufrag: Ufrag(ufrag),
            password,
        }
    }

    /// The user fragment.
    #[must_use]
    pub fn ufrag(&self) -> Ufrag {
        self.ufrag
    }

    /// As it stands in `a=ice-pwd`.
    #[must_use]
    pub fn password(&self) -> &str {
        as_text(&self.password)
    }
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("made of the alphabet's characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_the_base64_of_their_bytes() {
        let credentials = Credentials::from_random(b"Many hands make light wo");
        assert_eq!(credentials.ufrag().as_str(), "TWFueSBo");
        assert_eq!(credentials.password(), "YW5kcyBtYWtlIGxpZ2h0IHdv");
    }

    #[test]
    fn only_what_can_be_ours_is_a_ufrag() {
        assert_eq!(Ufrag::parse(b"TWFueSBo").unwrap().as_str(), "TWFueSBo");
        for wrong in [
            &b""[..],
            b"TWFueSB",
            b"TWFueSBoo",
            b"TWFueSB:",
            b"TWFueSB\xff",
        ] {
            assert_eq!(Ufrag::parse(wrong), None);
        }
    }
}
