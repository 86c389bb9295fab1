//! One HTTP request, for what the server tells beside the WebSocket.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The body of a path, if the answer is 200.
///
/// # Errors
/// When there is no answer, or another one.
pub async fn get(server: SocketAddr, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    exchange(server, path, &request, 200).await
}

/// Offers by WHIP or WHEP; gives the answer, if it is 201.
///
/// # Errors
/// When there is no answer, or another one.
pub async fn offer(server: SocketAddr, path: &str, token: &str, sdp: &str) -> Result<String> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n",
        sdp.len()
    );
    exchange(server, path, &(head + sdp), 201).await
}

/// The body of the answer, if it has this status.
async fn exchange(server: SocketAddr, path: &str, request: &str, wanted: u16) -> Result<String> {
    let mut tcp = TcpStream::connect(server).await?;
    tcp.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    let is_it = status.split(' ').nth(1) == Some(wanted.to_string().as_str());
    ensure!(is_it, "{path}: {status}: {body}");
    let is_chunked = head.lines().any(|line| {
        line.to_ascii_lowercase()
            .starts_with("transfer-encoding: chunked")
    });
    if is_chunked {
        return joined(body).with_context(|| format!("{path}: a broken body"));
    }
    Ok(body.to_owned())
}

/// A chunked body in one piece (RFC 9112, section 7.1).
fn joined(mut body: &str) -> Option<String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = body.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.push_str(rest.get(..size)?);
        body = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}

/// The JSON that a path answers to some JSON, if the answer is 200.
///
/// # Errors
/// When there is no answer, or another one.
pub async fn post(server: SocketAddr, path: &str, body: &Value) -> Result<Value> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Ok(serde_json::from_str(
        &exchange(server, path, &(head + &body), 200).await?,
    )?)
}

/// The server's metrics, those of one name added up over their labels.
///
/// # Errors
/// When it gives none.
pub async fn metrics(server: SocketAddr) -> Result<BTreeMap<String, f64>> {
    Ok(parse(&get(server, "/metrics").await?))
}

fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, value)) = line.rsplit_once(' ')
            && let Ok(value) = value.parse::<f64>()
        {
            let name = name.split('{').next().unwrap_or(name);
            *metrics.entry(name.to_owned()).or_insert(0.0) += value;
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_joined() {
        assert_eq!(
            joined("4\r\nabcd\r\n2;x\r\nef\r\n0\r\n\r\n"),
            Some("abcdef".to_owned())
        );
        for broken in ["", "4\r\nab", "x\r\nab\r\n", "2\r\nabc\r\n0\r\n\r\n"] {
            assert_eq!(joined(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn metrics_are_added_up_over_their_labels() {
        let text = "# HELP a b\na{x=\"1\"} 2\na{x=\"2 3\"} 3\nb 0.5\n\n";
        let metrics = parse(text);
        assert_eq!((metrics["a"], metrics["b"]), (5.0, 0.5));
    }
}
