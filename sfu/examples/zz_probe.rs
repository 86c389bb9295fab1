use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::CtrCore;
use ctr::flavors::{Ctr32BE, Ctr128BE};
use sha1::{Digest, Sha1};
use std::hint::black_box;
use std::time::Instant;
fn time(name: &str, mut f: impl FnMut()) {
    let mut best = u128::MAX;
    for _ in 0..40 {
        let t = Instant::now();
        for _ in 0..2000 { f(); }
        best = best.min(t.elapsed().as_nanos() / 2000);
    }
    println!("{name} {best}");
}
fn main() {
    let mut b = vec![7u8; 1088];
    let aes = Aes128Enc::new(&[3u8; 16].into());
    time("ctr128", || { let c = CtrCore::<_, Ctr128BE>::inner_iv_init(&aes, &[0u8; 16].into()); StreamCipherCoreWrapper::from_core(c).apply_keystream(black_box(&mut b)); });
    time("ctr32", || { let c = CtrCore::<_, Ctr32BE>::inner_iv_init(&aes, &[0u8; 16].into()); StreamCipherCoreWrapper::from_core(c).apply_keystream(black_box(&mut b)); });
    let k = Sha1::new_with_prefix([5u8; 64]);
    time("sha1", || { let mut i = k.clone(); i.update(black_box(&b)); i.update([0u8; 4]); let mut o = k.clone(); o.update(i.finalize()); black_box(o.finalize()); });
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &[1; 20]);
    time("ring hmac", || { let mut c = ring::hmac::Context::with_key(&key); c.update(black_box(&b)); c.update(&[0; 4]); black_box(c.sign()); });
    let g = ring::aead::LessSafeKey::new(ring::aead::UnboundKey::new(&ring::aead::AES_128_GCM, &[1; 16]).unwrap());
    time("gcm", || { black_box(g.seal_in_place_separate_tag(ring::aead::Nonce::assume_unique_for_key([0; 12]), ring::aead::Aad::from(&[0u8; 12]), black_box(&mut b)).unwrap()); });
}
