//! What of a datagram the DTLS implementation gets to see.
//!
//! Records before the handshake's end are not authenticated, so anybody who knows a peer's addresses can
//! send them. Only those go through that a handshake has, well-formed and in a bounded number: the
//! implementation keeps fragments without a bound of their own, assembles them recursively, and takes
//! a ChangeCipherSpec of any epoch. After the end only encrypted alerts go through.

use bytes::BytesMut;

/// The most handshake fragments of one association. A browser's two flights are ten, and each may be
/// sent some ten times in [`super::HANDSHAKE_TIMEOUT`]. Their assembly costs time by the square of
/// this, and stack by this.
pub(super) const MAX_FRAGMENTS: usize = 256;
/// The most bytes of records of one association: the same fragments, 256 bytes each in the mean.
pub(super) const MAX_BYTES: usize = 64 * 1024;
/// The longest handshake message: a chain of certificates is 2 to 4 KiB.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;

const RECORD_HEADER_BYTES: usize = 13;
const FRAGMENT_HEADER_BYTES: usize = 12;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;

/// Where an association is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Handshaking,
    Connected,
}

/// An unencrypted alert that ends a handshake, by its description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlainAlert(pub(super) u8);

/// What was found in a datagram.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The records that may go on.
    pub(super) records: BytesMut,
    /// An alert that ends the handshake.
    pub(super) alert: Option<PlainAlert>,
    /// The lowest number of a handshake message that is in the clear.
    pub(super) lowest_message: Option<u16>,
    /// There was a handshake message at all, encrypted perhaps, whether it may go on or not.
    pub(super) has_handshake: bool,
    /// The peer has used up what a handshake may have.
    pub(super) is_too_much: bool,
}

/// Looks at all datagrams of one association.
#[derive(Debug)]
pub(super) struct Gate {
    fragments_left: usize,
    bytes_left: usize,
    highest_message: Option<u16>,
}

struct Record<'a> {
    content: u8,
    epoch: u16,
    whole: &'a [u8],
    body: &'a [u8],
}

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            fragments_left: MAX_FRAGMENTS,
            bytes_left: MAX_BYTES,
            highest_message: None,
        }
    }

    /// The highest number of a handshake message in the clear that has come so far.
    pub(super) fn highest_message(&self) -> Option<u16> {
        self.highest_message
    }

    /// Sorts the records of a datagram. What is broken or not due is left out (RFC 6347, section
    /// 4.1.2.7).
    pub(super) fn pass(&mut self, datagram: &[u8], phase: Phase) -> Passed {
        let mut passed = Passed::default();
        let mut rest = datagram;
        while let Some((record, behind)) = split_record(rest) {
            rest = behind;
            passed.has_handshake |= record.content == HANDSHAKE;
            let goes_on = match (phase, record.content, record.epoch) {
                (Phase::Handshaking, HANDSHAKE, 0) => self.pass_fragments(&record, &mut passed),
                (Phase::Handshaking, HANDSHAKE, 1) => self.take_fragments(1, &mut passed),
                (Phase::Handshaking, CHANGE_CIPHER_SPEC, 0) => record.body == [1],
                (Phase::Handshaking, ALERT, 0) => {
                    passed.alert = passed.alert.or(ending_alert(record.body));
                    false
                }
                (Phase::Handshaking | Phase::Connected, ALERT, 1) => true,
                _ => false,
            };
            if goes_on && self.take_bytes(record.whole.len(), phase, &mut passed) {
                passed.records.extend_from_slice(record.whole);
            }
        }
        passed
    }

    /// Whether all fragments of an unencrypted record are sound.
    fn pass_fragments(&mut self, record: &Record<'_>, passed: &mut Passed) -> bool {
        let mut numbers = [0; 64];
        let mut count = 0;
        let mut rest = record.body;
        while !rest.is_empty() {
            let Some((number, behind)) = split_fragment(rest) else {
                return false;
            };
            let Some(place) = numbers.get_mut(count) else {
                return false;
            };
            *place = number;
            count += 1;
            rest = behind;
        }
        if !self.take_fragments(count, passed) {
            return false;
        }
        for number in &numbers[..count] {
            passed.lowest_message = Some(
                passed
                    .lowest_message
                    .map_or(*number, |lowest| lowest.min(*number)),
            );
            self.highest_message = self.highest_message.max(Some(*number));
        }
        true
    }

    fn take_fragments(&mut self, count: usize, passed: &mut Passed) -> bool {
        match self.fragments_left.checked_sub(count) {
            Some(left) => {
                self.fragments_left = left;
                true
            }
            None => {
                passed.is_too_much = true;
                false
            }
        }
    }

    fn take_bytes(&mut self, bytes: usize, phase: Phase, passed: &mut Passed) -> bool {
        if phase == Phase::Connected {
            return true;
        }
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => {
                self.bytes_left = left;
                true
            }
            None => {
                passed.is_too_much = true;
                false
            }
        }
    }
}

/// Splits a record off (RFC 6347, section 4.1); `None` at the end, or when the rest is none. Versions
/// are DTLS 1.0 (of a ClientHello's record) and 1.2.
fn split_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let header = bytes.get(..RECORD_HEADER_BYTES)?;
    let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
    let (whole, behind) = bytes.split_at_checked(RECORD_HEADER_BYTES + len)?;
    let is_dtls = header[1] == 0xfe && matches!(header[2], 0xfd | 0xff);
    if !is_dtls || len == 0 {
        return None;
    }
    let record = Record {
        content: header[0],
        epoch: u16::from_be_bytes([header[3], header[4]]),
        whole,
        body: &whole[RECORD_HEADER_BYTES..],
    };
    Some((record, behind))
}

