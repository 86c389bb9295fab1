//! Tokens: who somebody is and until when (JWT, RFC 7519; HS256, RFC 7518 section 3.2).
//!
//! The `jsonwebtoken` crate parses and signs, over `ring`, so that the tree keeps one crypto library.
//! The clock is an argument.

use crate::id::{RoomId, UserId};
use crate::limits::{NAME_BYTES, TOKEN_BYTES, TOKEN_LEEWAY};
use crate::redact::{Redacted, Secret};
use crate::time::UnixMs;
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::sync::Once;
use std::time::Duration;

/// What somebody may do on the whole server; rooms have roles of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServerRole {
    /// Everything a creator may, and moderates any room it is in.
    Admin,
    /// Creates rooms, writes, shares.
    #[default]
    Creator,
    /// Reads and joins; writes and creates nothing.
    Viewer,
}

/// What a token lets somebody do in calls, within what the room's role gives. (Claim `call`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallGrant {
    /// Publish sound from a microphone.
    pub microphone: bool,
    /// Publish pictures from a camera.
    pub camera: bool,
    /// Publish a screen and its sound.
    pub screen: bool,
    /// Receive what others publish.
    pub subscribe: bool,
}

impl CallGrant {
    /// Nothing is narrowed: what a token without the claim says.
    pub const ALL: Self = Self {
        microphone: true,
        camera: true,
        screen: true,
        subscribe: true,
    };
}

impl Default for CallGrant {
    fn default() -> Self {
        Self::ALL
    }
}

/// Who a token names, once it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `sub`.
    pub user: UserId,
    /// `name`, or empty.
    pub name: Redacted<String>,
    /// `role`.
    pub role: ServerRole,
    /// `call`.
    pub call: CallGrant,
    /// `room`: the token is for this room's call by HTTP alone (WHIP, WHEP), such as an encoder's.
    pub room: Option<RoomId>,
    /// `exp`.
    pub expires: UnixMs,
}

/// What a token says of time, whatever the time is: for telling why it is refused. It gives no right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// `sub`.
    pub user: UserId,
    /// From when on it is good: the later of `nbf` and `iat`, if there is one.
    pub starts: Option<UnixMs>,
    /// `exp`.
    pub expires: UnixMs,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Its time is over: get a new one.
    #[error("the token has expired")]
    Expired,
    /// It is no good, and asking again with it will not help.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
}

/// The claims on the wire.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    aud: Audience,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iss: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(default)]
    role: ServerRole,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<CallClaim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<String>,
}

/// The claim `call` on the wire. Members and sources that are not known are ignored; what is left out is
/// not narrowed.
#[derive(Debug, Serialize, Deserialize)]
struct CallClaim {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publish: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscribe: Option<bool>,
}

impl CallClaim {
    fn of(grant: CallGrant) -> Option<Self> {
        let sources = [
            ("microphone", grant.microphone),
            ("camera", grant.camera),
            ("screen", grant.screen),
        ];
        let publish = sources.into_iter().filter(|(_, may)| *may);
        (grant != CallGrant::ALL).then(|| Self {
            publish: Some(publish.map(|(name, _)| name.to_owned()).collect()),
            subscribe: Some(grant.subscribe),
        })
    }

    fn grant(&self) -> CallGrant {
        let may = |source: &str| {
            let named = self.publish.as_ref();
            named.is_none_or(|named| named.iter().any(|name| name == source))
        };
        CallGrant {
            microphone: may("microphone"),
            camera: may("camera"),
            screen: may("screen"),
            subscribe: self.subscribe.unwrap_or(true),
        }
    }
}

/// `aud` is one string or several (RFC 7519, section 4.1.3).
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(audience) => audience == wanted,
            Self::Many(audiences) => audiences.iter().any(|a| a == wanted),
        }
    }
}

/// Makes and checks this server's tokens.
#[derive(Clone)]
pub struct TokenKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
    audience: String,
    issuer: Option<String>,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey")
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// A secret is too short to sign with: RFC 7518 section 3.2 asks for at least the hash's 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an HS256 secret needs at least 32 bytes, this one has {0}")]
pub struct WeakSecret(pub usize);

