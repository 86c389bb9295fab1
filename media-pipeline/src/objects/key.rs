//! What may be a key. Keys are made of ids by [`Keys`](crate::ports::Keys); here is the second lock on that door.

use crate::ports::ObjectError;
use kaiwa_common::limits::OBJECT_KEY_BYTES;

/// Letters, digits, `.`, `_`, `-`, `=` and `/`; no empty segment and none that begins with a dot.
///
/// # Errors
/// [`ObjectError::Refused`] for anything else: no client can bring it about.
pub fn check_key(key: &str) -> Result<(), ObjectError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-=/".contains(&b);
    let is_key = key.len() <= OBJECT_KEY_BYTES
        && key.bytes().all(allowed)
        && key.split('/').all(|s| !s.is_empty() && !s.starts_with('.'));
    if is_key {
        Ok(())
    } else {
        Err(ObjectError::Refused("this is no key".to_owned()))
    }
}

/// A key with a `/` at its end.
///
/// # Errors
/// As [`check_key`]; the empty prefix too, which would be everything.
pub fn check_prefix(prefix: &str) -> Result<(), ObjectError> {
    let folder = prefix.strip_suffix('/');
    folder.map_or_else(
        || Err(ObjectError::Refused("this is no prefix".to_owned())),
        check_key,
    )
}

/// A type as `video/mp4` or `text/vtt; charset=utf-8`: at most 128 visible characters and spaces.
///
/// # Errors
/// [`ObjectError::Mismatch`].
pub(crate) fn check_type(content_type: &str) -> Result<(), ObjectError> {
    let is_type =
        content_type.len() <= 128 && content_type.bytes().all(|b| (b' '..0x7f).contains(&b));
    if is_type {
        Ok(())
    } else {
        Err(ObjectError::Mismatch("the content type".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_ids_are_made_of_is_a_key() {
        for good in ["a", "video/u=401/2026/11/0-1/source", "a/b.c_d-e"] {
            assert!(check_key(good).is_ok(), "{good}");
        }
        let long = "a".repeat(OBJECT_KEY_BYTES + 1);
        for bad in [
            "", "/a", "a/", "a//b", "..", "a/../b", "a/.b", "a b", "a\0", "a\\b", "é", "a%2e",
            "a*", "a\nb", &long,
        ] {
            assert!(check_key(bad).is_err(), "{bad:?}");
        }
        assert!(check_prefix("a/b/").is_ok());
        for bad in ["", "/", "a", "../", "a/*/"] {
            assert!(check_prefix(bad).is_err(), "{bad:?}");
        }
    }
}
