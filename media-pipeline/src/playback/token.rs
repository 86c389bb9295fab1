//! Path tokens. Pure: time is an argument.
//!
//! ```text
//!  version 1 | key id 1 | clip 16 | person 16 | expiry 8 | epoch 8 | HMAC-SHA256 32               82 bytes, 110 characters
//!  version 2 | key id 1 | clip 16 | person 16 | expiry 8 | epoch 8 | name 80 | HMAC-SHA256 32    162 bytes, 216 characters
//! ```
//!
//! The person stands in it as a keyed pseudonym: URLs are kept by browsers and proxies, and ids may be addresses. Where
//! another system is asked again while somebody plays (version 2), their id is in it as well, filled up to its longest and
//! sealed with ChaCha20-Poly1305 (RFC 8439). Its nonce is the pseudonym's beginning: a keyed hash of the id, so that one nonce
//! only ever seals one text, and the same right is always the same text.

use crate::model::ClipId;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kaiwa_common::id::{RoomId, UserId};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use ring::{aead, digest, hmac};
use uuid::Uuid;

const VERSION: u8 = 1;
/// With the person's id, sealed.
const NAMED: u8 = 2;
const PAYLOAD: usize = 50;
const NAME: usize = UserId::MAX_BYTES + 16;
const MAC: usize = 32;
/// Characters of a token: 82 bytes, without padding.
const TEXT: usize = 110;
/// Characters of one with a name: 162 bytes.
const NAMED_TEXT: usize = 216;

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// What may be played.
    pub clip: ClipId,
    /// By whom: [`PlaybackKeys::pseudonym`].
    pub person: [u8; 16],
    /// Until when.
    pub expires: UnixMs,
    /// [`room_epoch`] of the room for which it was made, at that time.
    pub epoch: u64,
}

/// A room and its epoch in eight bytes: a token for one room where a clip is shown is none for another.
#[must_use]
pub fn room_epoch(room: &RoomId, epoch: u64) -> u64 {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&epoch.to_be_bytes());
    hash.update(room.as_str().as_bytes());
    let hash = hash.finish();
    let mut short = [0; 8];
    short.copy_from_slice(&hash.as_ref()[..8]);
    u64::from_be_bytes(short)
}

/// One key.
pub struct PlaybackKey {
    id: u8,
    tokens: hmac::Key,
    people: hmac::Key,
    names: aead::LessSafeKey,
}

/// A key can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlaybackKey {
    /// RFC 2104, section 3: at least the hash's 32 bytes.
    #[error("a playback key needs at least 32 bytes, this one has {0}")]
    Weak(usize),
    /// Tokens say which key they were made with.
    #[error("two playback keys have the id {0}")]
    SameId(u8),
}

impl PlaybackKey {
    /// A key with its id, which tokens carry.
    ///
    /// # Errors
    /// [`InvalidPlaybackKey::Weak`] under 32 bytes.
    pub fn new(id: u8, secret: &Secret<Vec<u8>>) -> Result<Self, InvalidPlaybackKey> {
        let bytes = secret.expose();
        if bytes.len() < 32 {
            return Err(InvalidPlaybackKey::Weak(bytes.len()));
        }
        let secret = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        // One key for each purpose, so that no pseudonym is ever a token's MAC.
        let derived = |purpose: &str| hmac::sign(&secret, purpose.as_bytes());
        let derive = |purpose: &str| hmac::Key::new(hmac::HMAC_SHA256, derived(purpose).as_ref());
        let names = derived("kaiwa playback name");
        let names = aead::UnboundKey::new(&aead::CHACHA20_POLY1305, names.as_ref())
            .expect("its keys have 32 bytes, as SHA-256");
        Ok(Self {
            id,
            names: aead::LessSafeKey::new(names),
            tokens: derive("kaiwa playback token"),
            people: derive("kaiwa playback person"),
        })
    }
}

/// Makes tokens with one key, and takes those of another as well: that is how keys are changed.
pub struct PlaybackKeys {
    current: PlaybackKey,
    other: Option<PlaybackKey>,
}