impl TokenKey {
    /// HS256 with one secret for making and checking.
    ///
    /// # Errors
    /// [`WeakSecret`] under 32 bytes.
    pub fn hs256(
        secret: &Secret<Vec<u8>>,
        audience: &str,
        issuer: Option<&str>,
    ) -> Result<Self, WeakSecret> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(ring_provider::install);
        let bytes = secret.expose();
        if bytes.len() < 32 {
            return Err(WeakSecret(bytes.len()));
        }
        Ok(Self {
            encoding: EncodingKey::from_secret(bytes),
            decoding: DecodingKey::from_secret(bytes),
            audience: audience.to_owned(),
            issuer: issuer.map(str::to_owned),
        })
    }

    /// A token for somebody, good for `ttl` from `now`.
    ///
    /// # Panics
    /// Never: the claims are plain JSON and the key is one of HMAC.
    #[must_use]
    pub fn issue(&self, identity: &Identity, now: UnixMs) -> String {
        let claims = Claims {
            sub: identity.user.to_string(),
            exp: identity.expires.0 / 1000,
            aud: Audience::One(self.audience.clone()),
            iss: self.issuer.clone(),
            nbf: None,
            iat: Some(now.0 / 1000),
            name: identity.name.0.clone(),
            role: identity.role,
            call: CallClaim::of(identity.call),
            room: identity.room.as_ref().map(RoomId::to_string),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("plain claims and an HMAC key always sign")
    }

    /// Checks a token from outside. One that is for a room's call alone is refused.
    ///
    /// # Errors
    /// [`TokenError`]: expired, or invalid with the cause.
    pub fn verify(&self, token: &str, now: UnixMs) -> Result<Identity, TokenError> {
        let identity = self.verify_any(token, now)?;
        if identity.room.is_some() {
            let text = "it is for one room's call by WHIP or WHEP, and for nothing else (`room`)";
            return Err(TokenError::Invalid(text));
        }
        Ok(identity)
    }

    /// [`Self::verify`] for somebody who comes into this room's call by HTTP: what is for that alone is taken as
    /// well, and what is for another room's is not.
    ///
    /// # Errors
    /// [`TokenError`]: expired, or invalid with the cause.
    pub fn verify_for_call(
        &self,
        token: &str,
        room: &RoomId,
        now: UnixMs,
    ) -> Result<Identity, TokenError> {
        let identity = self.verify_any(token, now)?;
        if identity.room.as_ref().is_some_and(|only| only != room) {
            return Err(TokenError::Invalid(
                "it is for another room's call (`room`)",
            ));
        }
        Ok(identity)
    }

    /// The times of a token that is signed with this key and for this server. `None` of any other.
    #[must_use]
    pub fn dated(&self, token: &str) -> Option<Dated> {
        let claims = self.decode(token).ok()?;
        self.is_for_us(&claims).ok()?;
        let starts = [claims.nbf, claims.iat].into_iter().flatten().max();
        Some(Dated {
            user: UserId::parse(&claims.sub).ok()?,
            starts: starts.map(|s| UnixMs(s.saturating_mul(1000))),
            expires: UnixMs(claims.exp.saturating_mul(1000)),
        })
    }

    fn verify_any(&self, token: &str, now: UnixMs) -> Result<Identity, TokenError> {
        self.check(self.decode(token)?, now)
    }

    fn decode(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES {
            return Err(TokenError::Invalid("it is too long"));
        }
        let mut rules = Validation::new(Algorithm::HS256);
        rules.required_spec_claims.clear();
        // Time, audience and issuer are checked below: with our clock, and with the reason told.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.validate_aud = false;
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.decoding, &rules);
        Ok(decoded.map_err(|e| cause(&e))?.claims)
    }

    fn is_for_us(&self, claims: &Claims) -> Result<(), TokenError> {
        use TokenError::Invalid;
        if !claims.aud.contains(&self.audience) {
            return Err(Invalid("it is for another audience (`aud`)"));
        }
        if self.issuer.is_some() && claims.iss != self.issuer {
            return Err(Invalid("it is from another issuer (`iss`)"));
        }
        Ok(())
    }

    fn check(&self, claims: Claims, now: UnixMs) -> Result<Identity, TokenError> {
        use TokenError::Invalid;
        self.is_for_us(&claims)?;
        let expires = UnixMs(claims.exp.saturating_mul(1000));
        if expires <= now {
            return Err(TokenError::Expired);
        }
        let latest = now.plus(TOKEN_LEEWAY);
        let starts = [claims.nbf, claims.iat].into_iter().flatten();
        if starts
            .map(|s| s.saturating_mul(1000))
            .any(|ms| ms > latest.0)
        {
            return Err(Invalid(
                "it is not valid yet (`nbf`, `iat`): compare the clocks",
            ));
        }
        if claims.name.len() > NAME_BYTES {
            return Err(Invalid("its `name` is too long"));
        }
        let user = UserId::parse(&claims.sub).map_err(|_| Invalid("its `sub` is no user id"))?;
        let room = claims.room.as_deref().map(RoomId::parse).transpose();
        Ok(Identity {
            user,
            name: Redacted(claims.name),
            role: claims.role,
            call: claims.call.map_or(CallGrant::ALL, |claim| claim.grant()),
            room: room.map_err(|_| Invalid("its `room` is no room id"))?,
            expires,
        })
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign enum that grows: whatever else it says, the token is none of ours"
)]
fn cause(error: &JwtError) -> TokenError {
    TokenError::Invalid(match error.kind() {
        ErrorKind::InvalidSignature => "its signature does not match",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "its algorithm is not accepted (HS256 is)"
        }
        ErrorKind::Json(_) => "a claim is missing or of the wrong type",
        _ => "it is not a JSON Web Token",
    })
}

