//! HTTP requests written by hand, so that wrong ones can be written as well.

use super::soon;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

/// Sends a request line, these header lines (`Host` and `Connection` come by themselves where they
/// are not among them), and a body; reads to the end.
pub(crate) async fn request(
    address: SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let has = |name: &str| {
        headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let mut text = format!("{line} HTTP/1.1\r\n");
    if !has("host") {
        text += &format!("Host: {address}\r\n");
    }
    if !has("connection") {
        text += "Connection: close\r\n";
    }
    if !body.is_empty() && !has("content-length") {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    text += body;
    exchange(address, text.as_bytes()).await
}

/// Sends these bytes and reads to the end.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(bytes).await.expect("written");
    let mut read = Vec::new();
    // A server that has said why it closes may reset what was still coming.
    let _ = soon("an HTTP answer", stream.read_to_end(&mut read)).await;
    parse(&read)
}

/// Understands an answer.
pub(crate) fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        panic!("no answer: {text:?}")
    };
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head:?}"));
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// The headers of a WebSocket upgrade.
pub(crate) const UPGRADE: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// The status that answers an upgrade to `kaiwa.v1+json` with these further headers.
pub(crate) async fn upgrade_status(address: SocketAddr, headers: &[(&str, &str)]) -> u16 {
    let mut text = String::from("GET /ws HTTP/1.1\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        text += &format!("Host: {address}\r\n");
    }
    let protocol = [("Sec-WebSocket-Protocol", "kaiwa.v1+json")];
    for (name, value) in UPGRADE.iter().chain(&protocol).chain(headers) {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(text.as_bytes()).await.expect("written");
    let mut read = Vec::new();
    while !read.windows(4).any(|end| end == b"\r\n\r\n") {
        let some = soon("the answer's head", stream.read_buf(&mut read)).await;
        assert!(some.expect("readable") > 0, "the answer ended");
    }
    parse(&read).status
}
