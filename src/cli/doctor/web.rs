//! HTTP, TLS, the WebSocket upgrade and the clock, as a client has them.

use super::findings::Finding;
use super::site::{Answer, Ask, Site, roots, verify};
use kaiwa_common::limits::TOKEN_LEEWAY;
use rustls::CertificateError;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A certificate that ends so soon should have been renewed.
const RENEWED: Duration = Duration::from_secs(14 * 24 * 3600);

/// Clocks that differ by less than this agree, as far as a header in whole seconds tells.
const AGREED: Duration = Duration::from_secs(5);

/// What was found, and whether the server may be told secrets.
pub(super) struct Looked {
    pub(super) findings: Vec<Finding>,
    /// A Kaiwa server answers.
    pub(super) is_there: bool,
    /// Its certificate is good, or none is needed.
    pub(super) is_trusted: bool,
}

/// Looks at a site.
pub(super) async fn look(site: &Site, authorities: &[PathBuf]) -> Looked {
    let ask = Ask {
        line: "GET /api/v1/info",
        headers: "Accept: application/json\r\n",
        trusts: None,
        is_upgrade: false,
    };
    let (answer, shown) = match site.ask(ask).await {
        Ok(answered) => answered,
        Err(why) => {
            let text = format!("{} does not answer: {why}", site.url);
            let remedy =
                "is the server running, and does the port get through (a firewall, a proxy)?";
            return Looked {
                findings: vec![Finding::fail("HTTP", text, remedy)],
                is_there: false,
                is_trusted: false,
            };
        }
    };
    let (http, is_there) = http(site, &answer);
    let mut findings = vec![http];
    let mut is_trusted = true;
    if site.is_tls {
        let tls = certificate(&shown, &site.host, authorities);
        is_trusted = tls.status < super::findings::Status::Fail;
        findings.push(tls);
    }
    findings.extend(clock(answer.header("date"), SystemTime::now()));
    if is_there {
        findings.push(websocket(site).await);
    }
    Looked {
        findings,
        is_there,
        is_trusted,
    }
}

fn http(site: &Site, answer: &Answer) -> (Finding, bool) {
    let check = "HTTP";
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let version = body["version"]
        .as_str()
        .unwrap_or("?")
        .replace(char::is_control, "");
    if answer.status == 200 && body["name"] == "Kaiwa" {
        let text = format!("{} answers: Kaiwa {version}", site.url);
        return (Finding::ok(check, text), true);
    }
    if answer.status == 421 {
        let text = format!("{} is not known to the server by that name", site.url);
        let remedy = format!("add \"{}\" to http.hosts", site.host);
        return (Finding::fail(check, text, remedy), false);
    }
    let text = format!("{} answers {} and is no Kaiwa", site.url, answer.status);
    let remedy = "something else has the port, or a proxy leads elsewhere";
    (Finding::fail(check, text, remedy), false)
}

