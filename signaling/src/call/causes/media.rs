//! Why media does not come up, from what the SFU has seen of it.

use super::{Cause, Hint, Kind, list, server, tells};
use crate::call::whence::{Origin, is_public};
use kaiwa_sfu::control::GoneReason;
use kaiwa_sfu::control::trace::{Handshake, HandshakeFailure, JoinTrace, Protocol, Told};
use std::net::IpAddr;
use std::time::Duration;

/// From an answer to its first keys, for whoever can connect at all. Who leaves before that says nothing about the
/// network.
const EARLY: Duration = Duration::from_secs(5);

/// From an answer to the first check, for whoever can connect at all: before that, that nothing came says nothing.
const FIRST_CHECK: Duration = Duration::from_secs(1);

/// After so long in the call by TCP, checks by UDP would have come: clients begin with those.
const UDP_BY_THEN: Duration = Duration::from_secs(2);

pub(super) fn of_media(
    trace: &JoinTrace,
    end: Option<GoneReason>,
    origin: Origin,
    told: &[Told],
    hint: Hint,
) -> Option<Cause> {
    if end == Some(GoneReason::Fault) {
        return Some(server("the call ended by a fault of this server"));
    }
    if trace.was_connected {
        return was_connected(trace, end, told);
    }
    let is_answered = trace.is_reached();
    // A handshake that nobody could begin runs out of time as well.
    let ran_out = trace.handshake == Handshake::Failed(HandshakeFailure::TimedOut);
    if let Handshake::Failed(failure) = trace.handshake
        && (is_answered || !ran_out)
    {
        return Some(handshake(failure));
    }
    if end == Some(GoneReason::Left) && trace.waited < EARLY {
        let text = "they left before media was there, within 5 s";
        let remedy = "nothing, unless they were sent away: they may join again";
        return Some(Cause::new(Kind::LeftEarly, text, remedy));
    }
    if !trace.is_answered {
        let text = "they joined and never described their media";
        let remedy = "look into the client: it offers after the reply to its join";
        return Some(Cause::new(Kind::BadOffer, text, remedy));
    }
    if trace.pairs.is_empty() {
        let is_early = end.is_none() && !hint.has_ice_failed && trace.waited < FIRST_CHECK;
        return (!is_early).then(|| nothing_came(origin, told));
    }
    if !is_answered && trace.pairs.iter().any(|pair| pair.refused > 0) {
        return Some(credentials(trace));
    }
    Some(half_open(trace, hint))
}

fn was_connected(trace: &JoinTrace, end: Option<GoneReason>, told: &[Told]) -> Option<Cause> {
    match end {
        Some(GoneReason::TimedOut) => Some(Cause::new(
            Kind::ConsentLost,
            "media was there, and then nothing was heard of them any more",
            "their network went away or changed: joining again is enough when it is back",
        )),
        Some(_) => None,
        None => by_tcp_alone(trace, told),
    }
}

/// In the call by TCP because UDP does not get through.
pub(super) fn by_tcp_alone(trace: &JoinTrace, told: &[Told]) -> Option<Cause> {
    let is_so = trace.was_connected
        && trace.waited >= UDP_BY_THEN
        && tells(told, Protocol::Udp)
        && trace.has_answered(Protocol::Tcp)
        && !trace.has_checks(Protocol::Udp);
    is_so.then(|| {
        let udp = told.iter().filter(|told| told.protocol == Protocol::Udp);
        let udp: Vec<Told> = udp.copied().collect();
        Cause::new(
            Kind::UdpBlocked,
            format!("media goes by TCP: nothing came by UDP to {}", list(&udp)),
            "let UDP through to that port, at the server's firewall or at the person's network; sound and pictures \
             stall less by UDP",
        )
    })
}

