use super::*;
use crate::call::rtp::{self, Fields};
use proptest::prelude::*;
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;

const BOTH: [Profile; 2] = [Profile::Gcm, Profile::Sha1];

fn master(profile: Profile) -> Master {
    let mut salt = [0; 14];
    for (byte, n) in salt.iter_mut().zip(0..profile.salt_bytes()) {
        *byte = u8::try_from(n).unwrap() + 0x40;
    }
    Master { key: [7; 16], salt }
}

fn theirs(profile: Profile) -> Context {
    let master = master(profile);
    let provider = rtc_stun::crypto::default_provider().unwrap();
    let named = match profile {
        Profile::Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::Sha1 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let salt = &master.salt[..profile.salt_bytes()];
    Context::new(&master.key, salt, named, None, None, provider.crypto()).unwrap()
}

fn packet(seq: u16, payload: &[u8]) -> (Vec<u8>, usize) {
    let fields = Fields {
        marker: true,
        pt: 96,
        seq,
        timestamp: 1_234,
        ssrc: 0xdead_beef,
    };
    let mut packet = Vec::new();
    let header = rtp::write(fields, &[(3, &[1, 2])], &mut packet);
    packet.extend(payload);
    (packet, header)
}

fn report() -> Vec<u8> {
    vec![
        0x80, 201, 0, 1, 1, 2, 3, 4, 0x81, 205, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 1,
    ]
}

#[test]
fn what_rtc_srtp_seals_is_opened_and_the_other_way_round() {
    for profile in BOTH {
        let ours = Direction::new(profile, master(profile));
        let mut sealer = theirs(profile);
        let mut opener = theirs(profile);
        for seq in [65_534_u16, 65_535, 0, 1] {
            let index = u64::from(seq) + if seq < 9 { 65_536 } else { 0 };
            let (plain, header) = packet(seq, b"some words");
            let mut sealed = sealer.encrypt_rtp(&plain).unwrap().to_vec();
            let len = ours.open_rtp(&mut sealed, header, index).unwrap();
            assert_eq!(sealed[..len], plain[..]);
            let mut sealed = plain.clone();
            ours.seal_rtp(&mut sealed, header, index);
            assert_eq!(sealed.len(), plain.len() + profile.overhead());
            assert_eq!(opener.decrypt_rtp(&sealed).unwrap(), plain[..]);
        }
    }
}

#[test]
fn rtcp_agrees_with_rtc_srtp_both_ways() {
    for profile in BOTH {
        let mut ours = Direction::new(profile, master(profile));
        let (mut sealer, mut opener) = (theirs(profile), theirs(profile));
        for _ in 0..3 {
            let mut sealed = sealer.encrypt_rtcp(&report()).unwrap().to_vec();
            let len = ours.open_rtcp(&mut sealed).unwrap();
            assert_eq!(sealed[..len], report()[..]);
            let mut sealed = report();
            ours.seal_rtcp(&mut sealed);
            assert_eq!(opener.decrypt_rtcp(&sealed).unwrap(), report()[..]);
        }
    }
}

#[test]
fn a_changed_packet_or_a_wrong_rollover_is_not_opened() {
    for profile in BOTH {
        let mut ours = Direction::new(profile, master(profile));
        let (mut sealed, header) = packet(9, b"some words");
        ours.seal_rtp(&mut sealed, header, 9);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(
                ours.open_rtp(&mut changed, header, 9),
                Err(OpenError::Tag),
                "byte {at}"
            );
        }
        let other = ours.open_rtp(&mut sealed.clone(), header, 9 + 65_536);
        assert_eq!(other, Err(OpenError::Tag));
        let mut sealed = report();
        ours.seal_rtcp(&mut sealed);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ours.open_rtcp(&mut changed).is_err(), "byte {at}");
        }
    }
}

#[test]
fn exported_keys_are_divided_as_the_profile_says() {
    let exported: Vec<u8> = (0..60).collect();
    let (client, server) = split(Profile::Sha1, &exported).unwrap();
    assert_eq!((client.key[0], server.key[0]), (0, 16));
    assert_eq!(
        (client.salt[0], server.salt[0], server.salt[13]),
        (32, 46, 59)
    );
    let (client, server) = split(Profile::Gcm, &exported[..56]).unwrap();
    assert_eq!((client.salt[11], client.salt[12]), (43, 0));
    assert_eq!((server.salt[0], server.salt[11]), (44, 55));
    assert!(split(Profile::Gcm, &exported).is_none());
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_opened(bytes in prop::collection::vec(any::<u8>(), 0..80), header in 0_usize..40) {
        for profile in BOTH {
            let ours = Direction::new(profile, master(profile));
            let _ = ours.open_rtp(&mut bytes.clone(), header, 1);
            let _ = ours.open_rtcp(&mut bytes.clone());
        }
    }
}
