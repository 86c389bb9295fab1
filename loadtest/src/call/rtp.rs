//! RTP packets: headers read in place, and written (RFC 3550, section 5.1; RFC 8285).

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Ends a frame of pictures, or begins a talk spurt.
    pub marker: bool,
    /// The payload type.
    pub pt: u8,
    /// The sequence number.
    pub seq: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The source.
    pub ssrc: u32,
    /// Bytes before the payload.
    pub len: usize,
    /// The end of the payload is padding, whose last byte counts it.
    pub has_padding: bool,
    /// The header extension: its profile, and where its elements begin and end.
    extension: Option<(u16, usize, usize)>,
}

/// An extension element to be written: its id, 1 to 14, and 1 to 16 bytes.
pub type Element<'a> = (u8, &'a [u8]);

/// The profile of one-byte elements.
const ONE_BYTE: u16 = 0xbede;

impl Header {
    /// Reads the header of a packet; `None` if it has none.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; 12] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut len = 12 + 4 * usize::from(fixed[0] & 0x0f);
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let [a, b, c, d] = *packet.get(len..len + 4)?.first_chunk()?;
            let end = len + 4 + 4 * usize::from(u16::from_be_bytes([c, d]));
            extension = Some((u16::from_be_bytes([a, b]), len + 4, end));
            len = end;
        }
        (packet.len() >= len).then_some(Self {
            marker: fixed[1] & 0x80 != 0,
            pt: fixed[1] & 0x7f,
            seq: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            len,
            has_padding: fixed[0] & 0x20 != 0,
            extension,
        })
    }

    /// The value of an extension element in the packet that this is the header of.
    #[must_use]
    pub fn element<'a>(&self, packet: &'a [u8], wanted: u8) -> Option<&'a [u8]> {
        let (profile, start, end) = self.extension?;
        let mut rest = packet.get(start..end)?;
        let is_short = profile == ONE_BYTE;
        if !is_short && profile & 0xfff0 != 0x1000 {
            return None;
        }
        while let Some((&first, after)) = rest.split_first() {
            if first == 0 {
                rest = after;
                continue;
            }
            let (id, len, after) = if is_short {
                (first >> 4, usize::from(first & 0x0f) + 1, after)
            } else {
                let (&len, after) = after.split_first()?;
                (first, usize::from(len), after)
            };
            if is_short && id == 15 {
                return None;
            }
            let (value, next) = after.split_at_checked(len)?;
            if id == wanted {
                return Some(value);
            }
            rest = next;
        }
        None
    }

    /// The payload of a decrypted packet, without padding; `None` if the padding is longer than it.
    #[must_use]
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let payload = packet.get(self.len..)?;
        if !self.has_padding {
            return Some(payload);
        }
        let padding = usize::from(*payload.last()?);
        payload.get(..payload.len().checked_sub(padding)?)
    }
}

/// What a header to be written says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// See [`Header::marker`].
    pub marker: bool,
    /// The payload type, below 128.
    pub pt: u8,
    /// The sequence number.
    pub seq: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The source.
    pub ssrc: u32,
}

/// Replaces `out` by a header; returns its length. Elements with ids or lengths that a one-byte header
/// has no room for are left out.
pub fn write(fields: Fields, elements: &[Element<'_>], out: &mut Vec<u8>) -> usize {
    out.clear();
    let usable =
        |(id, value): &&Element<'_>| (1..15).contains(id) && (1..17).contains(&value.len());
    let has_extension = elements.iter().any(|element| usable(&element));
    out.push(if has_extension { 0x90 } else { 0x80 });
    out.push(fields.pt & 0x7f | if fields.marker { 0x80 } else { 0 });
    out.extend(fields.seq.to_be_bytes());
    out.extend(fields.timestamp.to_be_bytes());
    out.extend(fields.ssrc.to_be_bytes());
    if has_extension {
        out.extend(ONE_BYTE.to_be_bytes());
        out.extend([0; 2]);
        for &(id, value) in elements.iter().filter(usable) {
            let len = u8::try_from(value.len() - 1).unwrap_or(0);
            out.push(id << 4 | len);
            out.extend(value);
        }
        while !out.len().is_multiple_of(4) {
            out.push(0);
        }
        let words = u16::try_from((out.len() - 16) / 4).unwrap_or(0);
        out[14..16].copy_from_slice(&words.to_be_bytes());
    }
    out.len()
}

/// The sequence number or the like that is nearest to the greatest so far, with its rollovers counted.
#[must_use]
pub fn extend(seq: u16, highest: u64) -> u64 {
    let [.., high, low] = highest.to_be_bytes();
    let ahead = seq
        .wrapping_sub(u16::from_be_bytes([high, low]))
        .cast_signed();
    let extended = highest.saturating_add_signed(i64::from(ahead));
    // Before the first one there is nothing; it is of the next round then.
    if extended & 0xffff == u64::from(seq) {
        extended
    } else {
        u64::from(seq)
    }
}

/// The lower 16 bits of an extended number: the one on the wire.
#[must_use]
pub fn wire(extended: u64) -> u16 {
    let [.., high, low] = extended.to_be_bytes();
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields() -> impl Strategy<Value = Fields> {
        (
            any::<bool>(),
            0_u8..128,
            any::<u16>(),
            any::<u32>(),
            any::<u32>(),
        )
            .prop_map(|(marker, pt, seq, timestamp, ssrc)| Fields {
                marker,
                pt,
                seq,
                timestamp,
                ssrc,
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in fields(), values in prop::collection::vec((1_u8..15, prop::collection::vec(any::<u8>(), 1..17)), 0..6)) {
            let elements: Vec<Element<'_>> = values.iter().map(|(id, value)| (*id, value.as_slice())).collect();
            let mut packet = Vec::new();
            let len = write(fields, &elements, &mut packet);
            packet.extend(b"payload");
            let header = Header::read(&packet).unwrap();
            prop_assert_eq!(header.len, len);
            prop_assert_eq!((header.marker, header.pt, header.seq), (fields.marker, fields.pt, fields.seq));
            prop_assert_eq!((header.timestamp, header.ssrc), (fields.timestamp, fields.ssrc));
            prop_assert_eq!(header.payload(&packet), Some(&b"payload"[..]));
            for (id, _) in &elements {
                let first = elements.iter().find(|(other, _)| other == id).unwrap();
                prop_assert_eq!(header.element(&packet, *id), Some(first.1));
            }
        }

        #[test]
        fn any_bytes_can_be_read(mut bytes in prop::collection::vec(any::<u8>(), 0..64), id in any::<u8>()) {
            if let Some(first) = bytes.first_mut() {
                *first = *first & 0x3f | 0x80;
            }
            if let Some(header) = Header::read(&bytes) {
                let _ = header.element(&bytes, id);
                let _ = header.payload(&bytes);
            }
        }

        #[test]
        fn an_extended_number_is_the_nearest(highest in 65_536_u64..1 << 40, ahead in -32_000_i64..32_000) {
            let real = highest.saturating_add_signed(ahead);
            prop_assert_eq!(extend(wire(real), highest), real);
        }
    }

    #[test]
    fn what_came_before_the_first_is_taken_as_it_is() {
        assert_eq!(extend(65_530, 3), 65_530);
    }

    #[test]
    fn two_byte_elements_are_found() {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0x10, 0, 0, 2];
        packet.extend([20, 3, 7, 8, 9, 0, 0, 0]);
        let header = Header::read(&packet).unwrap();
        assert_eq!(header.element(&packet, 20), Some(&[7, 8, 9][..]));
        assert_eq!(header.element(&packet, 3), None);
    }
}
