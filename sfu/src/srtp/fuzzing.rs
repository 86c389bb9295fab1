//! What has to hold for any packets. The fuzz target and the replay of its corpus call it; nothing else does.

use super::{Keys, OpenError, Opener, Profile, Sealer};
use crate::unit::{ExtSeqNo, Ssrc};
use crate::wire::rtp::Header;

/// Packets, each behind its length in two bytes, come from somebody without the keys: none is taken for
/// authentic, and what the peer itself sends in between is opened as if they had not come, once.
///
/// # Panics
/// When it is not so.
pub fn open(data: &[u8]) {
    for profile in [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80] {
        let exported = vec![7; profile.exporter_bytes()];
        let keys = Keys::from_exporter(profile, &exported).expect("the length is right");
        let mut opener = Opener::new(&keys.client);
        let mut sealer = Sealer::new(&keys.client);
        let mut index = ExtSeqNo(65_530);
        let mut rest = data;
        while let Some((&[high, low], after)) = rest.split_first_chunk() {
            let len = usize::from(u16::from_be_bytes([high, low])).min(after.len());
            let (packet, behind) = after.split_at(len);
            rest = behind;
            refuse(&mut opener, packet);
            open_media(&mut opener, &sealer, index);
            open_report(&mut opener, &mut sealer);
            index = index.next();
        }
    }
}

fn refuse(opener: &mut Opener, packet: &[u8]) {
    if let Ok(header) = Header::parse(packet) {
        let mut packet = packet.to_vec();
        let opened = opener.open_rtp(&mut packet, header.header_len, header.ssrc, header.seq);
        assert!(opened.is_err(), "RTP without the keys");
    }
    let opened = opener.open_rtcp(&mut packet.to_vec());
    assert!(opened.is_err(), "RTCP without the keys");
}

/// A packet of the peer's own.
fn open_media(opener: &mut Opener, sealer: &Sealer, index: ExtSeqNo) {
    let ssrc = Ssrc(0x0102_0304);
    let [high, low] = index.wire().0.to_be_bytes();
    let mut packet = vec![0x80, 96, high, low, 0, 0, 0, 0, 1, 2, 3, 4];
    let header_len = packet.len();
    packet.extend([9; 20]);
    let plain = packet.clone();
    packet.resize(plain.len() + sealer.profile().rtp_overhead(), 0);
    let _ = sealer.seal_rtp(&mut packet, header_len, plain.len(), index, ssrc);
    let mut again = packet.clone();
    let opened = opener.open_rtp(&mut packet, header_len, ssrc, index.wire());
    assert_eq!(opened, Ok((index, plain.len())));
    assert_eq!(packet[..plain.len()], plain);
    let opened = opener.open_rtp(&mut again, header_len, ssrc, index.wire());
    assert_eq!(opened, Err(OpenError::Replayed));
}

/// A receiver report of the peer's own, about nothing.
fn open_report(opener: &mut Opener, sealer: &mut Sealer) {
    let plain = [0x80, 201, 0, 1, 1, 2, 3, 4];
    let mut packet = plain.to_vec();
    sealer.seal_rtcp(&mut packet).expect("few were sealed");
    let mut again = packet.clone();
    assert_eq!(opener.open_rtcp(&mut packet), Ok(plain.len()));
    assert_eq!(packet[..plain.len()], plain);
    assert_eq!(opener.open_rtcp(&mut again), Err(OpenError::Replayed));
}
