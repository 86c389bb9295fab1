//! Failed joins and their causes as JSON has them: member names in camelCase, times in Unix ms.

use crate::call::causes::Cause as Named;
use crate::call::failures::{self, ClientPair as ReportedPair, SeenPair};
use crate::call::wire::participant;
use kaiwa_common::limits::{CALL_REPORT_PAIRS, CALL_REPORT_WORD_BYTES};
use kaiwa_common::time::UnixMs;
use kaiwa_sfu::control::trace::{self, Told};
use serde::{Deserialize, Serialize};

/// What a client sends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub struct Report {
    participant: Option<String>,
    client_ms: Option<i64>,
    ice_state: String,
    dtls_state: String,
    pairs: Vec<ClientPair>,
}

/// A pair as a client reports it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientPair {
    protocol: String,
    local_type: String,
    local: Option<String>,
    remote_type: String,
    remote: String,
    state: String,
    sent: u64,
    received: u64,
}

/// What is answered.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// What is wrong; `null` when nothing is, by what was seen here.
    pub cause: Option<Cause>,
}

/// What a refused token is answered.
#[derive(Debug, Serialize)]
pub(super) struct Unauthorized<'a> {
    pub(super) error: ErrorBody<'a>,
    pub(super) cause: Option<Cause>,
}

#[derive(Debug, Serialize)]
pub(super) struct ErrorBody<'a> {
    pub(super) code: u32,
    pub(super) reason: &'static str,
    pub(super) message: &'a str,
}

/// Where media is received, and with what a check there is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Probe {
    now_ms: i64,
    ufrag: String,
    password: String,
    candidates: Vec<String>,
}

impl Probe {
    pub(super) fn new(probe: &trace::Probe, told: &[Told], now: UnixMs) -> Self {
        Self {
            now_ms: now.0,
            ufrag: probe.ufrag.clone(),
            password: probe.password.clone(),
            candidates: told.iter().map(candidate).collect(),
        }
    }
}

fn candidate(told: &Told) -> String {
    format!("{} {}", told.protocol.as_str(), told.address)
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    kind: &'static str,
    text: String,
    remedy: String,
}

/// A pair as the SFU has seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    protocol: &'static str,
    local: Option<String>,
    remote: Option<String>,
    checks: u32,
    answered: u32,
    refused: u32,
    nominated: bool,
    first_ms: i64,
    last_ms: i64,
}

/// A join that failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    ms: i64,
    room: Option<String>,
    user: Option<String>,
    participant: Option<String>,
    way: &'static str,
    stage: &'static str,
    cause: Cause,
    pairs: Vec<Pair>,
    client_pairs: Vec<ClientPair>,
    candidates: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

impl Failure {
    /// Clients were told these addresses. Those of the person's media are shown to whoever may see them.
    #[must_use]
    pub fn new(failure: &failures::Failure, told: &[Told], shows_addresses: bool) -> Self {
        Self {
            ms: failure.at.0,
            room: failure.room.as_ref().map(ToString::to_string),
            user: failure.user.as_ref().map(ToString::to_string),
            participant: failure.participant.as_ref().map(ToString::to_string),
            way: failure.whence.way.as_str(),
            stage: failure.stage.as_str(),
            cause: (&failure.cause).into(),
            pairs: pairs(&failure.pairs, shows_addresses),
            client_pairs: client_pairs(&failure.client_pairs, shows_addresses),
            candidates: told.iter().map(candidate).collect(),
            user_agent: failure.whence.agent.as_deref().map(str::to_owned),
        }
    }
}

impl From<&Named> for Cause {
    fn from(cause: &Named) -> Self {
        Self {
            kind: cause.kind.as_str(),
            text: cause.text.clone(),
            remedy: cause.remedy.clone(),
        }
    }
}

/// Pairs for others: without the person's address unless it may be seen.
pub(in crate::edge) fn pairs(seen: &[SeenPair], shows_addresses: bool) -> Vec<Pair> {
    let shown = |pair: Pair| Pair {
        local: pair.local.filter(|_| shows_addresses),
        remote: pair.remote.filter(|_| shows_addresses),
        ..pair
    };
    seen.iter().map(Into::into).map(shown).collect()
}

fn client_pairs(reported: &[ReportedPair], shows_addresses: bool) -> Vec<ClientPair> {
    let shown = |pair: ClientPair| ClientPair {
        local: pair.local.filter(|_| shows_addresses),
        ..pair
    };
    reported.iter().map(Into::into).map(shown).collect()
}

impl From<&SeenPair> for Pair {
    fn from(seen: &SeenPair) -> Self {
        let pair = &seen.pair;
        Self {
            protocol: pair.protocol.as_str(),
            local: pair.local.map(|local| local.to_string()),
            remote: Some(pair.remote.to_string()),
            checks: pair.checks,
            answered: pair.answered,
            refused: pair.refused,
            nominated: pair.is_nominated,
            first_ms: seen.first.0,
            last_ms: seen.last.0,
        }
    }
}

impl From<&ReportedPair> for ClientPair {
    fn from(pair: &ReportedPair) -> Self {
        Self {
            protocol: pair.protocol.clone(),
            local_type: pair.local_type.clone(),
            local: Some(pair.local.clone()),
            remote_type: pair.remote_type.clone(),
            remote: pair.remote.clone(),
            state: pair.state.clone(),
            sent: pair.sent,
            received: pair.received,
        }
    }
}

/// A field that can't be taken, and what may stand there.
type Wrong = (&'static str, String);

impl TryFrom<Report> for failures::Report {
    type Error = Wrong;

    fn try_from(report: Report) -> Result<Self, Wrong> {
        let named = report.participant.as_deref().filter(|id| !id.is_empty());
        let id = |text: &str| participant(text).ok_or(("participant", "`p_…`".to_owned()));
        if report.pairs.len() > CALL_REPORT_PAIRS {
            return Err(("pairs", format!("at most {CALL_REPORT_PAIRS}")));
        }
        let ice_state = word("iceState", report.ice_state)?;
        word("dtlsState", report.dtls_state)?;
        Ok(Self {
            participant: named.map(id).transpose()?,
            clock: report.client_ms.map(UnixMs),
            is_ice_connected: matches!(ice_state.as_str(), "connected" | "completed"),
            has_ice_failed: ice_state == "failed",
            pairs: report
                .pairs
                .into_iter()
                .map(pair)
                .collect::<Result<_, _>>()?,
        })
    }
}

fn pair(pair: ClientPair) -> Result<ReportedPair, Wrong> {
    Ok(ReportedPair {
        protocol: word("protocol", pair.protocol)?,
        local_type: word("localType", pair.local_type)?,
        local: word("local", pair.local.unwrap_or_default())?,
        remote_type: word("remoteType", pair.remote_type)?,
        remote: word("remote", pair.remote)?,
        state: word("state", pair.state)?,
        sent: pair.sent,
        received: pair.received,
    })
}

fn word(field: &'static str, text: String) -> Result<String, Wrong> {
    if text.len() <= CALL_REPORT_WORD_BYTES && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text);
    }
    let rule = format!("at most {CALL_REPORT_WORD_BYTES} ASCII characters without spaces");
    Err((field, rule))
}