impl PlaybackKeys {
    /// Tokens are made with `current`. Before a new key makes tokens, all servers take it as `other`; afterwards the
    /// old one stays `other` for six hours.
    ///
    /// # Errors
    /// [`InvalidPlaybackKey::SameId`].
    pub fn new(
        current: PlaybackKey,
        other: Option<PlaybackKey>,
    ) -> Result<Self, InvalidPlaybackKey> {
        match &other {
            Some(other) if other.id == current.id => Err(InvalidPlaybackKey::SameId(other.id)),
            Some(_) | None => Ok(Self { current, other }),
        }
    }

    /// How this person is called in tokens of the current key: so an operator finds whose a leaked one was.
    #[must_use]
    pub fn pseudonym(&self, user: &UserId) -> [u8; 16] {
        let mac = hmac::sign(&self.current.people, user.as_str().as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&mac.as_ref()[..16]);
        short
    }

    /// A token. It goes into URLs, and nowhere else.
    #[must_use]
    pub fn issue(&self, claims: &Claims) -> String {
        self.signed(self.payload(VERSION, claims))
    }

    /// A token that says whose it is to who has the key, whose `claims.person` is not looked at.
    #[must_use]
    pub fn issue_named(&self, claims: &Claims, user: &UserId) -> String {
        let person = self.pseudonym(user);
        let mut bytes = self.payload(NAMED, &Claims { person, ..*claims });
        let mut name = user.as_str().as_bytes().to_vec();
        name.resize(UserId::MAX_BYTES, 0);
        let sealed = self.current.names.seal_in_place_append_tag(
            nonce(person),
            aead::Aad::empty(),
            &mut name,
        );
        sealed.expect("64 bytes are not too many");
        bytes.extend(name);
        self.signed(bytes)
    }

