//! Keys that sign uploads and playback, kept in the data folder like the token secret.
//!
//! To change one, its file is renamed to `….before` and the server is started again: a new one is made, and what the
//! old one signed is good until it expires.

use crate::data::DataDir;
use anyhow::Context as _;
use kaiwa_common::redact::Secret;
use kaiwa_media_pipeline::objects::sign::{Keyring, SigningKey};
use kaiwa_media_pipeline::playback::{PlaybackKey, PlaybackKeys};
use ring::digest::{SHA256, digest};
use std::sync::Arc;

const UPLOADS: &str = "clip-upload-key";
const PLAYBACK: &str = "clip-playback-key";

/// What signs URLs of the embedded store.
pub(super) fn uploads(data: &DataDir) -> anyhow::Result<Keyring> {
    let key = |secret: Secret<Vec<u8>>| -> anyhow::Result<SigningKey> {
        let bytes: [u8; 32] = secret.expose().as_slice().try_into().with_context(|| {
            format!("{UPLOADS} in the data folder has not 32 bytes: remove it, and another is made")
        })?;
        Ok(SigningKey::new(&name(&secret), &Secret::new(bytes)))
    };
    let current = key(data.secret(UPLOADS)?)?;
    let before = data.secret_if_there(&before(UPLOADS))?;
    Ok(Keyring::new(current, before.map(key).transpose()?))
}

/// What signs playback.
pub(super) fn playback(data: &DataDir) -> anyhow::Result<Arc<PlaybackKeys>> {
    let key = |id, secret: Secret<Vec<u8>>| {
        PlaybackKey::new(id, &secret).with_context(|| format!("{PLAYBACK} in the data folder"))
    };
    let secret = data.secret(PLAYBACK)?;
    let id = number(&secret);
    let before = data.secret_if_there(&before(PLAYBACK))?;
    let before = before.map(|secret| {
        // Two keys need two numbers; those of two by chance are seldom equal.
        let number = number(&secret);
        key(number.wrapping_add(u8::from(number == id)), secret)
    });
    let keys = PlaybackKeys::new(key(id, secret)?, before.transpose()?);
    Ok(Arc::new(keys.context("the playback keys")?))
}

fn before(name: &str) -> String {
    format!("{name}.before")
}

/// A key's public name: of its hash, so that it stays the same when it is not the newest any more.
fn name(secret: &Secret<Vec<u8>>) -> String {
    use std::fmt::Write as _;
    let hash = digest(&SHA256, secret.expose());
    let mut text = String::new();
    for byte in &hash.as_ref()[..4] {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn number(secret: &Secret<Vec<u8>>) -> u8 {
    digest(&SHA256, secret.expose()).as_ref()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaiwa_common::time::UnixMs;
    use kaiwa_media_pipeline::objects::sign::FormClaim;

    #[test]
    fn what_the_key_before_has_signed_is_believed_until_it_expires() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = DataDir::open(folder.path()).expect("opened");
        let claim = FormClaim {
            key: "video/u/2026/11/c/source".to_owned(),
            content_type: "video/mp4".to_owned(),
            max: 1,
            expires: UnixMs(10),
        };
        let token = uploads(&data).expect("a key").sign_form(&claim);
        let opened = |at| uploads(&data).expect("keys").open_form(&token, UnixMs(at));
        assert_eq!(opened(9).as_ref(), Ok(&claim), "made once");
        let path = folder.path().join(UPLOADS);
        std::fs::rename(&path, folder.path().join(before(UPLOADS))).expect("renamed");
        assert_eq!(opened(9), Ok(claim));
        assert!(opened(10).is_err());
        std::fs::remove_file(folder.path().join(before(UPLOADS))).expect("removed");
        assert!(opened(9).is_err(), "the key is gone");
        playback(&data).expect("keys");
    }
}
