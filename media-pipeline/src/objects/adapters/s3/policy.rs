//! Texts that grant something: a session's policy, and a form's. Both are made of ids alone, as JSON values and not
//! by pasting text.

use crate::objects::hex;
use crate::objects::key::check_key;
use crate::ports::ObjectError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kaiwa_common::time::UnixMs;
use ring::hmac;
use serde_json::json;
use std::collections::BTreeMap;

/// Writing one object of one bucket, and nothing else: no reading, no listing, no deleting.
///
/// # Errors
/// `Refused` for a key with anything in it that is not made of ids: a `*` would be a wildcard.
pub(super) fn session(bucket: &str, key: &str) -> Result<String, ObjectError> {
    check_key(key)?;
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            "Resource": format!("arn:aws:s3:::{bucket}/{key}"),
        }],
    });
    Ok(policy.to_string())
}

/// Who signs, and where.
pub(super) struct Signer<'a> {
    pub(super) access_key: &'a str,
    pub(super) secret: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) region: &'a str,
}

/// What a form may do.
pub(super) struct Form<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) content_type: &'a str,
    pub(super) max: u64,
    pub(super) now: UnixMs,
    pub(super) expires: UnixMs,
}

/// The fields of a form (AWS Signature Version 4, "browser-based uploads using POST").
pub(super) fn form(
    form: &Form<'_>,
    signer: &Signer<'_>,
) -> Result<BTreeMap<String, String>, ObjectError> {
    let at = timestamp(form.now)?.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = at.get(..8).unwrap_or_default();
    let expires = timestamp(form.expires)?
        .strftime("%Y-%m-%dT%H:%M:%S.000Z")
        .to_string();
    let credential = format!(
        "{}/{day}/{}/s3/aws4_request",
        signer.access_key, signer.region
    );
    let mut fields = BTreeMap::from([
        ("key".to_owned(), form.key.to_owned()),
        ("Content-Type".to_owned(), form.content_type.to_owned()),
        ("success_action_status".to_owned(), "204".to_owned()),
        ("x-amz-algorithm".to_owned(), "AWS4-HMAC-SHA256".to_owned()),
        ("x-amz-credential".to_owned(), credential),
        ("x-amz-date".to_owned(), at.clone()),
    ]);
    if let Some(token) = signer.token {
        fields.insert("x-amz-security-token".to_owned(), token.to_owned());
    }
    let mut conditions = vec![
        json!({"bucket": form.bucket}),
        json!(["content-length-range", 0, form.max]),
    ];
    conditions.extend(
        fields
            .iter()
            .map(|(name, value)| json!(["eq", format!("${name}"), value])),
    );
    let policy =
        STANDARD.encode(json!({"expiration": expires, "conditions": conditions}).to_string());
    let signature = hex(hmac::sign(&signing_key(signer, day), policy.as_bytes()).as_ref());
    fields.insert("policy".to_owned(), policy);
    fields.insert("x-amz-signature".to_owned(), signature);
    Ok(fields)
}

fn signing_key(signer: &Signer<'_>, day: &str) -> hmac::Key {
    let first = format!("AWS4{}", signer.secret);
    let mut key = hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes());
    for word in [day, signer.region, "s3", "aws4_request"] {
        let next = hmac::sign(&key, word.as_bytes());
        key = hmac::Key::new(hmac::HMAC_SHA256, next.as_ref());
    }
    key
}

fn timestamp(at: UnixMs) -> Result<jiff::Timestamp, ObjectError> {
    let out_of_range = |_| ObjectError::Refused("the clock is out of range".to_owned());
    jiff::Timestamp::from_millisecond(at.0).map_err(out_of_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_opens_one_key_and_no_text_makes_it_wider() {
        let policy = session("clips", "video/u/2026/11/c/source").expect("a policy");
        let policy: serde_json::Value = serde_json::from_str(&policy).expect("JSON");
        assert_eq!(policy["Statement"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            policy["Statement"][0]["Resource"],
            "arn:aws:s3:::clips/video/u/2026/11/c/source"
        );
        for bad in [
            "",
            "/",
            "video/",
            "video/*",
            "video/u?",
            "a/${aws:username}",
            "a\"],\"b",
            "../a",
        ] {
            assert!(session("clips", bad).is_err(), "{bad}");
        }
    }

    /// That the chain is Amazon's is seen by the emulator, which checks the form's signature.
    #[test]
    fn a_signature_is_of_one_day_and_one_region() {
        let signer = Signer {
            access_key: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            token: None,
            region: "us-east-1",
        };
        let sign = |day, signer: &Signer<'_>| {
            hex(hmac::sign(&signing_key(signer, day), b"policy").as_ref())
        };
        let first = sign("20150830", &signer);
        assert_eq!(first, sign("20150830", &signer));
        assert_ne!(first, sign("20150831", &signer));
        assert_ne!(
            first,
            sign(
                "20150830",
                &Signer {
                    region: "eu-west-1",
                    ..signer
                }
            )
        );
    }
}
