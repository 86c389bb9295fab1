//! Tokens that let a client upload exactly one thing to the embedded store, until they expire.
//!
//! `{key id}.{base64url(claim)}.{base64url(HMAC-SHA256)}`, the MAC over a domain, the method, the key's id and the
//! claim. Nothing of a claim is looked at before its MAC is right.

use crate::checksum::{Checksum, ChecksumKind};
use crate::objects::{check_key, hex, unhex};
use crate::ports::PartPlan;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use kaiwa_common::limits::OBJECT_TOKEN_BYTES;
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use ring::hmac;

/// A key with its name, which is in each token: letters and digits.
pub struct SigningKey {
    id: String,
    key: hmac::Key,
}

impl SigningKey {
    /// Of 32 random bytes.
    #[must_use]
    pub fn new(id: &str, secret: &Secret<[u8; 32]>) -> Self {
        Self {
            id: id.chars().filter(char::is_ascii_alphanumeric).collect(),
            key: hmac::Key::new(hmac::HMAC_SHA256, secret.expose()),
        }
    }
}

/// The key that signs, and the one before it, which is still believed until its last token has expired.
pub struct Keyring {
    current: SigningKey,
    previous: Option<SigningKey>,
}

/// One part of one upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartClaim {
    /// The object that is to be.
    pub key: String,
    /// The upload.
    pub upload: String,
    /// Number, exact length, and checksum if it is known.
    pub part: PartPlan,
    /// Until when.
    pub expires: UnixMs,
}

/// One small object by a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormClaim {
    /// The object that is to be.
    pub key: String,
    /// Stored with it.
    pub content_type: String,
    /// At most so many bytes.
    pub max: u64,
    /// Until when.
    pub expires: UnixMs,
}

/// Why a token does not serve. All of them are answered 403.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is none, or its key is not known, or somebody changed it, or it is for another method.
    #[error("the signature is not valid")]
    Invalid,
    /// It was good once.
    #[error("the signature has expired")]
    Expired,
}

impl Keyring {
    /// Signs with `current`; believes `previous` too.
    #[must_use]
    pub fn new(current: SigningKey, previous: Option<SigningKey>) -> Self {
        Self { current, previous }
    }

    /// A token for a `PUT`.
    #[must_use]
    pub fn sign_part(&self, claim: &PartClaim) -> String {
        let sum = claim.part.checksum.as_ref().map(Checksum::bytes);
        let sum = hex(sum.unwrap_or_default());
        let PartClaim {
            key,
            upload,
            part,
            expires,
        } = claim;
        let text = format!(
            "{key}\n{upload}\n{}\n{}\n{sum}\n{}",
            part.number, part.size, expires.0
        );
        self.sign("PUT", &text)
    }

    /// A token for a `POST` of a form.
    #[must_use]
    pub fn sign_form(&self, claim: &FormClaim) -> String {
        let FormClaim {
            key,
            content_type,
            max,
            expires,
        } = claim;
        self.sign(
            "POST",
            &format!("{key}\n{content_type}\n{max}\n{}", expires.0),
        )
    }

    /// What a part's token allows.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn open_part(&self, token: &str, now: UnixMs) -> Result<PartClaim, TokenError> {
        let text = self.open("PUT", token)?;
        let fields: Vec<&str> = text.split('\n').collect();
        let [key, upload, number, size, sum, expires] = fields[..] else {
            return Err(TokenError::Invalid);
        };
        let checksum = match sum {
            "" => None,
            digits => Some(summed(digits).ok_or(TokenError::Invalid)?),
        };
        let part = PartPlan {
            number: parsed(number)?,
            size: parsed(size)?,
            checksum,
        };
        Ok(PartClaim {
            key: checked(key)?,
            upload: upload.to_owned(),
            part,
            expires: alive(expires, now)?,
        })
    }

    /// What a form's token allows.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn open_form(&self, token: &str, now: UnixMs) -> Result<FormClaim, TokenError> {
        let text = self.open("POST", token)?;
        let fields: Vec<&str> = text.split('\n').collect();
        let [key, content_type, max, expires] = fields[..] else {
            return Err(TokenError::Invalid);
        };
        Ok(FormClaim {
            key: checked(key)?,
            content_type: content_type.to_owned(),
            max: parsed(max)?,
            expires: alive(expires, now)?,
        })
    }

    fn sign(&self, method: &str, text: &str) -> String {
        let SigningKey { id, key } = &self.current;
        let claim = BASE64.encode(text);
        let mac = hmac::sign(key, signed(method, id, &claim).as_bytes());
        format!("{id}.{claim}.{}", BASE64.encode(mac))
    }

    fn open(&self, method: &str, token: &str) -> Result<String, TokenError> {
        if token.len() > OBJECT_TOKEN_BYTES {
            return Err(TokenError::Invalid);
        }
        let mut parts = token.splitn(3, '.');
        let (Some(id), Some(claim), Some(mac)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(TokenError::Invalid);
        };
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        let key = keys.find(|key| key.id == id).ok_or(TokenError::Invalid)?;
        let mac = BASE64.decode(mac).map_err(|_| TokenError::Invalid)?;
        hmac::verify(&key.key, signed(method, id, claim).as_bytes(), &mac)
            .map_err(|_| TokenError::Invalid)?;
        let text = BASE64.decode(claim).map_err(|_| TokenError::Invalid)?;
        String::from_utf8(text).map_err(|_| TokenError::Invalid)
    }
}

