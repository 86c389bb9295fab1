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
    exchange(server, path, &request).await
}

async fn exchange(server: SocketAddr, path: &str, request: &str) -> Result<String> {
    let mut tcp = TcpStream::connect(server).await?;
    tcp.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    tcp.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200"), "{path}: {status}");
    Ok(body.to_owned())
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
        &exchange(server, path, &(head + &body)).await?,
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
    fn metrics_are_added_up_over_their_labels() {
        let text = "# HELP a b\na{x=\"1\"} 2\na{x=\"2 3\"} 3\nb 0.5\n\n";
        let metrics = parse(text);
        assert_eq!((metrics["a"], metrics["b"]), (5.0, 0.5));
    }
}
