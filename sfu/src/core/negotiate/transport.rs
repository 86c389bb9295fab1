//! The one transport of a bundle: ICE credentials and certificates of both sides.

use super::lines::{Decided, Scene};
use super::{Line, NegotiateError, Rejection};
use crate::unit::Mid;
use crate::wire::sdp::{
    Candidate, Description, Fingerprint, Hash, Password, Setup, TransportAttributes, Ufrag,
};

/// What one side proves itself with in ICE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// Its user name fragment.
    pub ufrag: Ufrag,
    /// Its password.
    pub password: Password,
}

/// The server's side of the transport.
#[derive(Debug, Clone)]
pub struct LocalParameters {
    /// New for each offer. They come into force with the first one and with an ICE restart;
    /// otherwise the ones before stay.
    pub fresh: IceCredentials,
    /// Of the server's certificate.
    pub fingerprint: Fingerprint,
    /// All of the server's candidates, the most preferred first.
    pub candidates: Vec<Candidate>,
}

impl LocalParameters {
    /// For fuzzing and tests.
    pub(crate) fn sample() -> Self {
        let address = "192.0.2.1:7000".parse().expect("an address");
        Self {
            fresh: IceCredentials {
                ufrag: Ufrag::parse("serv").expect("four letters"),
                password: Password::parse("serverserverserverserver").expect("24 letters"),
            },
            fingerprint: Fingerprint::new(Hash::Sha256, &[7; 32]).expect("32 bytes"),
            candidates: vec![Candidate::host(address, 65_535)],
        }
    }
}

/// The client's side of the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// What its checks are proven with.
    pub credentials: IceCredentials,
    /// Of its certificate: it has to match all that are given by one hash, or one of them (RFC 8122,
    /// section 5). Not empty.
    pub fingerprints: Vec<Fingerprint>,
}

/// Who opens DTLS, as the client has it by `setup` (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtlsRole {
    /// The client, to whom the server is `passive`: whoever can be `active`, as browsers can.
    Server,
    /// The server, `active`: the client offers to be `passive` alone, as FFmpeg's WHIP muxer does.
    Client,
}

impl DtlsRole {
    /// What the answer says.
    pub(super) fn setup(self) -> Setup {
        match self {
            Self::Server => Setup::Passive,
            Self::Client => Setup::Active,
        }
    }
}

/// What an offer means for the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportChange {
    /// It is the first one.
    New,
    /// Everything stays.
    Kept,
    /// An ICE restart (RFC 8445, section 9): both sides have new credentials. DTLS goes on.
    Restarted,
}

/// What both sides agreed on.
#[derive(Debug, Clone)]
pub(super) struct Agreed {
    pub(super) local: IceCredentials,
    pub(super) remote: Remote,
    /// The server's, for as long as the transport lasts.
    pub(super) role: DtlsRole,
}

/// Checks that all m-lines share one transport, and what it is. Also gives the index of the m-line that
/// stands for it, the first accepted one of the group (RFC 9143, section 7.3.2).
pub(super) fn agree(
    scene: &Scene<'_>,
    decided: &[Decided],
    local: &LocalParameters,
    before: &Option<Agreed>,
) -> Result<(usize, Agreed, TransportChange), NegotiateError> {
    let offer = scene.offer;
    if offer.is_ice_lite {
        return Err(NegotiateError::BothLite);
    }
    let tag = check_bundle(offer, decided)?;
    let media = &offer.media[tag].transport;
    let remote = remote(media, &offer.transport)?;
    let was = before.as_ref().map(|before| before.role);
    let role = role(media.setup.or(offer.transport.setup), was)?;
    let change = match before {
        None => TransportChange::New,
        Some(before) => compare(&before.remote, &remote)?,
    };
    let local = match (before, change) {
        (Some(before), TransportChange::Kept) => before.local.clone(),
        _ => local.fresh.clone(),
    };
    let agreed = Agreed {
        local,
        remote,
        role,
    };
    Ok((tag, agreed, change))
}

