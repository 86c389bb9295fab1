//! Takes down what is seen of a peer's way in. Checks come a few a second, and media is not looked at.

use super::transport::Path;
use crate::control::trace::{Handshake, HandshakeFailure, JoinTrace, MAX_PAIRS, Pair, Protocol};
use crate::dtls::DtlsFailure;
use crate::net::socket::Local;
use std::net::SocketAddr;
use std::time::Instant;

/// Alerts by which a certificate is refused (RFC 5246, section 7.2.2): `bad_certificate` to `unknown_ca`, and what
/// browsers say to one that is not the answer's.
const CERTIFICATE_ALERTS: std::ops::RangeInclusive<u8> = 42..=48;

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered with success.
    Answered,
    /// Its integrity is wrong.
    Refused,
    /// Another error, or nothing.
    Other,
}

/// A path's checks.
struct Seen {
    path: Path,
    local: Option<SocketAddr>,
    checks: u32,
    answered: u32,
    refused: u32,
    is_nominated: bool,
    first: Instant,
    last: Instant,
}

/// What was seen so far.
#[derive(Default)]
pub(crate) struct Recorder {
    since: Option<Instant>,
    seen: Vec<Seen>,
    more_checks: u32,
    handshake: Handshake,
    was_connected: bool,
}

impl Recorder {
    /// The first offer was answered.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// A check came over a path.
    pub(crate) fn check(&mut self, now: Instant, path: Path, outcome: Outcome, nominates: bool) {
        let at = self.seen.iter().position(|seen| seen.path == path);
        if at.is_none() && !self.has_room(outcome) {
            self.more_checks = self.more_checks.saturating_add(1);
            return;
        }
        let at = at.unwrap_or_else(|| {
            self.seen.push(Seen {
                path,
                local: None,
                checks: 0,
                answered: 0,
                refused: 0,
                is_nominated: false,
                first: now,
                last: now,
            });
            self.seen.len() - 1
        });
        let Some(seen) = self.seen.get_mut(at) else {
            return;
        };
        seen.last = now;
        seen.checks = seen.checks.saturating_add(1);
        match outcome {
            Outcome::Answered => {
                seen.answered = seen.answered.saturating_add(1);
                seen.is_nominated |= nominates;
            }
            Outcome::Refused => seen.refused = seen.refused.saturating_add(1),
            Outcome::Other => {}
        }
    }

    /// Whether another path can be taken down. One that works takes the place of the last that does not.
    fn has_room(&mut self, outcome: Outcome) -> bool {
        if self.seen.len() < MAX_PAIRS {
            return true;
        }
        let is_idle = |seen: &Seen| seen.answered == 0;
        let idle = self.seen.iter().rposition(is_idle);
        let Some(idle) = idle.filter(|_| outcome == Outcome::Answered) else {
            return false;
        };
        let forgotten = self.seen.remove(idle);
        self.more_checks = self.more_checks.saturating_add(forgotten.checks);
        true
    }

    /// Our end of a path whose address is not known yet.
    pub(crate) fn unnamed(&mut self, path: Path) -> Option<&mut Option<SocketAddr>> {
        let mut seen = self.seen.iter_mut();
        let seen = seen.find(|seen| seen.path == path && seen.local.is_none())?;
        Some(&mut seen.local)
    }

    /// The client began DTLS.
    pub(crate) fn handshake_begun(&mut self) {
        if self.handshake == Handshake::Awaited {
            self.handshake = Handshake::Begun;
        }
    }

    /// There are keys.
    pub(crate) fn connected(&mut self) {
        self.handshake = Handshake::Done;
        self.was_connected = true;
    }

    /// DTLS was closed in order.
    pub(crate) fn closed(&mut self) {
        self.handshake = Handshake::Closed;
    }

    /// DTLS failed. Whose time is over before anything of it came has not failed in it: what came before says more.
    pub(crate) fn failed(&mut self, failure: &DtlsFailure) {
        if self.handshake == Handshake::Awaited && matches!(failure, DtlsFailure::TimedOut) {
            return;
        }
        self.handshake = Handshake::Failed(match failure {
            DtlsFailure::FingerprintMismatch => HandshakeFailure::FingerprintMismatch,
            DtlsFailure::NoCertificate => HandshakeFailure::NoCertificate,
            DtlsFailure::NoProfile => HandshakeFailure::NoProfile,
            DtlsFailure::TimedOut => HandshakeFailure::TimedOut,
            DtlsFailure::Refused(alert) if CERTIFICATE_ALERTS.contains(alert) => {
                HandshakeFailure::CertificateRefused(*alert)
            }
            DtlsFailure::Refused(alert) => HandshakeFailure::Refused(*alert),
            DtlsFailure::TooMuch | DtlsFailure::Handshake(_) => HandshakeFailure::Broken,
        });
    }

