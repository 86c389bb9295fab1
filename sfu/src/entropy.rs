//! Randomness from one seed: what is drawn is unforeseeable for whoever does not know it, and the same
//! for whoever gives the same again.

use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr128BE;

/// Bytes of a seed: a key of AES-128 and the counter that it begins with.
pub const SEED_BYTES: usize = 32;

/// The keystream of AES-128 in counter mode under a seed (NIST SP 800-90A's CTR_DRBG draws the same way).
pub(crate) struct Entropy {
    stream: Ctr128BE<Aes128>,
}

impl Entropy {
    pub(crate) fn new(seed: &[u8; SEED_BYTES]) -> Self {
        let (key, counter) = seed.split_at(SEED_BYTES / 2);
        let halves = (<[u8; 16]>::try_from(key), <[u8; 16]>::try_from(counter));
        let (Ok(key), Ok(counter)) = halves else {
            unreachable!("a seed has two halves of sixteen bytes");
        };
        Self {
            stream: Ctr128BE::new(&key.into(), &counter.into()),
        }
    }

    /// The next bytes, each given once.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.apply_keystream(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST SP 800-38A, F.5.1, whose plaintext is taken off again.
    #[test]
    fn it_is_the_keystream_of_the_standard() {
        let mut seed = [0; SEED_BYTES];
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128;
        let counter = 0xf0f1_f2f3_f4f5_f6f7_f8f9_fafb_fcfd_feff_u128;
        seed[..16].copy_from_slice(&key.to_be_bytes());
        seed[16..].copy_from_slice(&counter.to_be_bytes());
        let plain = 0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a_u128;
        let cipher = 0x874d_6191_b620_e326_1bef_6864_990d_b6ce_u128;
        let mut entropy = Entropy::new(&seed);
        let drawn: [u8; 16] = entropy.bytes();
        assert_eq!(u128::from_be_bytes(drawn), plain ^ cipher);
        assert_ne!(entropy.bytes::<16>(), drawn);
    }
}
