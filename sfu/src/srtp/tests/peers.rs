//! Against another implementation.

use super::*;
use rtc_srtp::context::Context;
use rtc_srtp::crypto::default_provider;
use rtc_srtp::protection_profile::ProtectionProfile;

fn other(master: &MasterKey) -> Context {
    let profile = match master.profile {
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::Aes128CmHmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let salt = &master.salt[..master.profile.salt_bytes()];
    let provider = default_provider().unwrap();
    Context::new(&master.key, salt, profile, None, None, provider.crypto()).unwrap()
}

/// With two CSRCs and a header extension.
fn long_header(seq: u16, payload: usize) -> (Vec<u8>, usize) {
    let mut packet = vec![0x92, 0xe0];
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 1, 2, 3, 0xde, 0xad, 0xbe, 0xef, 9, 9, 9, 9, 8, 8, 8, 8]);
    packet.extend([0xbe, 0xde, 0, 1, 0x10, 0x41, 0, 0]);
    let header_len = packet.len();
    packet.extend((0u8..=255).cycle().take(payload));
    (packet, header_len)
}

#[test]
fn another_implementation_opens_our_rtp_and_we_open_its() {
    for profile in PROFILES {
        let keys = keys(profile);
        let (sealer, mut opener) = (Sealer::new(&keys.server), Opener::new(&keys.client));
        let mut their_opener = other(&keys.server);
        let mut their_sealer = other(&keys.client);
        for step in 0..2_000u64 {
            let index = ExtSeqNo(65_000 + step * 50);
            let payload = usize::try_from(step).unwrap() % 1_201;
            let (plain, header_len) = long_header(index.wire().0, payload);

            let mut packet = plain.clone();
            packet.resize(plain.len() + profile.rtp_overhead(), 0);
            let ssrc = Ssrc(0xdead_beef);
            let len = sealer.seal_rtp(&mut packet, header_len, plain.len(), index, ssrc);
            let opened = their_opener.decrypt_rtp(&packet[..len]).unwrap();
            assert_eq!(opened[..], plain[..]);

            let mut packet = their_sealer.encrypt_rtp(&plain).unwrap().to_vec();
            let opened = opener.open_rtp(&mut packet, header_len, ssrc, index.wire());
            let (found, len) = opened.unwrap();
            assert_eq!((found, &packet[..len]), (index, &plain[..]));
        }
    }
}

#[test]
fn another_implementation_opens_our_rtcp_and_we_open_its() {
    for profile in PROFILES {
        let keys = keys(profile);
        let (mut sealer, mut opener) = (Sealer::new(&keys.server), Opener::new(&keys.client));
        let mut their_opener = other(&keys.server);
        let mut their_sealer = other(&keys.client);
        for round in 0..200 {
            let plain = rtcp(Ssrc(round % 2));
            let mut packet = plain.clone();
            sealer.seal_rtcp(&mut packet).unwrap();
            assert_eq!(their_opener.decrypt_rtcp(&packet).unwrap()[..], plain[..]);

            let mut packet = their_sealer.encrypt_rtcp(&plain).unwrap().to_vec();
            let len = opener.open_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..len], plain);
        }
    }
}