fn nothing_came(origin: Origin, told: &[Told]) -> Cause {
    let Some(addresses) = (!told.is_empty()).then(|| list(told)) else {
        return server("this server has no address for media");
    };
    let remedy = "set calls.advertise (--advertise) to the addresses at which people reach this server; \
                  `kaiwa doctor` lists what is told now";
    let wrong = |why: String| Cause::new(Kind::WrongAddress, why, remedy);
    if let Some(reached) = origin
        .reached
        .filter(|reached| is_elsewhere(*reached, origin.is_named, told))
    {
        return wrong(format!(
            "nothing came to {addresses}, which the person was told, while they reach this server at {reached}"
        ));
    }
    let client_is_away = |is_near: fn(IpAddr) -> bool| {
        let away = origin.client.is_some_and(|client| !is_near(client));
        away && told.iter().all(|told| is_near(told.address.ip()))
    };
    if client_is_away(|ip| ip.is_loopback()) {
        return wrong(format!(
            "nothing came to {addresses}: nobody but this machine reaches that"
        ));
    }
    if client_is_away(|ip| !is_public(ip)) {
        return wrong(format!(
            "nothing came to {addresses}: private addresses, which the person can't reach from the internet"
        ));
    }
    let ways = match (tells(told, Protocol::Udp), tells(told, Protocol::Tcp)) {
        (true, true) => "UDP and TCP",
        (true, false) => "UDP",
        (false, _) => "TCP",
    };
    Cause::new(
        Kind::MediaBlocked,
        format!("nothing came to {addresses} by {ways}: it is blocked on the way"),
        format!(
            "let {ways} through to these ports, at the server's firewall and at the person's network; \
             `kaiwa doctor --url` there shows how far it gets"
        ),
    )
}

/// Whether somebody reaches us at an address that is not told, while others of its family are.
fn is_elsewhere(reached: IpAddr, is_named: bool, told: &[Told]) -> bool {
    let mut family = told
        .iter()
        .filter(|told| told.address.is_ipv4() == reached.is_ipv4())
        .peekable();
    if family.peek().is_none() {
        return false;
    }
    family.all(|told| {
        let ip = told.address.ip();
        // Who is at this machine reaches all of its addresses.
        let is_near = reached.is_loopback() && told.is_bound;
        // What an operator names for a container or a private network behind NAT is not what connections come to.
        let is_inner = !is_public(reached) && !reached.is_loopback();
        let is_behind = !is_named && !told.is_bound && is_inner && !is_public(ip);
        ip != reached && !is_near && !is_behind
    })
}

fn credentials(trace: &JoinTrace) -> Cause {
    let refused: u32 = trace.pairs.iter().map(|pair| pair.refused).sum();
    Cause::new(
        Kind::IceCredentials,
        format!("{refused} checks came, and none with the password of the answer"),
        "the client uses another answer than its own: look for a proxy that caches or mixes up answers, or join again",
    )
}

fn handshake(failure: HandshakeFailure) -> Cause {
    let mismatch = |text: &str| {
        Cause::new(
            Kind::FingerprintMismatch,
            text,
            "somebody is between the client and this server, or a proxy changes descriptions: look for what \
             rewrites them, and join from another network",
        )
    };
    let other = |text: String| {
        let remedy = "try another browser or client; report it with both versions if it stays so";
        Cause::new(Kind::HandshakeFailed, text, remedy)
    };
    match failure {
        HandshakeFailure::FingerprintMismatch => {
            mismatch("the certificate that came over media is not the one of the offer")
        }
        HandshakeFailure::CertificateRefused(alert) => mismatch(&format!(
            "the client refuses the certificate of this server as not the one of the answer (DTLS alert {alert})"
        )),
        HandshakeFailure::NoCertificate => {
            other("DTLS: the client shows no certificate".to_owned())
        }
        HandshakeFailure::NoProfile => other(
            "DTLS: no SRTP profile in common (AES-128-GCM or AES-128-CM with SHA1-80)".to_owned(),
        ),
        HandshakeFailure::TimedOut => other(
            "DTLS began and did not come to its end in time: large packets may be lost on the way"
                .to_owned(),
        ),
        HandshakeFailure::Refused(alert) => {
            other(format!("DTLS: the client gave up with alert {alert}"))
        }
        HandshakeFailure::Broken => other("DTLS: the client broke its rules".to_owned()),
    }
}

/// Checks came and were answered, and then there was no end to it.
fn half_open(trace: &JoinTrace, hint: Hint) -> Cause {
    let began = trace.handshake != Handshake::Awaited;
    if began || hint.is_ice_connected {
        let text = if began {
            "the path works, and DTLS began and did not come to its end: large packets may be lost on the way"
        } else {
            "the path works by the client's word, and its DTLS never came"
        };
        let remedy =
            "look at the path's MTU, and for a firewall that lets STUN through and DTLS not";
        return Cause::new(Kind::HandshakeFailed, text, remedy);
    }
    Cause::new(
        Kind::MediaBlocked,
        format!(
            "checks come from them ({} ways), and nothing that shows that the answers get there",
            trace.pairs.len()
        ),
        "let what leaves this server's media ports through, at its firewall and at the person's network",
    )
}
