//! From where a request comes, for whoever asks why its call fails.

use super::address::Peer;
use super::guard::{Ends, host};
use crate::call::whence::{Origin, Request, Way, Whence};
use axum::http::{Extensions, HeaderMap, header};

/// What of a request says it.
pub(super) fn whence(way: Way, peer: Peer, noted: &Extensions, headers: &HeaderMap) -> Whence {
    let local = noted.get::<Ends>().map(|ends| ends.local.ip());
    let named = host(headers);
    let origin = local.map(|local| {
        Origin::of(Request {
            client: peer.client,
            local,
            host: named.as_ref().map_or("", |host| host.host()),
            is_forwarded: peer.is_forwarded,
        })
    });
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    Whence {
        way,
        origin: origin.unwrap_or_default(),
        agent: agent.and_then(Whence::agent),
    }
}
