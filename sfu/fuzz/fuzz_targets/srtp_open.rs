#![no_main]
//! Packets, each behind its length in two bytes, are opened by keys that didn't seal them: none may be
//! taken for authentic, and none may panic.

use kaiwa_sfu::srtp::{Keys, Opener, Profile};
use kaiwa_sfu::wire::rtp::Header;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for profile in [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80] {
        let exported = vec![7; profile.exporter_bytes()];
        let keys = Keys::from_exporter(profile, &exported).expect("the length is right");
        let mut opener = Opener::new(&keys.client);
        let mut rest = data;
        while let Some((&[high, low], after)) = rest.split_first_chunk() {
            let len = usize::from(u16::from_be_bytes([high, low])).min(after.len());
            let (packet, behind) = after.split_at(len);
            rest = behind;
            if let Ok(header) = Header::parse(packet) {
                let mut packet = packet.to_vec();
                let opened =
                    opener.open_rtp(&mut packet, header.header_len, header.ssrc, header.seq);
                assert!(opened.is_err());
            }
            assert!(opener.open_rtcp(&mut packet.to_vec()).is_err());
        }
    }
});