/// Splits a handshake fragment off (RFC 6347, section 4.2.2), and gives its message's number; `None`
/// when it is none. An empty part of a message that is not empty is none.
fn split_fragment(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let header = bytes.get(..FRAGMENT_HEADER_BYTES)?;
    let u24 = |at: usize| {
        let number = u32::from_be_bytes([0, header[at], header[at + 1], header[at + 2]]);
        usize::try_from(number).ok()
    };
    let (message_len, start, len) = (u24(1)?, u24(6)?, u24(9)?);
    let (_, behind) = bytes.split_at_checked(FRAGMENT_HEADER_BYTES + len)?;
    let fits = start + len <= message_len && message_len <= MAX_MESSAGE_BYTES;
    let is_part = fits && (len > 0 || message_len == 0);
    is_part.then_some((u16::from_be_bytes([header[4], header[5]]), behind))
}

/// The description of an alert that is fatal or says goodbye.
fn ending_alert(body: &[u8]) -> Option<PlainAlert> {
    match body {
        [FATAL, description] | [_, description @ CLOSE_NOTIFY] => Some(PlainAlert(*description)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(content: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let mut record = vec![content, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9];
        record.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        record.extend(body);
        record
    }

    /// Of a message of `of` bytes.
    fn fragment(message: u8, of: u8, start: u8, len: u8) -> Vec<u8> {
        let mut fragment = vec![11, 0, 0, of, 0, message, 0, 0, start, 0, 0, len];
        fragment.extend(std::iter::repeat_n(7, usize::from(len)));
        fragment
    }

    fn passes(datagram: &[u8], phase: Phase) -> Vec<u8> {
        Gate::new().pass(datagram, phase).records.to_vec()
    }

    #[test]
    fn a_handshake_goes_through_and_what_does_not_belong_to_it_stays_out() {
        let good = [
            record(HANDSHAKE, 0, &fragment(3, 40, 10, 30)),
            record(CHANGE_CIPHER_SPEC, 0, &[1]),
            record(HANDSHAKE, 1, &[9; 40]),
            record(ALERT, 1, &[9; 30]),
        ];
        let bad = [
            record(23, 0, b"data"),
            record(23, 1, b"data"),
            record(CHANGE_CIPHER_SPEC, 1, &[1]),
            record(CHANGE_CIPHER_SPEC, 0, &[2]),
            record(HANDSHAKE, 2, &[9; 40]),
            record(HANDSHAKE, 0, &[1; 5]),
            record(HANDSHAKE, 0, &fragment(3, 40, 11, 30)),
            record(HANDSHAKE, 0, &fragment(3, 40, 11, 0)),
            record(ALERT, 0, &[1, 41]),
        ];
        let mixed: Vec<u8> = good
            .iter()
            .chain(&bad)
            .chain(&good)
            .flatten()
            .copied()
            .collect();
        let expected = [good.concat(), good.concat()].concat();
        assert_eq!(passes(&mixed, Phase::Handshaking), expected);
        assert_eq!(
            passes(&mixed, Phase::Connected),
            [&good[3][..], &good[3]].concat()
        );
    }

    #[test]
    fn what_follows_a_broken_record_is_lost_with_it() {
        let good = record(ALERT, 1, &[9; 30]);
        for broken in [&record(ALERT, 1, &[])[..], &[22, 3, 3], &[0; 40]] {
            let datagram = [&good[..], broken, &good].concat();
            assert_eq!(passes(&datagram, Phase::Connected), good);
        }
        let cut = [&good[..], &good[..20]].concat();
        assert_eq!(passes(&cut, Phase::Connected), good);
    }

    #[test]
    fn messages_are_numbered() {
        let mut gate = Gate::new();
        let both = [fragment(5, 9, 0, 9), fragment(4, 0, 0, 0)].concat();
        let passed = gate.pass(&record(HANDSHAKE, 0, &both), Phase::Handshaking);
        assert_eq!(
            (passed.lowest_message, gate.highest_message()),
            (Some(4), Some(5))
        );
        assert!(passed.has_handshake);
    }

    #[test]
    fn an_alert_in_the_clear_ends_a_handshake_only() {
        for (body, description) in [([2, 40], Some(40)), ([1, 0], Some(0)), ([1, 90], None)] {
            let datagram = record(ALERT, 0, &body);
            let alert = Gate::new().pass(&datagram, Phase::Handshaking).alert;
            assert_eq!(alert, description.map(PlainAlert));
            assert_eq!(Gate::new().pass(&datagram, Phase::Connected).alert, None);
        }
    }

    #[test]
    fn fragments_and_bytes_are_bounded() {
        let mut gate = Gate::new();
        let tiny = record(HANDSHAKE, 0, &fragment(0, 200, 7, 1));
        for _ in 0..MAX_FRAGMENTS {
            assert!(!gate.pass(&tiny, Phase::Handshaking).is_too_much);
        }
        let passed = gate.pass(&tiny, Phase::Handshaking);
        assert!(passed.is_too_much && passed.records.is_empty());

        let mut gate = Gate::new();
        let large = record(HANDSHAKE, 1, &[9; 1_200]);
        let mut through = 0;
        while !gate.pass(&large, Phase::Handshaking).is_too_much {
            through += large.len();
        }
        assert!(through <= MAX_BYTES && through > MAX_BYTES - large.len());
    }

    proptest! {
        #[test]
        fn what_goes_through_goes_through_again(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            kind in 20u8..24,
        ) {
            let datagram = [record(kind, 0, &bytes), record(kind, 1, &bytes), bytes].concat();
            for phase in [Phase::Handshaking, Phase::Connected] {
                let once = passes(&datagram, phase);
                prop_assert_eq!(passes(&once, phase), once);
            }
        }
    }
}