/// The server's part of DTLS. Once the transport is there it stays: a change of it would need another one (RFC 8842,
/// section 5.5).
fn role(setup: Option<Setup>, was: Option<DtlsRole>) -> Result<DtlsRole, NegotiateError> {
    let role = match (setup, was) {
        (Some(Setup::Actpass), was) => was.unwrap_or(DtlsRole::Server),
        (Some(Setup::Active), _) => DtlsRole::Server,
        (Some(Setup::Passive), _) => DtlsRole::Client,
        (Some(Setup::Holdconn) | None, _) => return Err(NegotiateError::WrongSetup),
    };
    if was.is_some_and(|was| was != role) {
        return Err(NegotiateError::SetupChanged);
    }
    Ok(role)
}

fn check_bundle(offer: &Description, decided: &[Decided]) -> Result<usize, NegotiateError> {
    let mut accepted = decided.iter().filter(|one| !one.mline.line.is_rejected());
    let has_any = accepted.clone().next().is_some();
    if !has_any {
        let lacks_codec =
            |one: &Decided| one.mline.line == Line::Rejected(Rejection::NoCommonCodec);
        return Err(if decided.iter().any(lacks_codec) {
            NegotiateError::NoCommonCodec
        } else {
            NegotiateError::NothingAccepted
        });
    }
    let [group] = offer.bundles.as_slice() else {
        return Err(NegotiateError::BundleCount(offer.bundles.len()));
    };
    let unknown = |mid: &&Mid| offer.by_mid(**mid).is_none();
    if let Some(&mid) = group.iter().find(unknown) {
        return Err(NegotiateError::UnknownInBundle(mid));
    }
    for one in accepted.clone() {
        let index = one.mline.index;
        let mid = one.mline.mid.ok_or(NegotiateError::NoMid { index })?;
        if !group.contains(&mid) {
            return Err(NegotiateError::NotInBundle(mid));
        }
        if !offer.media[index].has_rtcp_mux {
            return Err(NegotiateError::NoRtcpMux(mid));
        }
    }
    let place = |one: &&Decided| group.iter().position(|&mid| one.mline.mid == Some(mid));
    let first = accepted.by_ref().min_by_key(place);
    Ok(first.map_or(0, |one| one.mline.index))
}

/// What the m-line says, or the session for all of them.
fn remote(
    media: &TransportAttributes,
    session: &TransportAttributes,
) -> Result<Remote, NegotiateError> {
    let ufrag = media.ufrag.as_ref().or(session.ufrag.as_ref());
    let password = media.password.as_ref().or(session.password.as_ref());
    let Some((ufrag, password)) = ufrag.zip(password) else {
        return Err(NegotiateError::NoCredentials);
    };
    let fingerprints = match media.fingerprints.as_slice() {
        [] => &session.fingerprints,
        _ => &media.fingerprints,
    };
    if fingerprints.is_empty() {
        return Err(NegotiateError::NoFingerprint);
    }
    Ok(Remote {
        credentials: IceCredentials {
            ufrag: ufrag.clone(),
            password: password.clone(),
        },
        fingerprints: fingerprints.clone(),
    })
}

fn compare(was: &Remote, is: &Remote) -> Result<TransportChange, NegotiateError> {
    let has_all = |one: &Remote, other: &Remote| {
        let mut of = one.fingerprints.iter();
        of.all(|fingerprint| other.fingerprints.contains(fingerprint))
    };
    if !has_all(was, is) || !has_all(is, was) {
        return Err(NegotiateError::FingerprintChanged);
    }
    let ufrag = was.credentials.ufrag != is.credentials.ufrag;
    let password = was.credentials.password != is.credentials.password;
    match (ufrag, password) {
        (false, false) => Ok(TransportChange::Kept),
        (true, true) => Ok(TransportChange::Restarted),
        _ => Err(NegotiateError::HalfRestart),
    }
}
