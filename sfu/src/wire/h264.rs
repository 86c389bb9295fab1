//! Payloads of H.264 (RFC 6184): which NAL units a packet brings, as far as a forwarder needs it.

mod sps;
#[cfg(test)]
mod tests;

use super::reader::Reader;

/// Types of NAL units (H.264, table 7-1; RFC 6184, table 1).
mod nal {
    pub(super) const SLICE: u8 = 1;
    pub(super) const IDR: u8 = 5;
    pub(super) const SPS: u8 = 7;
    pub(super) const LAST_SINGLE: u8 = 23;
    pub(super) const STAP_A: u8 = 24;
    pub(super) const FU_A: u8 = 28;
}

/// Why a payload is none of H.264 that is forwarded. The packet is to be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum H264Error {
    /// It ends within a header or a unit.
    #[error("the payload ends within a NAL unit")]
    Truncated,
    /// A type that is reserved, or of interleaved mode, which is not negotiated.
    #[error("a payload of type {0}, which is none of packetization modes 0 and 1")]
    Type(u8),
}

/// What a payload brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Payload {
    /// A sequence parameter set begins in it. Encoders for calls put one before each IDR picture, and
    /// who has none can decode nothing.
    pub has_sps: bool,
    /// A slice of an IDR picture begins in it.
    pub has_idr: bool,
    /// A picture's first slice begins in it.
    pub has_first_slice: bool,
    /// Width and height of pictures in pixels, if a parameter set says it.
    pub size: Option<(u16, u16)>,
}

impl Payload {
    /// Reads an RTP payload: a single NAL unit, STAP-A or FU-A (sections 5.6, 5.7.1 and 5.8).
    ///
    /// # Errors
    /// [`H264Error`].
    pub fn parse(payload: &[u8]) -> Result<Self, H264Error> {
        let mut reader = Reader::new(payload);
        let header = reader.u8().ok_or(H264Error::Truncated)?;
        let mut read = Self::default();
        match header & 0x1f {
            kind @ 1..=nal::LAST_SINGLE => read.add(kind, reader.rest()),
            nal::STAP_A => read.add_aggregate(reader)?,
            nal::FU_A => {
                let fragment = reader.u8().ok_or(H264Error::Truncated)?;
                let is_start = fragment & 0x80 != 0;
                if is_start {
                    read.add(fragment & 0x1f, reader.rest());
                }
            }
            other => return Err(H264Error::Type(other)),
        }
        Ok(read)
    }

    /// Whether a key frame begins in it that anybody can enter: parameter sets go before their IDR
    /// picture. One without them is of no use to who was not there before.
    #[must_use]
    pub fn is_keyframe(&self) -> bool {
        self.has_sps
    }

    /// Whether a picture begins in it, as far as the packet alone can tell.
    #[must_use]
    pub fn starts_frame(&self) -> bool {
        self.has_sps || (self.has_first_slice && !self.has_idr)
    }

    fn add_aggregate(&mut self, mut units: Reader<'_>) -> Result<(), H264Error> {
        if units.is_empty() {
            return Err(H264Error::Truncated);
        }
        while !units.is_empty() {
            let unit = units.prefixed_u16().ok_or(H264Error::Truncated)?;
            let (header, body) = unit.split_first().ok_or(H264Error::Truncated)?;
            self.add(header & 0x1f, body);
        }
        Ok(())
    }

    /// A unit that begins here, without its header; it may go on in later packets.
    fn add(&mut self, kind: u8, body: &[u8]) {
        match kind {
            nal::SPS => {
                self.has_sps = true;
                self.size = sps::size(body).or(self.size);
            }
            nal::IDR | nal::SLICE => {
                self.has_idr |= kind == nal::IDR;
                // `first_mb_in_slice` is the first field, and 0 is one bit that is set.
                self.has_first_slice |= body.first().is_some_and(|first| first & 0x80 != 0);
            }
            _ => {}
        }
    }
}
