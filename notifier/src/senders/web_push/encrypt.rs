//! Message encryption for Web Push (RFC 8291) in one record of aes128gcm (RFC 8188).

use kaiwa_common::limits::WEB_PUSH_PAD_BYTES;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// Bytes before the record: salt, record size, length of the key, key.
const HEADER: usize = 16 + 4 + 1 + 65;
/// The record size that is announced; the one record is shorter.
const RECORD: u32 = 4_096;
/// The most plain text of a message of 4,096 bytes: less the header, the delimiter and the tag.
const MOST: usize = 4_096 - HEADER - 1 - 16;

/// Encrypts `text` for a subscription, filled up to hide its length. The key pair is new for each message
/// (RFC 8291, section 3.1).
///
/// # Errors
/// The receiver's key is not on the curve, or the text is longer than 3,993 bytes.
pub fn encrypt(
    random: &SystemRandom,
    receiver: &[u8; 65],
    auth: &[u8; 16],
    text: &[u8],
) -> Result<Vec<u8>, Unspecified> {
    let ours = EphemeralPrivateKey::generate(&ECDH_P256, random)?;
    let sender = ours.compute_public_key()?;
    let mut salt = [0; 16];
    random.fill(&mut salt)?;
    let padded = text
        .len()
        .next_multiple_of(WEB_PUSH_PAD_BYTES)
        .clamp(text.len(), MOST.max(text.len()));
    let receiver_key = UnparsedPublicKey::new(&ECDH_P256, receiver);
    let keys = Keys {
        sender: sender.as_ref(),
        receiver,
        auth,
        salt: &salt,
    };
    agree_ephemeral(ours, &receiver_key, |shared| {
        keys.seal(shared, text, padded)
    })?
}

struct Keys<'a> {
    sender: &'a [u8],
    receiver: &'a [u8; 65],
    auth: &'a [u8; 16],
    salt: &'a [u8; 16],
}

impl Keys<'_> {
    fn seal(&self, shared: &[u8], text: &[u8], padded: usize) -> Result<Vec<u8>, Unspecified> {
        if text.len() > MOST {
            return Err(Unspecified);
        }
        let info = [b"WebPush: info\0".as_slice(), self.receiver, self.sender];
        let ikm: [u8; 32] = derive(self.auth, shared, &info)?;
        let key: [u8; 16] = derive(self.salt, &ikm, &[b"Content-Encoding: aes128gcm\0"])?;
        let nonce: [u8; NONCE_LEN] = derive(self.salt, &ikm, &[b"Content-Encoding: nonce\0"])?;

        let mut body = Vec::with_capacity(HEADER + padded + 1 + 16);
        body.extend_from_slice(self.salt);
        body.extend_from_slice(&RECORD.to_be_bytes());
        body.push(65);
        body.extend_from_slice(self.sender);
        body.extend_from_slice(text);
        // The delimiter of the last record; zeros after it are padding.
        body.push(2);
        body.resize(HEADER + padded + 1, 0);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key)?);
        let record = &mut body[HEADER..];
        // The key is of this message alone, so that its nonce is of no other.
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), record)?;
        body.extend_from_slice(tag.as_ref());
        Ok(body)
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(
    salt: &[u8],
    secret: &[u8],
    info: &[&[u8]],
) -> Result<[u8; N], Unspecified> {
    let mut out = [0; N];
    let key = Salt::new(HKDF_SHA256, salt).extract(secret);
    key.expand(info, Length(N))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use kaiwa_provider_doubles::open_web_push;
    use p256::SecretKey;
    use p256::elliptic_curve::sec1::ToEncodedPoint;
    use proptest::prelude::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
        bytes.try_into().expect("that many bytes")
    }

    #[test]
    fn the_vector_of_rfc_8291_appendix_a() {
        let sender =
            SecretKey::from_slice(&bytes::<32>("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"));
        let sender = sender.expect("a key");
        let receiver = bytes::<65>(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        );
        let auth = bytes::<16>("BTBZMqHH6r4Tts7J_aSIgg");
        let theirs = p256::PublicKey::from_sec1_bytes(&receiver).expect("a point");
        let shared = p256::ecdh::diffie_hellman(sender.to_nonzero_scalar(), theirs.as_affine());
        let public = sender.public_key().to_encoded_point(false);
        let salt = bytes::<16>("DGv6ra1nlYgDCS1FRnbzlw");
        let keys = Keys {
            sender: public.as_bytes(),
            receiver: &receiver,
            auth: &auth,
            salt: &salt,
        };
        let text = b"When I grow up, I want to be a watermelon";
        let body = keys
            .seal(shared.raw_secret_bytes(), text, text.len())
            .expect("it seals");
        assert_eq!(
            URL_SAFE_NO_PAD.encode(body),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml\
             mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT\
             pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    proptest! {
        #[test]
        fn what_is_encrypted_opens_for_the_receiver_and_nobody_else(
            seed in 1_u8..=255, auth: [u8; 16], text in prop::collection::vec(any::<u8>(), 0..3_994),
            flip in any::<prop::sample::Index>(),
        ) {
            let secret = SecretKey::from_slice(&[seed; 32]);
            prop_assume!(secret.is_ok());
            let secret = secret.expect("a key");
            let public = secret.public_key().to_encoded_point(false);
            let public: [u8; 65] = public.as_bytes().try_into().expect("65 bytes");
            let body = encrypt(&SystemRandom::new(), &public, &auth, &text).expect("it encrypts");
            prop_assert!(body.len() <= 4_096);
            let filled = body.len() - HEADER - 17;
            prop_assert!(filled.is_multiple_of(WEB_PUSH_PAD_BYTES) || filled == MOST);
            let opened = open_web_push(&[seed; 32], &auth, &body);
            prop_assert_eq!(opened.as_ref(), Some(&text));
            let mut other = auth;
            other[0] ^= 1;
            prop_assert_eq!(open_web_push(&[seed; 32], &other, &body), None);
            let mut broken = body;
            let at = flip.index(broken.len() - HEADER) + HEADER;
            broken[at] ^= 1;
            prop_assert_eq!(open_web_push(&[seed; 32], &auth, &broken), None);
        }
    }

    #[test]
    fn what_is_too_long_or_for_no_point_is_not_encrypted() {
        let key = SecretKey::from_slice(&[9; 32]).expect("a key").public_key();
        let key: [u8; 65] = key
            .to_encoded_point(false)
            .as_bytes()
            .try_into()
            .expect("65 bytes");
        let random = SystemRandom::new();
        assert!(encrypt(&random, &key, &[0; 16], &[0; MOST]).is_ok());
        assert!(encrypt(&random, &key, &[0; 16], &[0; MOST + 1]).is_err());
        assert!(encrypt(&random, &[4; 65], &[0; 16], b"x").is_err());
    }
}
