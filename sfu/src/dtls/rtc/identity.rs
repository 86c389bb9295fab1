//! Our certificate, and what an endpoint is told to insist on.

use crate::dtls::HANDSHAKE_TIMEOUT;
use crate::srtp::Profile;
use crate::wire::sdp::{Fingerprint, Hash};
use ring::digest::{SHA256, SHA384, SHA512, digest};
use rtc_dtls::cipher_suite::CipherSuiteId;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::{RTCCryptoProvider, default_provider};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::error::Error as RtcError;
use std::sync::Arc;
use thiserror::Error;

/// The name in our certificate. Nobody looks at it.
const NAME: &str = "kaiwa";

/// Why there is no certificate or configuration: the process cannot take calls.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no DTLS identity: {0}")]
pub struct IdentityError(pub(super) String);

impl From<RtcError> for IdentityError {
    fn from(error: RtcError) -> Self {
        Self(error.to_string())
    }
}

/// A self-signed certificate and its key, ECDSA P-256 (RFC 8827, section 6.5). One serves a process
/// for its life; a clone is cheap.
#[derive(Clone)]
pub struct Identity {
    provider: Arc<dyn RTCCryptoProvider>,
    certificate: Option<Arc<Certificate>>,
    fingerprint: Fingerprint,
}

impl Identity {
    /// Makes a new one.
    ///
    /// # Errors
    /// [`IdentityError`] when the system has no randomness.
    pub fn generate() -> Result<Self, IdentityError> {
        let provider = default_provider().map_err(|error| IdentityError(error.to_string()))?;
        let certificate =
            Certificate::generate_self_signed(vec![NAME.to_owned()], provider.crypto())?;
        let der = certificate.certificate.first();
        let der = der.ok_or_else(|| IdentityError("no certificate".to_owned()))?;
        Ok(Self {
            provider,
            fingerprint: fingerprint_of(Hash::Sha256, der),
            certificate: Some(Arc::new(certificate)),
        })
    }

    /// What the answer names it with: SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(super) fn provider(&self) -> Arc<dyn RTCCryptoProvider> {
        self.provider.clone()
    }

    #[cfg(test)]
    pub(in crate::dtls) fn certificate_der(&self) -> Vec<u8> {
        let certificate = self.certificate.iter().flat_map(|one| &one.certificate);
        certificate.flat_map(|der| der.to_vec()).collect()
    }

    /// One that shows nothing to whom it speaks.
    #[cfg(test)]
    pub(in crate::dtls) fn without_certificate(&self) -> Self {
        Self {
            certificate: None,
            ..self.clone()
        }
    }

    pub(super) fn server_config(
        &self,
        fingerprints: &[Fingerprint],
        profile: Profile,
    ) -> Result<Arc<HandshakeConfig>, IdentityError> {
        let builder = self
            .builder(fingerprints, &[profile])
            .with_client_auth(ClientAuthType::RequireAnyClientCert);
        Ok(Arc::new(builder.build(false, None)?))
    }

    pub(super) fn client_config(
        &self,
        fingerprints: &[Fingerprint],
        profiles: &[Profile],
    ) -> Result<Arc<HandshakeConfig>, IdentityError> {
        let builder = self
            .builder(fingerprints, profiles)
            .with_server_name(NAME.to_owned());
        Ok(Arc::new(builder.build(true, None)?))
    }

    /// The extended master secret is required: it binds the keys to the whole hello, so that nobody in
    /// between can take GCM out of a client's list (RFC 7627). The endpoint's own timer is out of the
    /// way: sending again is ours.
    fn builder(&self, fingerprints: &[Fingerprint], profiles: &[Profile]) -> ConfigBuilder {
        let accepted = fingerprints.to_vec();
        let verify = move |chain: &[Vec<u8>], _: &[_]| check_certificate(chain, &accepted);
        let profiles = profiles.iter().map(|profile| match profile {
            Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            Profile::Aes128CmHmacSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        });
        ConfigBuilder::default()
            .with_crypto_provider(self.provider.clone())
            .with_certificates(self.certificate.as_deref().cloned().into_iter().collect())
            .with_cipher_suites(vec![
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
                CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
            ])
            .with_srtp_protection_profiles(profiles.collect())
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_insecure_skip_verify(true)
            .with_verify_peer_certificate(Some(Arc::new(verify)))
            .with_flight_interval(HANDSHAKE_TIMEOUT * 2)
    }
}

/// Whether the chain's first certificate, the peer's own, is one that the offer names.
pub(super) fn check_certificate(
    chain: &[Vec<u8>],
    accepted: &[Fingerprint],
) -> Result<(), RtcError> {
    let Some(certificate) = chain.first() else {
        return Err(RtcError::ErrClientCertificateRequired);
    };
    if accepted
        .iter()
        .any(|one| *one == fingerprint_of(one.hash(), certificate))
    {
        Ok(())
    } else {
        Err(RtcError::ErrFingerprintMismatch)
    }
}

/// The fingerprint of a certificate in DER (RFC 8122, section 5).
pub(in crate::dtls) fn fingerprint_of(hash: Hash, certificate: &[u8]) -> Fingerprint {
    let algorithm = match hash {
        Hash::Sha256 => &SHA256,
        Hash::Sha384 => &SHA384,
        Hash::Sha512 => &SHA512,
    };
    let digest = digest(algorithm, certificate);
    Fingerprint::new(hash, digest.as_ref()).expect("a digest has its hash's length")
}
