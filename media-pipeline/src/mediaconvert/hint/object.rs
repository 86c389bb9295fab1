//! An object's event: S3's own form, and EventBridge's.

use super::{Hint, Unreadable, object, text, time};
use kaiwa_common::limits::CLIP_HINT_OBJECTS;
use kaiwa_common::time::UnixMs;
use serde_json::{Map, Value};

/// An object that is complete, as somebody says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectCreated {
    /// Names this creation, at most 128 characters: the same when it is told again in the same form.
    pub event: String,
    /// Where.
    pub bucket: String,
    /// Its key, decoded.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When.
    pub at: UnixMs,
}

/// S3's notification: `Records`.
pub(super) fn records(records: &Value) -> Result<Hint, Unreadable> {
    let records = records.as_array().ok_or(Unreadable::Invalid("Records"))?;
    if records.is_empty() || records.len() > CLIP_HINT_OBJECTS {
        return Err(Unreadable::Invalid("Records"));
    }
    let mut created = Vec::new();
    for record in records {
        let record = record.as_object().ok_or(Unreadable::Invalid("Records"))?;
        let s3 = object(record, "s3")?;
        let name = text(record, "eventName", 64)?;
        // Notifications write `ObjectCreated:Put`, their configuration `s3:ObjectCreated:Put`.
        if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
            continue;
        }
        created.push(created_by(record, s3)?);
    }
    Ok(if created.is_empty() {
        Hint::Nothing("s3_other_event")
    } else {
        Hint::Objects(created)
    })
}

fn created_by(
    record: &Map<String, Value>,
    s3: &Map<String, Value>,
) -> Result<ObjectCreated, Unreadable> {
    let stored = object(s3, "object")?;
    let (bucket, at) = (bucket(s3)?, time(record, "eventTime")?);
    let encoded = text(stored, "key", 3 * KEY)?;
    // S3 gives its records no id. A key's creations differ in their sequencer; where there is none, in time.
    let sequencer = stored.get("sequencer").and_then(Value::as_str);
    let named = format!("{bucket}\n{encoded}\n{}\n{sequencer:?}", at.0);
    let hash = ring::digest::digest(&ring::digest::SHA256, named.as_bytes());
    let hex: String = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    Ok(ObjectCreated {
        event: format!("s3-{hex}"),
        bucket,
        key: decode(encoded)?,
        size: size(stored)?,
        at,
    })
}

/// EventBridge's form, whose keys are not encoded.
pub(super) fn bridged(top: &Map<String, Value>) -> Result<Hint, Unreadable> {
    let detail = object(top, "detail")?;
    let stored = object(detail, "object")?;
    Ok(Hint::Objects(vec![ObjectCreated {
        event: text(top, "id", 128)?.to_owned(),
        bucket: bucket(detail)?,
        key: text(stored, "key", KEY)?.to_owned(),
        size: size(stored)?,
        at: time(top, "time")?,
    }]))
}

/// A key, in bytes (S3, "Object key naming guidelines").
const KEY: usize = 1024;

fn bucket(of: &Map<String, Value>) -> Result<String, Unreadable> {
    Ok(text(object(of, "bucket")?, "name", 63)?.to_owned())
}

fn size(stored: &Map<String, Value>) -> Result<u64, Unreadable> {
    let size = stored.get("size").ok_or(Unreadable::Missing("size"))?;
    size.as_u64().ok_or(Unreadable::Invalid("size"))
}

/// Form encoding: `+` is a space, `%XX` a byte; together they are UTF-8.
fn decode(encoded: &str) -> Result<String, Unreadable> {
    let invalid = Unreadable::Invalid("key");
    let mut bytes = encoded.bytes();
    let mut decoded = Vec::with_capacity(encoded.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit().ok_or(invalid)?, digit().ok_or(invalid)?);
                u8::try_from(high * 16 + low).map_err(|_| invalid)?
            }
            other => other,
        });
    }
    let key = String::from_utf8(decoded).map_err(|_| invalid)?;
    if key.len() > KEY || key.chars().any(char::is_control) {
        return Err(invalid);
    }
    Ok(key)
}
