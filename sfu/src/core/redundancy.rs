//! Opus with its predecessors, both ways (RFC 2198).
//!
//! A publisher that sends RED repairs its own losses: what a packet carries of those before it enters
//! the layer's ring as if it had come. A subscriber that takes RED is sent each payload with those that
//! went before it, written anew from the ring, whether or not the publisher sends RED: payload types
//! differ from one session to another, and after a change of sources the other one's past must not be
//! heard. Everybody else is sent the primary alone.

use super::receive::{Arrival, ReceiveStream};
use super::ring::{Format, Meta};
use crate::unit::{ExtSeqNo, PayloadType, RtpTime, SeqNo};
use crate::wire::red::{self, Block, Blocks, MAX_REDUNDANT, RedError};
use std::time::Instant;

/// Packets that one RED packet can bring back: those that went right before it. Browsers send one or
/// two; more than this is as old as to be useless.
pub const MAX_RECOVERED: usize = 4;

/// The largest RED payload that is written. What does not fit is left out, the oldest first: a packet
/// that is too large for the path is lost whole.
pub const MAX_RED_BYTES: usize = 1_200;

/// Bytes that a redundant block's header adds (RFC 2198, section 3).
const BLOCK_HEADER_BYTES: usize = 4;

/// Why a payload can't be written for a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedundancyError {
    /// The ring does not have it any more: there is nothing to send.
    #[error("the packet is not kept")]
    NotKept,
    /// What the publisher sent as RED is none: there is nothing to send.
    #[error(transparent)]
    Red(#[from] RedError),
}

/// The codec's own payload of a packet that is kept.
///
/// # Errors
/// [`RedError`] if it should be RED and is not.
pub fn primary<'a>(meta: &Meta, payload: &'a [u8]) -> Result<&'a [u8], RedError> {
    match meta.format {
        Format::Primary => Ok(payload),
        Format::Red => {
            let block = Blocks::parse(payload)?.primary();
            block.map(|block| block.bytes).ok_or(RedError::Truncated)
        }
    }
}

/// Puts into the stream what a RED packet carries of packets that did not come. To be called after the
/// packet itself was taken, with the same arguments. Gives their numbers, the oldest first; they are to
/// be shown to subscriptions as late packets.
///
/// The last redundant block is the packet before, the one before it the packet before that: encoders
/// leave none out, and packets that were not sent for silence have no number. Blocks whose timestamps
/// do not fall in that order are not believed.
///
/// # Errors
/// [`RedError`] if the payload is no RED.
pub fn recover(
    stream: &mut ReceiveStream,
    now: Instant,
    arrival: &Arrival,
    payload: &[u8],
) -> Result<[Option<ExtSeqNo>; MAX_RECOVERED], RedError> {
    let mut recovered = [None; MAX_RECOVERED];
    let blocks = Blocks::parse(payload)?;
    let redundant = blocks.clone().count().saturating_sub(1);
    let mut last_offset = u16::MAX;
    for (index, block) in blocks.take(redundant).enumerate() {
        let is_older = block.offset > 0 && block.offset < last_offset;
        last_offset = block.offset;
        let back = redundant - index;
        let Some(place) = MAX_RECOVERED
            .checked_sub(back)
            .and_then(|place| recovered.get_mut(place))
        else {
            continue;
        };
        if is_older && !block.bytes.is_empty() {
            *place = recover_block(stream, now, arrival, block, back);
        }
    }
    Ok(recovered)
}

fn recover_block(
    stream: &mut ReceiveStream,
    now: Instant,
    arrival: &Arrival,
    block: Block<'_>,
    back: usize,
) -> Option<ExtSeqNo> {
    let back = u16::try_from(back).ok()?;
    let original = Arrival {
        seq: SeqNo(arrival.seq.0.wrapping_sub(back)),
        time: RtpTime(arrival.time.0.wrapping_sub(u32::from(block.offset))),
        marker: false,
        format: Format::Primary,
        wire_bytes: 0,
        ..*arrival
    };
    // Most are known: that is no error here.
    stream.handle_repair(now, &original, block.bytes).ok()
}

/// How a payload is written for a subscriber that takes RED.
#[derive(Debug, Clone, Copy)]
pub struct RedPlan {
    /// What Opus is called in the subscriber's session.
    pub opus: PayloadType,
    /// Packets before this one that go along, at most [`MAX_REDUNDANT`].
    pub redundant: usize,
    /// The oldest number that the subscriber may hear, see
    /// [`Forwarder::oldest`](super::forward::Forwarder::oldest).
    pub oldest: ExtSeqNo,
}

/// Writes a packet as RED into `out`, and returns its length. What went before it goes along as far as
/// it came, fits and is not too old.
///
/// # Errors
/// [`RedundancyError`]; nothing is to be sent.
pub fn write(
    stream: &ReceiveStream,
    seq: ExtSeqNo,
    plan: &RedPlan,
    out: &mut [u8],
) -> Result<usize, RedundancyError> {
    let (meta, payload) = stream.get(seq).ok_or(RedundancyError::NotKept)?;
    let primary_block = Block {
        payload_type: plan.opus,
        offset: 0,
        bytes: primary(meta, payload)?,
    };
    let mut blocks = [primary_block; MAX_REDUNDANT];
    let mut room = MAX_RED_BYTES.min(out.len());
    room = room.saturating_sub(1 + primary_block.bytes.len());
    let mut count = 0;
    for (back, place) in (1u64..).zip(blocks.iter_mut().rev()).take(plan.redundant) {
        let Some(block) = redundant(stream, seq, back, meta.time, plan) else {
            break;
        };
        let Some(left) = room.checked_sub(BLOCK_HEADER_BYTES + block.bytes.len()) else {
            break;
        };
        room = left;
        *place = block;
        count += 1;
    }
    let blocks = &blocks[MAX_REDUNDANT - count..];
    Ok(red::write(out, &primary_block, blocks)?)
}

/// The packet so many before this one, if it may and can go along.
fn redundant<'a>(
    stream: &'a ReceiveStream,
    seq: ExtSeqNo,
    back: u64,
    time: RtpTime,
    plan: &RedPlan,
) -> Option<Block<'a>> {
    let earlier = ExtSeqNo(seq.0.checked_sub(back)?);
    if earlier < plan.oldest {
        return None;
    }
    let (meta, payload) = stream.get(earlier)?;
    let bytes = primary(meta, payload).ok()?;
    let offset = u16::try_from(time.since(meta.time)).ok()?;
    let can_go = offset > 0 && offset < red::MAX_OFFSET;
    let fits = !bytes.is_empty() && bytes.len() < red::MAX_BLOCK_BYTES;
    (can_go && fits).then_some(Block {
        payload_type: plan.opus,
        offset,
        bytes,
    })
}

#[cfg(test)]
mod tests;
