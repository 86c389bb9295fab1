//! Ways in for clients.

use super::{S3Objects, errors, policy};
use crate::checksum::Checksum;
use crate::objects::adapters::folder::check_plan;
use crate::objects::key::{check_key, check_type};
use crate::ports::{Credentials, ObjectError, PartPlan, SignedForm, SignedRequest};
use aws_sdk_s3::presigning::PresigningConfig;
use kaiwa_common::limits::{OBJECT_CREDENTIALS, OBJECT_CREDENTIALS_NAME};
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use std::time::Duration;

impl S3Objects {
    /// Length and checksum are headers of the signature: S3 refuses any other.
    pub(super) async fn presign_part(
        &self,
        key: &str,
        upload: &str,
        part: &PartPlan,
        ttl: Duration,
    ) -> Result<SignedRequest, ObjectError> {
        check_key(key)?;
        check_plan(part)?;
        let sum = part.checksum.ok_or_else(needed)?;
        let wide = |_| ObjectError::Mismatch("the part's length".to_owned());
        let now = self.clock.now();
        let config = PresigningConfig::builder()
            .expires_in(ttl)
            .start_time(system(now))
            .build();
        let config = config.map_err(|error| ObjectError::Refused(error.to_string()))?;
        let call = self
            .s3
            .upload_part()
            .bucket(self.bucket())
            .key(key)
            .upload_id(upload);
        let call = call.part_number(i32::try_from(part.number).map_err(wide)?);
        let call = call.content_length(i64::try_from(part.size).map_err(wide)?);
        let call = match sum {
            Checksum::Sha256(_) => call.checksum_sha256(sum.base64()),
            Checksum::Crc32c(_) => call.checksum_crc32_c(sum.base64()),
        };
        let signed = call.presigned(config).await;
        let signed = signed.map_err(errors::call)?;
        let headers = signed
            .headers()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
        Ok(SignedRequest {
            method: "PUT",
            url: signed.uri().to_owned(),
            headers: headers.collect(),
            expires: now.plus(ttl),
        })
    }

    pub(super) async fn presign_post(
        &self,
        key: &str,
        content_type: &str,
        max: u64,
        ttl: Duration,
    ) -> Result<SignedForm, ObjectError> {
        check_key(key)?;
        check_type(content_type)?;
        let own = self.own_credentials().await?;
        let signer = policy::Signer {
            access_key: own.access_key_id(),
            secret: own.secret_access_key(),
            token: own.session_token(),
            region: &self.region,
        };
        let now = self.clock.now();
        let expires = now.plus(ttl);
        let form = policy::Form {
            bucket: self.bucket(),
            key,
            content_type,
            max,
            now,
            expires,
        };
        Ok(SignedForm {
            url: self.url(),
            fields: policy::form(&form, &signer)?,
            expires,
        })
    }

    /// Credentials for a quarter of an hour, whatever was asked for: STS gives none for less, and nobody needs
    /// more at once.
    pub(super) async fn assume(
        &self,
        key: &str,
        session: &str,
    ) -> Result<Credentials, ObjectError> {
        check_key(key)?;
        let none = ObjectError::Unsupported("temporary credentials");
        let role = self.options.upload_role.as_deref().ok_or(none)?;
        let seconds = i32::try_from(OBJECT_CREDENTIALS.as_secs()).unwrap_or(900);
        let call = self
            .sts
            .assume_role()
            .role_arn(role)
            .role_session_name(name(session));
        let call = call
            .duration_seconds(seconds)
            .policy(policy::session(self.bucket(), key)?);
        let given = call.send().await.map_err(errors::call)?;
        let nothing = || ObjectError::Unavailable("STS gave no credentials".to_owned());
        let given = given.credentials.ok_or_else(nothing)?;
        Ok(Credentials {
            access_key_id: given.access_key_id,
            secret_access_key: Secret::new(given.secret_access_key),
            session_token: Secret::new(given.session_token),
            region: self.region.clone(),
            bucket: self.bucket().to_owned(),
            key: key.to_owned(),
            endpoint: self.endpoint.clone(),
            expires: UnixMs(given.expiration.to_millis().unwrap_or(0)),
        })
    }
}

/// Uploads are begun with checksums, so that S3 refuses a part without one.
pub(super) fn needed() -> ObjectError {
    ObjectError::Mismatch("a part needs its checksum: a SHA-256 or a CRC-32C".to_owned())
}

/// What STS takes as a session's name, and shows in the account's log: ids as they are, other characters as `_`.
fn name(session: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "=,.@_-".contains(c);
    let name = session.chars().map(|c| if allowed(c) { c } else { '_' });
    let name: String = name.take(OBJECT_CREDENTIALS_NAME).collect();
    if name.len() < 2 {
        format!("{name}__")
    } else {
        name
    }
}

fn system(at: UnixMs) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}