/// A certificate for a name: when it ends, whether it is for the name, whose word it is.
pub(super) fn certificate(
    shown: &[CertificateDer<'_>],
    name: &str,
    authorities: &[PathBuf],
) -> Finding {
    let check = "TLS";
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let judged = |at: Duration| {
        let roots = roots(authorities).map_err(|e| rustls::Error::General(format!("{e:#}")))?;
        verify(roots, shown, name, UnixTime::since_unix_epoch(at))
    };
    match judged(since) {
        Ok(()) if judged(since + RENEWED).is_ok() => {
            Finding::ok(check, format!("the certificate is good for {name}"))
        }
        Ok(()) => Finding::warn(
            check,
            format!("the certificate for {name} ends within 14 days"),
            "renew it: the files are read again when they change",
        ),
        Err(error) => {
            let (what, remedy) = reason(&error);
            Finding::fail(check, format!("the certificate for {name} {what}"), remedy)
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a foreign enum that grows: whatever else it says, the certificate can't be used"
)]
fn reason(error: &rustls::Error) -> (String, &'static str) {
    let rustls::Error::InvalidCertificate(cause) = error else {
        return (format!("can't be used: {error}"), "give another one");
    };
    let (what, remedy) = match cause {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "has ended",
            "renew it: the files are read again when they change",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("has not begun", "compare the clock, or wait")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            "is for another name",
            "get one for this name, or reach the server by the certificate's",
        ),
        CertificateError::UnknownIssuer => (
            "is signed by somebody unknown",
            "put the intermediates behind it in the file, or trust its issuer with --ca",
        ),
        _ => return (format!("can't be used: {error}"), "get another one"),
    };
    (what.to_owned(), remedy)
}

/// Whether our clock and the server's agree, from its `Date`.
pub(super) fn clock(date: Option<&str>, now: SystemTime) -> Option<Finding> {
    let theirs = httpdate(date?)?;
    let ours = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(skew(ours.abs_diff(theirs), ours > theirs, "the server's"))
}

/// What a difference of clocks means.
pub(super) fn skew(by: Duration, is_ahead: bool, whose: &str) -> Finding {
    let check = "clock";
    let way = if is_ahead { "ahead of" } else { "behind" };
    let text = format!("this machine's is {} s {way} {whose}", by.as_secs());
    if by <= AGREED {
        Finding::ok(check, format!("this machine's and {whose} agree"))
    } else if by <= TOKEN_LEEWAY {
        Finding::warn(check, text, "have both follow NTP: tokens allow 30 s")
    } else {
        let remedy = "set the wrong one, and have both follow NTP: tokens that begin more than 30 s from now are refused";
        Finding::fail(check, text, remedy)
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7), since 1970.
fn httpdate(text: &str) -> Option<Duration> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut time = words
        .next()?
        .split(':')
        .map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let is_real = (1970..=9999).contains(&year)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !is_real {
        return None;
    }
    // Days of the civil calendar, with years that begin in March.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(Duration::from_secs(
        ((days * 24 + hour) * 60 + minute) * 60 + second,
    ))
}

/// A real handshake: some proxies answer HTTP and drop the upgrade.
async fn websocket(site: &Site) -> Finding {
    let check = "WebSocket";
    let ask = Ask {
        line: "GET /ws",
        headers: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: kaiwa.v1+json\r\n",
        trusts: None,
        is_upgrade: true,
    };
    let remedy = "a proxy in between has to pass Upgrade and Connection on (nginx: proxy_http_version 1.1 and both \
                  headers)";
    match site.ask(ask).await {
        Ok((answer, _)) if answer.status == 101 => {
            // RFC 6455, section 1.3: the answer to that key.
            let is_right =
                answer.header("sec-websocket-accept") == Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            if is_right {
                Finding::ok(check, "the upgrade gets through")
            } else {
                Finding::fail(
                    check,
                    "something else than the server answers the upgrade",
                    remedy,
                )
            }
        }
        Ok((answer, _)) => Finding::fail(
            check,
            format!("the upgrade is answered {}", answer.status),
            remedy,
        ),
        Err(why) => Finding::fail(check, format!("the upgrade is not answered: {why}"), remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings::Status;
    use super::*;

    #[test]
    fn dates_of_http_are_read() {
        let at = |text| httpdate(text).map(|at| at.as_secs());
        assert_eq!(at("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(at("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(at("Thu, 29 Feb 2024 12:00:00 GMT"), Some(1_709_208_000));
        for wrong in [
            "",
            "yesterday",
            "Sun, 06 Nov",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 00 Mar 0000 00:00:00 GMT",
            "Sun, 06 Jan 0 08:49:37 GMT",
            "Sun, 06 Nov 18446744073709551615 08:49:37 GMT",
            "Sun, 06 Nov 1994 18446744073709551615:49:37 GMT",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_clock_that_is_off_is_told_by_how_much_and_which_way() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        let judged = |seconds| clock(date, at(seconds)).expect("a finding");
        assert_eq!(judged(784_111_779).status, Status::Ok);
        assert_eq!(judged(784_111_797).status, Status::Warn);
        let off = judged(784_111_077);
        assert_eq!(off.status, Status::Fail);
        assert!(off.text.contains("700 s behind"), "{}", off.text);
        assert!(clock(None, at(0)).is_none());
    }
}
