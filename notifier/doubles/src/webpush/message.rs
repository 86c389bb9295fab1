//! Opening a message (RFC 8291 and RFC 8188), as a browser does.

use p256::ecdh::diffie_hellman;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::{PublicKey, SecretKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};

/// A subscription's keys.
#[derive(Clone)]
pub(crate) struct Keys {
    secret: SecretKey,
    pub(crate) auth: [u8; 16],
}

impl Keys {
    pub(crate) fn generate() -> anyhow::Result<Self> {
        let mut auth = [0; 16];
        getrandom::fill(&mut auth).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(Self {
            secret: super::secret_key()?,
            auth,
        })
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        self.secret
            .public_key()
            .to_encoded_point(false)
            .as_bytes()
            .to_vec()
    }

    pub(crate) fn open(&self, body: &[u8]) -> Option<Vec<u8>> {
        open_with(&self.secret, &self.auth, body)
    }
}

/// Opens a message with a subscription's private key (32 bytes) and authentication secret; `None` when it
/// isn't for them, or broken.
#[must_use]
pub fn open(private: &[u8], auth: &[u8; 16], body: &[u8]) -> Option<Vec<u8>> {
    open_with(&SecretKey::from_slice(private).ok()?, auth, body)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(salt: &[u8], secret: &[u8], info: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    let key = Salt::new(HKDF_SHA256, salt).extract(secret);
    let info = [info];
    key.expand(&info, Length(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

fn open_with(secret: &SecretKey, auth: &[u8; 16], body: &[u8]) -> Option<Vec<u8>> {
    let (salt, rest) = body.split_first_chunk::<16>()?;
    let (record_size, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first()?;
    let (sender, sealed) = rest.split_at_checked(usize::from(*length))?;
    // One record, which is no longer than it says.
    if sealed.len() > usize::try_from(u32::from_be_bytes(*record_size)).ok()? {
        return None;
    }
    let sender_key = PublicKey::from_sec1_bytes(sender).ok()?;
    let shared = diffie_hellman(secret.to_nonzero_scalar(), sender_key.as_affine());
    let own = secret.public_key().to_encoded_point(false);
    let info = [b"WebPush: info\0", own.as_bytes(), sender].concat();
    let ikm = derive::<32>(auth, shared.raw_secret_bytes(), &info)?;
    let key = derive::<16>(salt, &ikm, b"Content-Encoding: aes128gcm\0")?;
    let nonce = derive::<NONCE_LEN>(salt, &ikm, b"Content-Encoding: nonce\0")?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    let mut text = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = key.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
    // The last record's delimiter is 2; zeros after it are padding.
    let end = opened.iter().rposition(|byte| *byte != 0)?;
    (opened.get(end) == Some(&2)).then(|| opened[..end].to_vec())
}
