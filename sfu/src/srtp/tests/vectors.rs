//! The RFCs' own examples.

use super::super::cm::AesCm;
use super::super::gcm::Gcm;
use super::super::kdf::{Label, Stream, derive};
use super::super::protection::{Protection, RtcpIndex};
use super::super::{MasterKey, Profile};
use crate::unit::{ExtSeqNo, Ssrc};

fn hex<const N: usize>(text: &str) -> [u8; N] {
    hex_vec(text).try_into().unwrap()
}

fn hex_vec(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|digit| *digit != b' ').collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn the_counter_mode_has_the_keystream_of_rfc_3711_b_2() {
    let cm = AesCm::from_session(
        hex("2B7E151628AED2A6ABF7158809CF4F3C"),
        hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"),
        &[0; 20],
    );
    let mut keystream = vec![0; 0xff02 * 16];
    cm.apply_keystream(&mut keystream, Ssrc(0), 0);
    let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB
                    41E95B3BB0A2E8DD477901E4FCA894C0"
        .replace('\n', "");
    assert_eq!(keystream[..48], hex_vec(&expected));
    let expected = "EC8CDF7398607CB0F2D21675EA9EA1E4 362B7C3C6773516318A077D7FC5073AE
                    6A2CC3787889374FBEB4C81B17BA6C44"
        .replace('\n', "");
    assert_eq!(keystream[0xfeff * 16..], hex_vec(&expected));
}

#[test]
fn session_keys_are_those_of_rfc_3711_b_3() {
    let master = MasterKey::new(
        Profile::Aes128CmHmacSha1_80,
        &hex::<16>("E1F97A0D3E018BE0D64FA32C06DE4139"),
        &hex::<14>("0EC675AD498AFEEBB6960B3AABE6"),
    )
    .unwrap();
    let key: [u8; 16] = derive(&master, Stream::Rtp, Label::Encryption);
    assert_eq!(key, hex("C61E7A93744F39EE10734AFE3FF7A087"));
    let salt: [u8; 14] = derive(&master, Stream::Rtp, Label::Salt);
    assert_eq!(salt, hex("30CBBC08863D8C85D49DB34A9AE1"));
    let auth: [u8; 94] = derive(&master, Stream::Rtp, Label::Authentication);
    let expected = "CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE
                    E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
                    6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2"
        .replace('\n', "");
    assert_eq!(auth, hex(&expected));
}

fn quid_pro_quo() -> Gcm {
    let key = hex("000102030405060708090a0b0c0d0e0f");
    Gcm::from_session(&key, *b"Quid pro quo")
}

#[test]
fn an_rtp_packet_is_sealed_as_in_rfc_7714_16_1_1() {
    let header = "8040f17b 8041f8d3 5501a0b2";
    let mut packet = hex_vec(header);
    packet.extend(b"Gallia est omnis divisa in partes tres");
    let plain = packet.clone();
    packet.extend([0; 16]);
    let protection = Protection::Gcm(quid_pro_quo());
    let (index, ssrc) = (ExtSeqNo(0xf17b), Ssrc(0x5501_a0b2));
    let len = protection.seal_rtp(&mut packet, (12, plain.len()), index, ssrc);
    let expected = "f24de3a3fb34de6c acba861c9d7e4bca be633bd50d294e6f 42a5f47a51c7d19b
                    36de3adf8833899d 7f27beb16a9152cf 765ee4390cce"
        .replace('\n', "");
    assert_eq!(packet[12..len], hex_vec(&expected));
    let len = protection.open_rtp(&mut packet, 12, index, ssrc).unwrap();
    assert_eq!(packet[..len], plain);
}

#[test]
fn an_rtcp_packet_is_sealed_as_in_rfc_7714_17_1() {
    let plain = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
                 deadbeef deadbeef deadbeef deadbeef deadbeef"
        .replace('\n', "");
    let mut packet = hex_vec(&plain);
    let protection = Protection::Gcm(quid_pro_quo());
    let index = RtcpIndex::new(0x5d4).unwrap();
    protection.seal_rtcp(&mut packet, Ssrc(0x4d61_7273), index);
    let expected = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d
                    c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872
                    45d9eade 800005d4"
        .replace('\n', "");
    assert_eq!(packet, hex_vec(&expected));
    let (ssrc, index) = protection.rtcp_source(&packet).unwrap();
    let len = protection.open_rtcp(&mut packet, ssrc, index).unwrap();
    assert_eq!(packet[..len], hex_vec(&plain));
}
