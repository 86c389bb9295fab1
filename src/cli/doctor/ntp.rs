//! The clock against an SNTP server (RFC 4330), which the operator names.

use super::findings::Finding;
use super::web::skew;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::UdpSocket;

/// Its well-known port.
const PORT: u16 = 123;

const PATIENCE: Duration = Duration::from_secs(4);

/// Seconds from NTP's epoch, 1900, to Unix's.
const OFFSET_S: u64 = 2_208_988_800;

/// Version 4, client.
const REQUEST: u8 = 0x23;
const PACKET: usize = 48;

/// Asks a server, `host` or `host:port`.
pub(super) async fn check(server: &str) -> Finding {
    match tokio::time::timeout(PATIENCE, ask(server)).await {
        Ok(Ok((theirs, ours))) => skew(
            ours.abs_diff(theirs),
            ours > theirs,
            &format!("that of {server}"),
        ),
        Ok(Err(why)) => unanswered(server, &why),
        Err(_) => unanswered(server, "no answer in time"),
    }
}

fn unanswered(server: &str, why: &str) -> Finding {
    let text = format!("{server} does not tell the time: {why}");
    Finding::warn(
        "clock",
        text,
        "name another with --ntp; its UDP port 123 has to get through",
    )
}

/// Its time and ours in the middle of the exchange, since 1970.
async fn ask(server: &str) -> Result<(Duration, Duration), String> {
    let said = |error: std::io::Error| error.to_string();
    let has_port = server
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let target = if has_port {
        server.to_owned()
    } else {
        format!("{server}:{PORT}")
    };
    let found = tokio::net::lookup_host(target).await.map_err(said)?.next();
    let to = found.ok_or("no such host")?;
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.map_err(said)?;
    socket.connect(to).await.map_err(said)?;
    let mut request = [0; PACKET];
    request[0] = REQUEST;
    let sent = since();
    socket.send(&request).await.map_err(said)?;
    let mut answer = [0; PACKET];
    let len = socket.recv(&mut answer).await.map_err(said)?;
    let ours = sent + since().saturating_sub(sent) / 2;
    let theirs = (len == PACKET).then(|| time(&answer)).flatten();
    Ok((theirs.ok_or("its answer can't be used")?, ours))
}

/// The transmit time of an answer of a server that knows it.
fn time(answer: &[u8; PACKET]) -> Option<Duration> {
    let is_server = answer[0] & 7 == 4 && answer[0] >> 6 != 3;
    let is_synchronised = (1..16).contains(&answer[1]);
    let seconds = u32::from_be_bytes(answer[40..44].try_into().ok()?);
    let seconds = u64::from(seconds).checked_sub(OFFSET_S)?;
    (is_server && is_synchronised).then(|| Duration::from_secs(seconds))
}

fn since() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_knows_the_time_is_believed() {
        let mut answer = [0; PACKET];
        answer[0] = 0x24;
        answer[1] = 2;
        answer[40..44].copy_from_slice(&3_900_000_000_u32.to_be_bytes());
        let expected = Duration::from_secs(3_900_000_000 - OFFSET_S);
        assert_eq!(time(&answer), Some(expected));
        for (at, wrong) in [(0, 0x23), (0, 0xe4), (1, 0), (1, 16)] {
            let mut other = answer;
            other[at] = wrong;
            assert_eq!(time(&other), None, "{at}: {wrong}");
        }
    }
}
