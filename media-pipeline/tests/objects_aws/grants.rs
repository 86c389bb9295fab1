//! Temporary credentials, presigned parts and forms open what they are for and nothing else. On MiniStack, which
//! looks at signatures, session policies and expiry as AWS does.

use crate::emulator::{Emulator, Kind};
use crate::remote::Remote;
use crate::world::{SHA256, TTL, World, plan};
use aws_sdk_s3::config::Credentials as Key;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use kaiwa_media_pipeline::ports::{Credentials, ObjectError, Objects};
use std::sync::Arc;
use std::time::Duration;

const KEY: &str = "video/u1/2026/11/clip1/source";

/// A role that may do everything with both buckets: what narrows it is the session's policy alone.
const ROLE: &str = r#"
import boto3, json, sys
def client(name):
    return boto3.client(name, endpoint_url=sys.argv[1], region_name='us-east-1',
                        aws_access_key_id='test', aws_secret_access_key='test')
iam, s3 = client('iam'), client('s3')
s3.create_bucket(Bucket='other')
trust = {'Version': '2012-10-17', 'Statement': [
    {'Effect': 'Allow', 'Principal': {'AWS': '*'}, 'Action': 'sts:AssumeRole'}]}
role = iam.create_role(RoleName='upload', AssumeRolePolicyDocument=json.dumps(trust))
may = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': 's3:*', 'Resource': '*'}]}
iam.put_role_policy(RoleName='upload', PolicyName='all', PolicyDocument=json.dumps(may))
print(role['Role']['Arn'])
"#;

async fn world() -> Remote {
    let emulator = Arc::new(Emulator::start(Kind::MiniStack).await);
    let role = emulator.python(ROLE);
    Remote::with_role(emulator, "clips", Some(role)).await
}

async fn client(
    world: &Remote,
    given: &Credentials,
    secret: Option<&str>,
    token: Option<&str>,
) -> aws_sdk_s3::Client {
    let secret = secret.unwrap_or(given.secret_access_key.expose());
    let token = token.unwrap_or(given.session_token.expose());
    let key = Key::new(
        &given.access_key_id,
        secret,
        Some(token.to_owned()),
        None,
        "test",
    );
    let config = world.emulator.config(key).await;
    let config = aws_sdk_s3::config::Builder::from(&config).force_path_style(true);
    aws_sdk_s3::Client::from_conf(config.build())
}

async fn put(s3: &aws_sdk_s3::Client, bucket: &str, key: &str) -> Result<(), String> {
    let body = ByteStream::from_static(b"bytes");
    let put = s3
        .put_object()
        .bucket(bucket)
        .key(key)
        .body(body)
        .send()
        .await;
    put.map(|_| ()).map_err(|error| code(&error))
}

fn code(error: &impl ProvideErrorMetadata) -> String {
    error.code().unwrap_or("none").to_owned()
}

