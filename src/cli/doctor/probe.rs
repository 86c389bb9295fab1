//! Whether media gets to each address that clients are told: a real STUN check, by UDP and by TCP, that the server answers
//! as it would a client's.

use super::findings::Finding;
use super::site::{Ask, Site};
use kaiwa_common::redact::Secret;
use kaiwa_sfu::wire::framing::length_of;
use kaiwa_sfu::wire::stun::{
    BindingRequest, Class, IntegrityKey, Message, Role, TransactionId, write_request,
};
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// Tries by UDP, and how long each waits.
const TRIES: u8 = 5;
const TRY: Duration = Duration::from_millis(400);

/// Addresses that are tried: a server that names more is none of ours, or would have its visitors look at others.
const CANDIDATES: usize = 32;

/// To a TCP connection and its answer.
const TCP: Duration = Duration::from_secs(4);

/// What the server says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Probe {
    ufrag: String,
    password: String,
    candidates: Vec<String>,
}

impl Probe {
    /// Asks a server for it.
    ///
    /// # Errors
    /// A finding that says why there is none.
    pub(super) async fn get(
        site: &Site,
        token: &Secret<String>,
        authorities: &[PathBuf],
    ) -> Result<Self, Finding> {
        let check = "token";
        let headers = format!("Authorization: Bearer {}\r\n", token.expose());
        let ask = Ask {
            line: "GET /api/v1/call-probe",
            headers: &headers,
            trusts: Some(authorities),
            is_upgrade: false,
        };
        let (answer, _) = site
            .ask(ask)
            .await
            .map_err(|why| Finding::fail(check, format!("no answer: {why}"), "try again"))?;
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let message = body["error"]["message"].as_str().unwrap_or_default();
        let message = message.replace(char::is_control, " ");
        match answer.status {
            200 => serde_json::from_value(body).map_err(|_| {
                let remedy = "update the server, or this program";
                Finding::fail(check, "the server's answer can't be read", remedy)
            }),
            401 => {
                let remedy = "get another; where its time is in question, compare the clocks";
                Err(Finding::fail(check, message, remedy))
            }
            404 => {
                let remedy = "switch them on (calls.enabled), or update the server";
                Err(Finding::warn(
                    "media",
                    "this server has no calls to try",
                    remedy,
                ))
            }
            status => {
                let text = format!("the server answers {status}: {message}");
                Err(Finding::fail(check, text, "try again"))
            }
        }
    }

    /// Where clients are told to send media.
    pub(super) fn told(&self) -> Vec<IpAddr> {
        let mut ips: Vec<IpAddr> = self.addresses().map(|(_, at)| at.ip()).collect();
        ips.sort_unstable();
        ips.dedup();
        ips
    }

    fn addresses(&self) -> impl Iterator<Item = (bool, SocketAddr)> {
        self.candidates
            .iter()
            .take(CANDIDATES)
            .filter_map(|candidate| {
                let (over, at) = candidate.split_once(' ')?;
                Some((over == "tcp", at.parse().ok()?))
            })
    }

    /// Tries each of them. `is_here`: this machine is the server's.
    pub(super) async fn check(&self, is_here: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut all = Vec::new();
        for (is_tcp, at) in self.addresses() {
            let answered = if at.ip().is_loopback() && !is_here {
                Err("a loopback address, which is no other machine's".to_owned())
            } else if is_tcp {
                let tried = tokio::time::timeout(TCP, self.by_tcp(at)).await;
                tried.unwrap_or_else(|_| Err("no answer".to_owned()))
            } else {
                self.by_udp(at).await
            };
            all.push((is_tcp, at, answered));
        }
        let reaches = |tcp: bool| {
            all.iter()
                .any(|(is_tcp, _, ok)| *is_tcp == tcp && ok.is_ok())
        };
        let (has_udp, has_tcp) = (reaches(false), reaches(true));
        for (is_tcp, at, answered) in &all {
            let (check, over, has_another) = if *is_tcp {
                ("media TCP", "TCP", has_udp || has_tcp)
            } else {
                ("media UDP", "UDP", has_udp)
            };
            findings.push(match answered {
                Ok(seen) => Finding::ok(check, format!("{at} answers; it sees this machine as {seen}")),
                Err(why) if has_another => Finding::warn(
                    check,
                    format!("{at} is not reached: {why}"),
                    "another address is: right if this one is for another network",
                ),
                Err(why) => Finding::fail(
                    check,
                    format!("{at} is not reached: {why}"),
                    format!(
                        "let {over} port {} through, at the server's firewall and at this network; and is it the \
                         server's address (calls.advertise)?",
                        at.port()
                    ),
                ),
            });
        }
        findings
    }

    async fn by_udp(&self, to: SocketAddr) -> Result<SocketAddr, String> {
        let any: SocketAddr = if to.is_ipv4() {
            ([0, 0, 0, 0], 0).into()
        } else {
            (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let said = |error: std::io::Error| error.to_string();
        let socket = UdpSocket::bind(any).await.map_err(said)?;
        socket.connect(to).await.map_err(said)?;
        let mut why = "no answer".to_owned();
        for attempt in 0..TRIES {
            let (transaction, request) = self.request(attempt);
            if let Err(error) = socket.send(&request).await {
                why = error.to_string();
            }
            let mut bytes = [0; 1_500];
            match tokio::time::timeout(TRY, socket.recv(&mut bytes)).await {
                Ok(Ok(len)) => {
                    let answer = bytes.get(..len).unwrap_or_default();
                    if let Some(seen) = self.read(answer, transaction) {
                        return Ok(seen);
                    }
                    "something else answers".clone_into(&mut why);
                }
                Ok(Err(error)) => why = error.to_string(),
                Err(_) => {}
            }
        }
        Err(why)
    }

    async fn by_tcp(&self, to: SocketAddr) -> Result<SocketAddr, String> {
        let said = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(to).await.map_err(said)?;
        let (transaction, request) = self.request(0);
        let mut frame = length_of(request.len()).to_vec();
        frame.extend(request);
        stream.write_all(&frame).await.map_err(said)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).await.map_err(said)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).await.map_err(said)?;
        let seen = self.read(&answer, transaction);
        seen.ok_or_else(|| "something else answers".to_owned())
    }

    fn request(&self, attempt: u8) -> (TransactionId, Vec<u8>) {
        let mut id = [0; 12];
        // Without randomness it could be foreseen, and nothing hangs on it: the answer is authenticated.
        let _ = getrandom::fill(&mut id);
        id[0] = attempt;
        let transaction = TransactionId(id);
        let username = format!("{}:doctor", self.ufrag);
        let request = BindingRequest {
            transaction,
            username: &username,
            priority: 1,
            role: Role::Controlling(1),
            use_candidate: false,
        };
        let mut bytes = Vec::new();
        write_request(&mut bytes, &request, &IntegrityKey::new(&self.password));
        (transaction, bytes)
    }

    /// How the server sees us, by an answer that is authentic.
    fn read(&self, answer: &[u8], transaction: TransactionId) -> Option<SocketAddr> {
        let message = Message::parse(answer).ok()?;
        let is_ours = message.class == Class::Success && message.transaction == transaction;
        let key = IntegrityKey::new(&self.password);
        (is_ours && message.check_integrity(&key).is_ok()).then_some(message.mapped?)
    }
}
