//! A bucket of the emulator behind as much of the port as looking at outputs and finishing them needs, signed (SigV4).

use crate::http::{Answer as Got, call};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::checksum::ChecksumKind;
use kaiwa_media_pipeline::model::UploadMode;
use kaiwa_media_pipeline::ports::*;
use ring::{digest, hmac};
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Bucket {
    root: String,
    name: String,
}

impl Bucket {
    pub(crate) async fn make(root: &str, name: &str) -> Self {
        let bucket = Self {
            root: root.to_owned(),
            name: name.to_owned(),
        };
        let made = bucket.send("PUT", "", "", Vec::new()).await;
        assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
        bucket
    }

    /// One that nobody reads.
    pub(crate) fn nowhere() -> Self {
        Self {
            root: "http://127.0.0.1:9".to_owned(),
            name: "none".to_owned(),
        }
    }

    pub(crate) async fn store(&self, key: &str, bytes: Vec<u8>) {
        let put = self.send("PUT", key, "", bytes).await;
        assert_eq!(put.status, 200, "{}", String::from_utf8_lossy(&put.body));
    }

    pub(crate) async fn remove(&self, key: &str) {
        assert_eq!(self.send("DELETE", key, "", Vec::new()).await.status, 204);
    }

    async fn send(&self, method: &str, key: &str, query: &str, body: Vec<u8>) -> Got {
        let path = if key.is_empty() {
            format!("/{}", self.name)
        } else {
            format!("/{}/{key}", self.name)
        };
        let host = self.root.strip_prefix("http://").unwrap();
        let headers = sign(method, host, &path, query);
        let path = if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        };
        call(&self.root, method, &path, &headers, body).await
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Signature version 4, of keys and queries that need no encoding.
fn sign(method: &str, host: &str, path: &str, query: &str) -> Vec<(String, String)> {
    let now = jiff::Timestamp::now()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let (day, payload) = (&now[..8], "UNSIGNED-PAYLOAD");
    let names = "host;x-amz-content-sha256;x-amz-date";
    let own = format!("host:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{now}\n");
    let request = format!("{method}\n{path}\n{query}\n{own}\n{names}\n{payload}");
    let scope = format!("{day}/us-east-1/s3/aws4_request");
    let hash = hex(digest::digest(&digest::SHA256, request.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{now}\n{scope}\n{hash}");
    let mac = |key: &[u8], text: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
        tag.as_ref().to_vec()
    };
    let key = [day, "us-east-1", "s3", "aws4_request"];
    let key = key
        .iter()
        .fold(b"AWS4test".to_vec(), |key, part| mac(&key, part));
    let signature = hex(&mac(&key, &text));
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential=test/{scope}, SignedHeaders={names}, Signature={signature}"
    );
    vec![
        ("authorization".to_owned(), signed),
        ("x-amz-content-sha256".to_owned(), payload.to_owned()),
        ("x-amz-date".to_owned(), now),
    ]
}

fn between<'a>(text: &'a str, tag: &str) -> &'a str {
    let (_, rest) = text.split_once(&format!("<{tag}>")).unwrap();
    rest.split_once("</").unwrap().0
}

fn encode(text: &str) -> String {
    let escape = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(b).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escape).collect()
}

const NO: ObjectError = ObjectError::Unsupported("this double reads and puts");

fn no<'a, T: Send + 'a>() -> Answer<'a, T, ObjectError> {
    Box::pin(std::future::ready(Err(NO)))
}

impl Objects for Bucket {
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
    ) -> Answer<'a, Vec<ObjectInfo>, ObjectError> {
        Box::pin(async move {
            let mut query = format!("list-type=2&max-keys=7&prefix={}", encode(prefix));
            if let Some(after) = after {
                query = format!("{query}&start-after={}", encode(after));
            }
            if self.name == "none" {
                return Err(ObjectError::Unavailable("nobody is there".to_owned()));
            }
            let got = self.send("GET", "", &query, Vec::new()).await;
            let text = String::from_utf8(got.body).unwrap();
            if got.status != 200 {
                return Err(ObjectError::Unavailable(text));
            }
            let info = |entry: &str| ObjectInfo {
                key: between(entry, "Key").to_owned(),
                size: between(entry, "Size").parse().unwrap(),
                etag: String::new(),
                sha256: None,
                modified: UnixMs(0),
            };
            Ok(text.split("<Contents>").skip(1).map(info).collect())
        })
    }

    fn read<'a>(&'a self, key: &'a str, _: Option<(u64, u64)>) -> Answer<'a, Reading, ObjectError> {
        Box::pin(async move {
            let got = self.send("GET", key, "", Vec::new()).await;
            if got.status == 404 {
                return Err(ObjectError::NotFound);
            }
            let info = ObjectInfo {
                key: key.to_owned(),
                size: got.body.len() as u64,
                etag: String::new(),
                sha256: None,
                modified: UnixMs(0),
            };
            let pieces: Vec<_> = got
                .body
                .chunks(1000)
                .map(|c| Ok(Bytes::copy_from_slice(c)))
                .collect();
            let bytes = futures_util::stream::iter(pieces).boxed();
            Ok(Reading { info, bytes })
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        _: &'a str,
        bytes: BoxStream<'a, std::io::Result<Bytes>>,
        size: u64,
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        Box::pin(async move {
            let pieces: Vec<Bytes> = bytes.try_collect().await.unwrap();
            self.store(key, pieces.concat()).await;
            Ok(ObjectInfo {
                key: key.to_owned(),
                size,
                etag: String::new(),
                sha256: None,
                modified: UnixMs(0),
            })
        })
    }

    fn modes(&self) -> &[UploadMode] {
        &[]
    }
    fn begin<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<ChecksumKind>,
    ) -> Answer<'a, String, ObjectError> {
        no()
    }
    fn sign_part<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a PartPlan,
        _: Duration,
    ) -> Answer<'a, SignedRequest, ObjectError> {
        no()
    }
    fn sign_post<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: u64,
        _: Duration,
    ) -> Answer<'a, SignedForm, ObjectError> {
        no()
    }
    fn credentials<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Duration,
    ) -> Answer<'a, Credentials, ObjectError> {
        no()
    }
    fn parts<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Vec<Part>, ObjectError> {
        no()
    }
    fn complete<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: &'a [Part],
    ) -> Answer<'a, ObjectInfo, ObjectError> {
        no()
    }
    fn abort<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, (), ObjectError> {
        no()
    }
    fn head<'a>(&'a self, _: &'a str) -> Answer<'a, Option<ObjectInfo>, ObjectError> {
        no()
    }
    fn local_path(&self, _: &str) -> Option<std::path::PathBuf> {
        None
    }
    fn delete_prefix<'a>(&'a self, _: &'a str) -> Answer<'a, u64, ObjectError> {
        no()
    }
    fn stale_uploads(&self, _: UnixMs) -> Answer<'_, Vec<(String, String)>, ObjectError> {
        no()
    }
}