#[tokio::test]
async fn temporary_credentials_write_their_key() {
    let world = world().await;
    let given = world.store.credentials(KEY, "user|1@x", TTL).await.unwrap();
    assert_eq!((given.bucket.as_str(), given.key.as_str()), ("clips", KEY));
    let life = given.expires.since(kaiwa_common::time::UnixMs::now());
    assert!(
        life <= Duration::from_secs(905) && life > Duration::from_secs(600),
        "{life:?}"
    );
    let s3 = client(&world, &given, None, None).await;
    put(&s3, "clips", KEY).await.unwrap();
    assert_eq!(world.store.head(KEY).await.unwrap().unwrap().size, 5);
    let of_parts = |upload: &str| (KEY.to_owned(), upload.to_owned());
    let begun = s3.create_multipart_upload().bucket("clips").key(KEY);
    let begun = begun.send().await.unwrap();
    let (key, upload) = of_parts(begun.upload_id().unwrap());
    let part = s3.upload_part().bucket("clips").key(&key);
    let part = part.upload_id(&upload).part_number(1);
    let sent = part.body(ByteStream::from_static(b"one")).send();
    let etag = sent.await.unwrap().e_tag.unwrap();
    let listed = s3.list_parts().bucket("clips").key(&key);
    let listed = listed.upload_id(&upload).send().await.unwrap();
    assert_eq!(listed.parts().len(), 1);
    let part = CompletedPart::builder().part_number(1).e_tag(etag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let done = s3.complete_multipart_upload().bucket("clips").key(&key);
    let done = done.upload_id(&upload).multipart_upload(parts);
    done.send().await.unwrap();
    assert_eq!(world.store.head(KEY).await.unwrap().unwrap().size, 3);
    // What was begun can be thrown away.
    let begun = s3.create_multipart_upload().bucket("clips").key(KEY);
    let begun = begun.send().await.unwrap();
    let (key, upload) = of_parts(begun.upload_id().unwrap());
    let aborted = s3.abort_multipart_upload().bucket("clips").key(&key);
    aborted.upload_id(&upload).send().await.unwrap();
}

#[tokio::test]
async fn temporary_credentials_open_nothing_else() {
    let world = world().await;
    let given = world.store.credentials(KEY, "u1", TTL).await.unwrap();
    let s3 = client(&world, &given, None, None).await;
    put(&s3, "clips", KEY).await.unwrap();
    for other in [
        "video/u1/2026/11/clip2/source",
        "video/u1/2026/11/clip1",
        "video/u1/2026/11/clip1/source2",
        "video/u1/2026/11/clip1/source/a",
        "video/u1/2026/11/clip1/processed/hls/master.m3u8",
        "video/u1/2026/11/clip10/source",
        "source",
    ] {
        assert_eq!(put(&s3, "clips", other).await, denied(), "{other}");
        let begun = s3.create_multipart_upload().bucket("clips").key(other);
        assert_eq!(outcome(begun.send().await), denied(), "{other}");
    }
    assert_eq!(put(&s3, "other", KEY).await, denied());
    let read = s3.get_object().bucket("clips").key(KEY);
    assert_eq!(outcome(read.send().await), denied());
    let looked = s3.head_object().bucket("clips").key(KEY);
    assert!(looked.send().await.is_err());
    let copied = s3.copy_object().copy_source(format!("clips/{KEY}"));
    let copied = copied.bucket("clips").key("video/x");
    assert_eq!(outcome(copied.send().await), denied());
    let deleted = s3.delete_object().bucket("clips").key(KEY);
    assert_eq!(outcome(deleted.send().await), denied());
    let folder = KEY.trim_end_matches("source");
    let listed = s3.list_objects_v2().bucket("clips").prefix(folder);
    assert_eq!(outcome(listed.send().await), denied());
    let uploads = s3.list_multipart_uploads().bucket("clips");
    assert_eq!(outcome(uploads.send().await), denied());
    assert!(s3.list_buckets().send().await.is_err());
    assert!(
        world.store.head(KEY).await.unwrap().is_some(),
        "it is still there"
    );
    let wrong = client(&world, &given, Some("wrong"), None).await;
    assert!(put(&wrong, "clips", KEY).await.is_err(), "another secret");
    let wrong = client(&world, &given, None, Some("wrong")).await;
    assert!(put(&wrong, "clips", KEY).await.is_err(), "another token");
}

fn denied() -> Result<(), String> {
    Err("AccessDenied".to_owned())
}

fn outcome<T, E: ProvideErrorMetadata>(answer: Result<T, E>) -> Result<(), String> {
    answer.map(|_| ()).map_err(|error| code(&error))
}

#[tokio::test]
async fn temporary_credentials_end() {
    let world = world().await;
    let given = world.store.credentials(KEY, "u1", TTL).await.unwrap();
    let s3 = client(&world, &given, None, None).await;
    world.emulator.pass(600);
    put(&s3, "clips", KEY).await.unwrap();
    world.emulator.pass(901);
    let refused = put(&s3, "clips", KEY).await.unwrap_err();
    assert!(refused.contains("Expired"), "{refused}");
}

#[tokio::test]
async fn no_key_of_somebodys_text_gets_credentials() {
    let world = world().await;
    for key in [
        "",
        "/",
        "*",
        "video/*",
        "video/${aws:userid}",
        "video/u1/",
        "../a",
    ] {
        let given = world.store.credentials(key, "u1", TTL).await;
        assert!(matches!(given, Err(ObjectError::Refused(_))), "{key}");
    }
}

#[tokio::test]
async fn presigned_parts_and_forms_expire_and_cannot_be_bent() {
    let world = world().await;
    let key = KEY.to_owned();
    let upload = world.store.begin(&key, "video/mp4", SHA256).await.unwrap();
    let signed = world
        .store
        .sign_part(&key, &upload, &plan(1, b"right"), TTL)
        .await
        .unwrap();
    let signed_headers = signed.url.split("X-Amz-SignedHeaders=").nth(1).unwrap();
    let signed_headers = signed_headers.split('&').next().unwrap();
    assert!(
        signed_headers.contains("content-length"),
        "{signed_headers}"
    );
    let is_sum_signed = signed_headers.contains("x-amz-checksum-sha256")
        || signed.url.contains("x-amz-checksum-sha256=");
    assert!(is_sum_signed, "{signed_headers}");
    for (from, to) in [
        ("clip1", "clip2"),
        ("/clips/", "/other/"),
        (upload.as_str(), "0123"),
        ("Expires=600", "Expires=6000"),
    ] {
        let mut bent = signed.clone();
        bent.url = bent.url.replacen(from, to, 1);
        assert_ne!(bent.url, signed.url);
        assert_eq!(world.send(&bent, b"right".to_vec()).await.0, 403, "{from}");
    }
    let form = world
        .store
        .sign_post("image/one", "image/png", 100, TTL)
        .await
        .unwrap();
    for (field, value) in [
        ("key", "image/two"),
        ("Content-Type", "text/html"),
        ("x-amz-signature", "00"),
    ] {
        let mut bent = form.clone();
        bent.fields.insert(field.to_owned(), value.to_owned());
        assert_eq!(world.post(&bent, b"x".to_vec()).await, 403, "{field}");
    }
    world.emulator.pass(601);
    assert_eq!(world.send(&signed, b"right".to_vec()).await.0, 403);
    assert_eq!(world.post(&form, b"x".to_vec()).await, 403);
    assert_eq!(world.store.head("image/one").await.unwrap(), None);
}
