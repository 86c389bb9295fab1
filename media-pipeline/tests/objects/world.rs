//! A store under test, and bytes to put into it.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use kaiwa_media_pipeline::checksum::{Checksum, ChecksumKind};
use kaiwa_media_pipeline::ports::{
    ObjectError, Objects, PartPlan, Reading, SignedForm, SignedRequest,
};
use ring::digest;
use std::time::Duration;

/// A store that is reached in the way that its clients reach it.
pub(crate) trait World: Send + Sync {
    fn objects(&self) -> &dyn Objects;
    /// Sends a signed request with that body; status and ETag.
    fn send<'a>(
        &'a self,
        request: &'a SignedRequest,
        body: Vec<u8>,
    ) -> BoxFuture<'a, (u16, Option<String>)>;
    /// Posts the form with a file; the status.
    fn post<'a>(&'a self, form: &'a SignedForm, file: Vec<u8>) -> BoxFuture<'a, u16>;
    /// Whether it refuses parts and lengths that were not signed: moto does not look.
    fn is_strict(&self) -> bool {
        true
    }
    /// Whether a part is compared with its checksum.
    fn checks_sums(&self) -> bool {
        true
    }
}

pub(crate) const TTL: Duration = Duration::from_secs(600);

/// S3's least size of a part that is not the last.
pub(crate) const PART: usize = 5 * 1024 * 1024;

/// Bytes that differ everywhere.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub(crate) fn sum(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .try_into()
        .unwrap()
}

/// As most uploads here are begun.
pub(crate) const SHA256: Option<ChecksumKind> = Some(ChecksumKind::Sha256);

pub(crate) fn plan(number: u32, bytes: &[u8]) -> PartPlan {
    summed(ChecksumKind::Sha256, number, bytes)
}

pub(crate) fn summed(kind: ChecksumKind, number: u32, bytes: &[u8]) -> PartPlan {
    PartPlan {
        number,
        size: bytes.len() as u64,
        checksum: Some(checksum(kind, bytes)),
    }
}

/// Taken another way than the store's own.
pub(crate) fn checksum(kind: ChecksumKind, bytes: &[u8]) -> Checksum {
    match kind {
        ChecksumKind::Sha256 => Checksum::Sha256(sum(bytes)),
        ChecksumKind::Crc32c => Checksum::Crc32c(crc32c(bytes).to_be_bytes()),
    }
}

/// Bit by bit, as RFC 3720 has it.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let all = bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    });
    !all
}

/// The bytes as a stream of pieces.
pub(crate) fn pieces(bytes: &[u8]) -> BoxStream<'static, std::io::Result<Bytes>> {
    let pieces: Vec<_> = bytes
        .chunks(100_000)
        .map(Bytes::copy_from_slice)
        .map(Ok)
        .collect();
    stream::iter(pieces).boxed()
}

pub(crate) async fn all(reading: Reading) -> Result<Vec<u8>, ObjectError> {
    let mut whole = Vec::new();
    let mut bytes = reading.bytes;
    while let Some(piece) = bytes.next().await {
        let piece = piece?;
        assert!(piece.len() <= 256 * 1024);
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// Sends a part with the client's eyes: signs, puts, expects success.
pub(crate) async fn send_part(
    world: &dyn World,
    key: &str,
    upload: &str,
    number: u32,
    bytes: &[u8],
) -> String {
    let signed = world
        .objects()
        .sign_part(key, upload, &plan(number, bytes), TTL)
        .await
        .unwrap();
    let (status, etag) = world.send(&signed, bytes.to_vec()).await;
    assert_eq!(status, 200, "part {number}");
    etag.unwrap()
}