fn signed(method: &str, id: &str, claim: &str) -> String {
    format!("kaiwa.object.v1\n{method}\n{id}\n{claim}")
}

/// A sum of its digits, whose number says which it is.
fn summed(digits: &str) -> Option<Checksum> {
    let bytes = unhex(digits)?;
    let mut kinds = [ChecksumKind::Sha256, ChecksumKind::Crc32c].into_iter();
    kinds.find_map(|kind| kind.of_bytes(&bytes))
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, TokenError> {
    text.parse().map_err(|_| TokenError::Invalid)
}

fn checked(key: &str) -> Result<String, TokenError> {
    check_key(key).map_err(|_| TokenError::Invalid)?;
    Ok(key.to_owned())
}

fn alive(expires: &str, now: UnixMs) -> Result<UnixMs, TokenError> {
    let expires = UnixMs(parsed(expires)?);
    if now < expires {
        Ok(expires)
    } else {
        Err(TokenError::Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> SigningKey {
        SigningKey::new(id, &Secret::new([byte; 32]))
    }

    fn claim() -> PartClaim {
        let part = PartPlan {
            number: 3,
            size: 7,
            checksum: Some(Checksum::Sha256([9; 32])),
        };
        PartClaim {
            key: "a/b".to_owned(),
            upload: "u".to_owned(),
            part,
            expires: UnixMs(1_000),
        }
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_expires() {
        let ring = Keyring::new(key("k1", 1), None);
        let token = ring.sign_part(&claim());
        assert_eq!(ring.open_part(&token, UnixMs(999)), Ok(claim()));
        assert_eq!(
            ring.open_part(&token, UnixMs(1_000)),
            Err(TokenError::Expired)
        );
        assert_eq!(ring.open_form(&token, UnixMs(0)), Err(TokenError::Invalid));
    }

    #[test]
    fn either_kind_of_checksum_is_signed_and_none_is() {
        let ring = Keyring::new(key("k1", 1), None);
        for checksum in [
            None,
            Some(Checksum::Sha256([9; 32])),
            Some(Checksum::Crc32c([0, 9, 8, 7])),
        ] {
            let mut claim = claim();
            claim.part.checksum = checksum;
            let token = ring.sign_part(&claim);
            assert_eq!(ring.open_part(&token, UnixMs(0)), Ok(claim));
        }
    }

    #[test]
    fn any_change_of_any_character_is_seen() {
        let ring = Keyring::new(key("k1", 1), None);
        let token = ring.sign_part(&claim());
        for place in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).expect("ASCII");
            assert_eq!(
                ring.open_part(&other, UnixMs(0)),
                Err(TokenError::Invalid),
                "{place}"
            );
        }
        for bad in ["", ".", "..", "k1..", "k1.AAAA.", "k2.AAAA.AAAA"] {
            assert_eq!(ring.open_part(bad, UnixMs(0)), Err(TokenError::Invalid));
        }
    }

    #[test]
    fn the_key_before_is_believed_and_the_one_before_that_is_not() {
        let token = Keyring::new(key("k1", 1), None).sign_part(&claim());
        let next = Keyring::new(key("k2", 2), Some(key("k1", 1)));
        assert!(next.open_part(&token, UnixMs(0)).is_ok());
        assert!(next.sign_part(&claim()).starts_with("k2."));
        let after = Keyring::new(key("k3", 3), Some(key("k2", 2)));
        assert_eq!(after.open_part(&token, UnixMs(0)), Err(TokenError::Invalid));
        // The name alone opens nothing.
        let same_name = Keyring::new(key("k1", 7), None);
        assert_eq!(
            same_name.open_part(&token, UnixMs(0)),
            Err(TokenError::Invalid)
        );
    }
}
