//! What the end-to-end tests share: a server as a child, clients that behave and one that doesn't,
//! tokens good and bad, and a room with a witness in it.

#![expect(dead_code, reason = "each test file uses its part of it")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not expected fails the test"
)]

pub(crate) mod client;
pub(crate) mod http;
pub(crate) mod raw;
pub(crate) mod scene;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod token;

use std::time::Duration;

/// No step of a test takes longer, on a machine that does other things as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// Waits for something that has to happen.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Writes a file that its owner alone may read, as secrets have to be.
pub(crate) fn secret(path: &std::path::Path, bytes: impl AsRef<[u8]>) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = file.open(path).expect("a file");
    std::io::Write::write_all(&mut file, bytes.as_ref()).expect("written");
}

/// A new UUIDv7 for a write.
pub(crate) fn cid() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A UUIDv7 of another time than now.
pub(crate) fn cid_of(unix_s: u64) -> String {
    let time = uuid::Timestamp::from_unix_time(unix_s, 0, 0, 0);
    uuid::Uuid::new_v7(time).to_string()
}

/// Seconds since the Unix epoch.
pub(crate) fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is after 1970").as_secs()
}
