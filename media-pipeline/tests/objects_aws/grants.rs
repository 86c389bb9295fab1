//! Temporary credentials, presigned parts and forms open what they are for and nothing else. On MiniStack, which
//! looks at signatures, session policies and expiry as AWS does.

use crate::emulator::{Emulator, Kind};
use crate::remote::Remote;
use crate::world::{TTL, World, plan};
use aws_sdk_s3::config::Credentials as Key;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use kaiwa_media_pipeline::ports::{Credentials, ObjectError, Objects};
use std::sync::Arc;
use std::time::Duration;

const PREFIX: &str = "video/u1/2026/11/clip1/";

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
async fn temporary_credentials_write_below_their_prefix() {
    let world = world().await;
    let given = world
        .store
        .credentials(PREFIX, "user|1@x", TTL)
        .await
        .unwrap();
    assert_eq!(
        (given.bucket.as_str(), given.prefix.as_str()),
        ("clips", PREFIX)
    );
    let life = given.expires.since(kaiwa_common::time::UnixMs::now());
    assert!(
        life <= Duration::from_secs(905) && life > Duration::from_secs(600),
        "{life:?}"
    );
    let s3 = client(&world, &given, None, None).await;
    let key = format!("{PREFIX}source");
    put(&s3, "clips", &key).await.unwrap();
    assert_eq!(world.store.head(&key).await.unwrap().unwrap().size, 5);
    let parts = format!("{PREFIX}parts");
    let begun = s3
        .create_multipart_upload()
        .bucket("clips")
        .key(&parts)
        .send()
        .await
        .unwrap();
    let upload = begun.upload_id().unwrap();
    let part = s3
        .upload_part()
        .bucket("clips")
        .key(&parts)
        .upload_id(upload)
        .part_number(1);
    part.body(ByteStream::from_static(b"one"))
        .send()
        .await
        .unwrap();
    let listed = s3
        .list_parts()
        .bucket("clips")
        .key(&parts)
        .upload_id(upload)
        .send()
        .await
        .unwrap();
    assert_eq!(listed.parts().len(), 1);
    assert_eq!(
        world
            .store
            .complete(&parts, upload, &[])
            .await
            .unwrap()
            .size,
        3
    );
}

#[tokio::test]
async fn temporary_credentials_open_nothing_else() {
    let world = world().await;
    let given = world.store.credentials(PREFIX, "u1", TTL).await.unwrap();
    let s3 = client(&world, &given, None, None).await;
    let key = format!("{PREFIX}source");
    put(&s3, "clips", &key).await.unwrap();
    for other in [
        "video/u1/2026/11/clip2/source",
        "video/u1/2026/11/clip1",
        "video/u1/2026/11/clip10/source",
        "source",
    ] {
        assert_eq!(
            put(&s3, "clips", other).await,
            Err("AccessDenied".to_owned()),
            "{other}"
        );
    }
    assert_eq!(
        put(&s3, "other", &key).await,
        Err("AccessDenied".to_owned())
    );
    let denied = |code: String| assert_eq!(code, "AccessDenied");
    denied(code(
        &s3.get_object()
            .bucket("clips")
            .key(&key)
            .send()
            .await
            .unwrap_err(),
    ));
    denied(code(
        &s3.delete_object()
            .bucket("clips")
            .key(&key)
            .send()
            .await
            .unwrap_err(),
    ));
    denied(code(
        &s3.list_objects_v2()
            .bucket("clips")
            .prefix(PREFIX)
            .send()
            .await
            .unwrap_err(),
    ));
    denied(code(
        &s3.create_multipart_upload()
            .bucket("clips")
            .key("video/x")
            .send()
            .await
            .unwrap_err(),
    ));
    assert!(s3.list_buckets().send().await.is_err());
    assert!(
        world.store.head(&key).await.unwrap().is_some(),
        "it is still there"
    );
    let wrong = client(&world, &given, Some("wrong"), None).await;
    assert!(put(&wrong, "clips", &key).await.is_err(), "another secret");
    let wrong = client(&world, &given, None, Some("wrong")).await;
    assert!(put(&wrong, "clips", &key).await.is_err(), "another token");
}

#[tokio::test]
async fn temporary_credentials_end() {
    let world = world().await;
    let given = world.store.credentials(PREFIX, "u1", TTL).await.unwrap();
    let s3 = client(&world, &given, None, None).await;
    let key = format!("{PREFIX}source");
    world.emulator.pass(600);
    put(&s3, "clips", &key).await.unwrap();
    world.emulator.pass(901);
    let refused = put(&s3, "clips", &key).await.unwrap_err();
    assert!(refused.contains("Expired"), "{refused}");
}

#[tokio::test]
async fn no_prefix_of_somebodys_text_gets_credentials() {
    let world = world().await;
    for prefix in [
        "",
        "/",
        "*/",
        "video/*/",
        "video/${aws:userid}/",
        "video/u1",
        "../",
    ] {
        let given = world.store.credentials(prefix, "u1", TTL).await;
        assert!(matches!(given, Err(ObjectError::Refused(_))), "{prefix}");
    }
}

#[tokio::test]
async fn presigned_parts_and_forms_expire_and_cannot_be_bent() {
    let world = world().await;
    let key = format!("{PREFIX}source");
    let upload = world.store.begin(&key, "video/mp4").await.unwrap();
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
