//! Sends parts as cheaply as anybody can: always the same bytes from a core's own cache into the socket, so that what
//! is measured is who receives. Blocking; one call is one connection.

use std::io::{self, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A signed part: what to say, and how many bytes follow.
#[derive(Debug, Clone)]
pub struct Part {
    /// Path and query of its URL.
    pub target: String,
    /// Headers besides `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// How long it is.
    pub bytes: u64,
}

/// Silence of a server. Then the measurement ends.
const SILENCE: Duration = Duration::from_secs(60);

/// Sends the parts one after another over one connection, each made of the pattern (not empty) again and again; gives their marks (`ETag`).
///
/// # Errors
/// When the connection breaks off, or a part is answered with another status than 200.
pub fn send(server: SocketAddr, pattern: &[u8], parts: &[Part]) -> io::Result<Vec<String>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut marks = Vec::with_capacity(parts.len());
    for part in parts {
        stream.write_all(head(server, part).as_bytes())?;
        let mut left = part.bytes;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = pattern.get(..most).unwrap_or(pattern);
            stream.write_all(piece)?;
            left -= piece.len() as u64;
        }
        marks.push(answer(&mut answers)?);
    }
    Ok(marks)
}

fn head(server: SocketAddr, part: &Part) -> String {
    let Part { target, bytes, .. } = part;
    let headers: String = part
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("PUT {target} HTTP/1.1\r\nHost: {server}\r\nContent-Length: {bytes}\r\n{headers}\r\n")
}

/// The `ETag` of an answer that is 200 and has a length (RFC 9112, section 6).
fn answer(answers: &mut impl io::BufRead) -> io::Result<String> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    let status = line.trim_end().to_owned();
    let (mut mark, mut bytes) = (String::new(), 0);
    loop {
        line.clear();
        if answers.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        let Some((name, value)) = header.split_once(':') else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        match name.to_ascii_lowercase().as_str() {
            "etag" => value.trim().trim_matches('"').clone_into(&mut mark),
            "content-length" => bytes = value.trim().parse().map_err(io::Error::other)?,
            _ => {}
        }
    }
    let mut body = vec![0; bytes];
    answers.read_exact(&mut body)?;
    if status.contains(" 200") {
        return Ok(mark);
    }
    let text = String::from_utf8_lossy(&body);
    Err(io::Error::other(format!(
        "a part was answered {status}: {text}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_mark_is_read_and_its_body_passed_over() {
        let mut text = &b"HTTP/1.1 200 OK\r\nETag: \"ab\"\r\nContent-Length: 2\r\n\r\nxyHTTP"[..];
        assert_eq!(answer(&mut text).unwrap(), "ab");
        assert_eq!(text, b"HTTP");
        let mut text = &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"[..];
        assert!(answer(&mut text).unwrap_err().to_string().contains("403"));
        assert!(answer(&mut &b"HTTP/1.1 200 OK\r\nETag"[..]).is_err());
    }
}