impl Identity {
    /// Somebody whose token is good for `ttl` from `now`.
    #[must_use]
    pub fn new(user: UserId, name: &str, role: ServerRole, now: UnixMs, ttl: Duration) -> Self {
        Self {
            user,
            name: Redacted(name.to_owned()),
            role,
            call: CallGrant::ALL,
            room: None,
            expires: now.plus(ttl),
        }
    }

    /// For this room's call by HTTP alone.
    #[must_use]
    pub fn for_call(mut self, room: RoomId) -> Self {
        self.room = Some(room);
        self
    }

    /// With what the token lets them do in calls.
    #[must_use]
    pub fn with_call(mut self, call: CallGrant) -> Self {
        self.call = call;
        self
    }
}

/// HMAC-SHA256 by `ring` for `jsonwebtoken`.
mod ring_provider {
    use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
    use jsonwebtoken::errors::{ErrorKind, Result};
    use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
    use ring::hmac;
    use signature::{Error, Signer, Verifier};

    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: signer,
        verifier_factory: verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };

    pub(super) fn install() {
        // A provider that somebody installed earlier in this process serves as well.
        let _ = PROVIDER.install_default();
    }

    struct Hs256(hmac::Key);

    impl Signer<Vec<u8>> for Hs256 {
        fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
            Ok(hmac::sign(&self.0, message).as_ref().to_vec())
        }
    }

    impl Verifier<Vec<u8>> for Hs256 {
        fn verify(&self, message: &[u8], tag: &Vec<u8>) -> std::result::Result<(), Error> {
            hmac::verify(&self.0, message, tag).map_err(|_| Error::new())
        }
    }

    impl JwtSigner for Hs256 {
        fn algorithm(&self) -> Algorithm {
            Algorithm::HS256
        }
    }

    impl JwtVerifier for Hs256 {
        fn algorithm(&self) -> Algorithm {
            Algorithm::HS256
        }
    }

    fn key(algorithm: Algorithm, secret: &[u8]) -> Result<Hs256> {
        if algorithm == Algorithm::HS256 {
            Ok(Hs256(hmac::Key::new(hmac::HMAC_SHA256, secret)))
        } else {
            Err(ErrorKind::InvalidAlgorithm.into())
        }
    }

    fn signer(algorithm: &Algorithm, secret: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
        Ok(Box::new(key(*algorithm, secret.as_bytes())?))
    }

    fn verifier(algorithm: &Algorithm, secret: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
        Ok(Box::new(key(*algorithm, secret.try_get_as_bytes()?)?))
    }
}

#[cfg(test)]
mod tests;
