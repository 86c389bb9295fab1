//! CRC-32 of ITU V.42, as FINGERPRINT uses it.

/// The polynomial, its bits reversed.
const POLYNOMIAL: u32 = 0xedb8_8320;

/// What FINGERPRINT is mixed with: "STUN" (RFC 8489, section 14.7).
const MIX: u32 = 0x5354_554e;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut value = byte;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                (value >> 1) ^ POLYNOMIAL
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[byte as usize] = value;
        byte += 1;
    }
    table
}

/// The value of FINGERPRINT over what stands before it. The header's length has to count it already.
pub(super) fn fingerprint(bytes: &[u8]) -> u32 {
    crc32(bytes) ^ MIX
}

fn crc32(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, &byte| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ TABLE[usize::from(low ^ byte)]
    });
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_check_value_of_crc_32_comes_out() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(super::crc32(b""), 0);
    }
}