    /// All of it, for others.
    pub(crate) fn trace(&self, now: Instant) -> JoinTrace {
        let since = self.since.unwrap_or(now);
        let pair = |seen: &Seen| Pair {
            protocol: match seen.path.local {
                Local::Udp(_) => Protocol::Udp,
                Local::Tcp(_) => Protocol::Tcp,
            },
            local: seen.local,
            remote: seen.path.remote,
            checks: seen.checks,
            answered: seen.answered,
            refused: seen.refused,
            is_nominated: seen.is_nominated,
            first: seen.first.saturating_duration_since(since),
            last: seen.last.saturating_duration_since(since),
        };
        JoinTrace {
            is_answered: self.since.is_some(),
            waited: now.saturating_duration_since(since),
            pairs: self.seen.iter().map(pair).collect(),
            more_checks: self.more_checks,
            handshake: self.handshake,
            was_connected: self.was_connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::socket::LocalIndex;
    use std::time::Duration;

    fn path(port: u16) -> Path {
        Path {
            remote: SocketAddr::from(([192, 0, 2, 1], port)),
            local: Local::Udp(LocalIndex(0)),
        }
    }

    #[test]
    fn checks_are_counted_by_path_and_by_what_became_of_them() {
        let start = Instant::now();
        let mut recorder = Recorder::default();
        recorder.begin(start);
        let at = |s| start + Duration::from_secs(s);
        recorder.check(at(1), path(1), Outcome::Refused, true);
        recorder.check(at(2), path(2), Outcome::Answered, false);
        recorder.check(at(3), path(2), Outcome::Answered, true);
        let local = SocketAddr::from(([10, 0, 0, 5], 8080));
        *recorder.unnamed(path(2)).expect("it has no name yet") = Some(local);
        assert!(recorder.unnamed(path(2)).is_none());
        let trace = recorder.trace(at(4));
        assert!(trace.is_answered && trace.waited == Duration::from_secs(4));
        let [first, second] = &trace.pairs[..] else {
            panic!("{trace:?}");
        };
        assert_eq!((first.checks, first.refused, first.answered), (1, 1, 0));
        assert!(!first.is_nominated, "nobody nominates without the password");
        assert_eq!((second.checks, second.refused, second.answered), (2, 0, 2));
        assert!(second.is_nominated && second.local == Some(local));
        assert_eq!((second.first.as_secs(), second.last.as_secs()), (2, 3));
    }

    #[test]
    fn a_client_that_checks_from_everywhere_takes_no_more_room() {
        let start = Instant::now();
        let mut recorder = Recorder::default();
        for port in 1..=100 {
            recorder.check(start, path(port), Outcome::Answered, false);
        }
        let trace = recorder.trace(start);
        assert_eq!(trace.pairs.len(), MAX_PAIRS);
        assert_eq!(trace.more_checks, 84);
    }

    #[test]
    fn a_pair_that_works_is_seen_after_however_many_that_do_not() {
        let start = Instant::now();
        let mut recorder = Recorder::default();
        for port in 1..=100 {
            recorder.check(start, path(port), Outcome::Refused, false);
        }
        for port in 201..=202 {
            recorder.check(start, path(port), Outcome::Answered, true);
        }
        let trace = recorder.trace(start);
        assert_eq!(trace.pairs.len(), MAX_PAIRS);
        let works = trace.pairs.iter().filter(|pair| pair.answered == 1);
        assert_eq!(works.count(), 2);
        assert_eq!(trace.more_checks, 84 + 2);
    }

    #[test]
    fn a_handshake_of_which_nothing_came_is_awaited_whatever_its_timer_says() {
        let mut recorder = Recorder::default();
        recorder.failed(&DtlsFailure::TimedOut);
        assert_eq!(recorder.trace(Instant::now()).handshake, Handshake::Awaited);
        recorder.handshake_begun();
        recorder.failed(&DtlsFailure::TimedOut);
        let timed_out = Handshake::Failed(HandshakeFailure::TimedOut);
        assert_eq!(recorder.trace(Instant::now()).handshake, timed_out);
    }

    #[test]
    fn a_certificate_that_the_peer_refuses_is_told_from_other_ends() {
        let failed = |failure: DtlsFailure| {
            let mut recorder = Recorder::default();
            recorder.failed(&failure);
            recorder.trace(Instant::now()).handshake
        };
        let bad_certificate = Handshake::Failed(HandshakeFailure::CertificateRefused(42));
        assert_eq!(failed(DtlsFailure::Refused(42)), bad_certificate);
        let internal = Handshake::Failed(HandshakeFailure::Refused(80));
        assert_eq!(failed(DtlsFailure::Refused(80)), internal);
        let broken = Handshake::Failed(HandshakeFailure::Broken);
        assert_eq!(failed(DtlsFailure::TooMuch), broken);
    }
}