    fn payload(&self, version: u8, claims: &Claims) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PAYLOAD + NAME + MAC);
        bytes.extend([version, self.current.id]);
        bytes.extend(claims.clip.0.as_bytes());
        bytes.extend(claims.person);
        bytes.extend(claims.expires.0.to_be_bytes());
        bytes.extend(claims.epoch.to_be_bytes());
        bytes
    }

    fn signed(&self, mut bytes: Vec<u8>) -> String {
        let mac = hmac::sign(&self.current.tokens, &bytes);
        bytes.extend(mac.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token says, if one of the keys made it and its time is not over.
    #[must_use]
    pub fn open(&self, token: &str, now: UnixMs) -> Option<Claims> {
        self.open_named(token, now).map(|(claims, _)| claims)
    }

    /// What a token says, and whose it is, if it was made to tell.
    #[must_use]
    pub fn open_named(&self, token: &str, now: UnixMs) -> Option<(Claims, Option<UserId>)> {
        let (version, length) = match token.len() {
            TEXT => (VERSION, PAYLOAD),
            NAMED_TEXT => (NAMED, PAYLOAD + NAME),
            _ => return None,
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (payload, mac) = bytes.split_at_checked(length)?;
        let keys = [Some(&self.current), self.other.as_ref()];
        let key = keys
            .into_iter()
            .flatten()
            .find(|key| key.id == payload[1])?;
        hmac::verify(&key.tokens, payload, mac).ok()?;
        if payload[0] != version {
            return None;
        }
        let claims = Claims {
            clip: ClipId(Uuid::from_slice(&payload[2..18]).ok()?),
            person: payload[18..34].try_into().ok()?,
            expires: UnixMs(i64::from_be_bytes(payload[34..42].try_into().ok()?)),
            epoch: u64::from_be_bytes(payload[42..50].try_into().ok()?),
        };
        if claims.expires <= now {
            return None;
        }
        if version == VERSION {
            return Some((claims, None));
        }
        let mut name = payload[PAYLOAD..].to_vec();
        let opened = key
            .names
            .open_in_place(nonce(claims.person), aead::Aad::empty(), &mut name)
            .ok()?;
        // No id has a zero in it.
        let name = opened.split(|byte| *byte == 0).next()?;
        let user = UserId::parse(std::str::from_utf8(name).ok()?).ok()?;
        Some((claims, Some(user)))
    }
}

fn nonce(person: [u8; 16]) -> aead::Nonce {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce.copy_from_slice(&person[..aead::NONCE_LEN]);
    aead::Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8, byte: u8) -> PlaybackKey {
        PlaybackKey::new(id, &Secret::new(vec![byte; 32])).expect("a key of 32 bytes")
    }

    fn keys() -> PlaybackKeys {
        PlaybackKeys::new(key(1, 7), None).expect("one key")
    }

    fn claims() -> Claims {
        Claims {
            clip: ClipId(Uuid::from_u128(42)),
            person: [3; 16],
            expires: UnixMs(1_000_000),
            epoch: 9,
        }
    }

    #[test]
    fn a_token_says_what_it_was_made_of_until_it_expires() {
        let token = keys().issue(&claims());
        assert_eq!(token.len(), TEXT);
        assert_eq!(keys().open(&token, UnixMs(999_999)), Some(claims()));
        assert_eq!(keys().open(&token, UnixMs(1_000_000)), None);
    }

    #[test]
    fn no_changed_character_is_accepted() {
        let token = keys().issue(&claims());
        for at in 0..token.len() {
            for other in ['A', 'B', '_', '-', '=', '~'] {
                let mut changed = token.clone();
                changed.replace_range(at..=at, &other.to_string());
                if changed != token {
                    assert_eq!(keys().open(&changed, UnixMs(0)), None, "at {at}: {other}");
                }
            }
        }
        for cut in 0..token.len() {
            assert_eq!(keys().open(&token[..cut], UnixMs(0)), None);
        }
        assert_eq!(keys().open(&format!("{token}A"), UnixMs(0)), None);
    }

    #[test]
    fn two_keys_overlap_while_they_are_changed() {
        let old = keys().issue(&claims());
        let both = PlaybackKeys::new(key(2, 8), Some(key(1, 7))).expect("two ids");
        assert_eq!(both.open(&old, UnixMs(0)), Some(claims()));
        let new = both.issue(&claims());
        assert_eq!(keys().open(&new, UnixMs(0)), None);
        let after = PlaybackKeys::new(key(2, 8), None).expect("one key");
        assert_eq!(after.open(&old, UnixMs(0)), None);
        assert_eq!(after.open(&new, UnixMs(0)), Some(claims()));
        let same_id_other_key = PlaybackKeys::new(key(1, 8), None).expect("one key");
        assert_eq!(same_id_other_key.open(&old, UnixMs(0)), None);
    }

    #[test]
    fn weak_keys_and_equal_ids_are_refused() {
        let weak = PlaybackKey::new(1, &Secret::new(vec![0; 31])).err();
        assert_eq!(weak, Some(InvalidPlaybackKey::Weak(31)));
        let same = PlaybackKeys::new(key(1, 7), Some(key(1, 8))).err();
        assert_eq!(same, Some(InvalidPlaybackKey::SameId(1)));
    }

    #[test]
    fn a_named_token_tells_its_person_to_who_has_the_key_alone() {
        for name in ["a", "someone@example.org", &"x".repeat(UserId::MAX_BYTES)] {
            let user = UserId::parse(name).expect("an id");
            let token = keys().issue_named(&claims(), &user);
            assert_eq!(token.len(), NAMED_TEXT);
            let (said, whose) = keys().open_named(&token, UnixMs(0)).expect("a token");
            assert_eq!(whose.as_ref(), Some(&user));
            let person = keys().pseudonym(&user);
            assert_eq!(said, Claims { person, ..claims() });
            assert_eq!(keys().open(&token, UnixMs(0)), Some(said));
            assert_eq!(keys().open_named(&token, claims().expires), None);
            let bytes = URL_SAFE_NO_PAD.decode(&token).expect("base64");
            assert!(name.len() == 1 || !String::from_utf8_lossy(&bytes).contains(name));
            for at in 0..token.len() {
                let mut changed = token.clone();
                let other = if &token[at..=at] == "A" { "B" } else { "A" };
                changed.replace_range(at..=at, other);
                assert_eq!(keys().open_named(&changed, UnixMs(0)), None, "at {at}");
            }
        }
        let plain = keys().issue(&claims());
        let plain = keys().open_named(&plain, UnixMs(0));
        assert_eq!(plain, Some((claims(), None)));
    }

    #[test]
    fn a_token_does_not_name_its_person() {
        let user = UserId::parse("someone@example.org").expect("an id");
        let person = keys().pseudonym(&user);
        let token = keys().issue(&Claims { person, ..claims() });
        let bytes = URL_SAFE_NO_PAD.decode(token).expect("base64");
        assert!(!String::from_utf8_lossy(&bytes).contains("someone"));
        assert_eq!(keys().pseudonym(&user), person);
    }
}
