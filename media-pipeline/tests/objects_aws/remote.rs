//! A bucket at an emulator, and a client that has nothing but what it was given.

use crate::emulator::{Emulator, Kind};
use crate::world::World;
use aws_sdk_s3::config::Credentials;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use kaiwa_media_pipeline::objects::{S3Objects, S3Options};
use kaiwa_media_pipeline::ports::{Objects, SignedForm, SignedRequest};
use kaiwa_platform::clock::SystemClock;
use std::sync::Arc;

pub(crate) struct Remote {
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) store: S3Objects,
}

fn own(key: &str) -> Credentials {
    Credentials::new(key, "test", None, None, "test")
}

pub(crate) fn options(bucket: &str, role: Option<String>) -> S3Options {
    S3Options {
        bucket: bucket.to_owned(),
        upload_role: role,
        path_style: true,
    }
}

impl Remote {
    pub(crate) async fn new(emulator: Arc<Emulator>, bucket: &str) -> Self {
        Self::with_role(emulator, bucket, None).await
    }

    pub(crate) async fn with_role(
        emulator: Arc<Emulator>,
        bucket: &str,
        role: Option<String>,
    ) -> Self {
        let config = emulator.config(own("test")).await;
        let s3 = aws_sdk_s3::config::Builder::from(&config)
            .force_path_style(true)
            .build();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        s3.create_bucket().bucket(bucket).send().await.unwrap();
        let store = S3Objects::new(&config, Arc::new(SystemClock), options(bucket, role));
        Self { emulator, store }
    }

    pub(crate) async fn with_bucket(&self, bucket: &str) -> S3Objects {
        let config = self.emulator.config(own("test")).await;
        S3Objects::new(&config, Arc::new(SystemClock), options(bucket, None))
    }

    pub(crate) async fn of_a_stranger(&self) -> S3Objects {
        let config = self.emulator.config(own("AKIAIOSFODNN7EXAMPLE")).await;
        S3Objects::new(&config, Arc::new(SystemClock), options("right", None))
    }

    /// One plain HTTP request; status, ETag, body.
    pub(crate) async fn call(&self, request: Request<Full<Bytes>>) -> (u16, Option<String>, Bytes) {
        let address = self.emulator.endpoint().strip_prefix("http://").unwrap();
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let etag = response
            .headers()
            .get("etag")
            .map(|etag| etag.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        (
            status,
            etag,
            response.into_body().collect().await.unwrap().to_bytes(),
        )
    }
}

impl World for Remote {
    fn objects(&self) -> &dyn Objects {
        &self.store
    }

    fn send<'a>(
        &'a self,
        signed: &'a SignedRequest,
        body: Vec<u8>,
    ) -> BoxFuture<'a, (u16, Option<String>)> {
        Box::pin(async move {
            let uri: hyper::Uri = signed.url.parse().unwrap();
            let mut request = Request::builder()
                .method(signed.method)
                .uri(uri.path_and_query().unwrap().as_str());
            request = request.header("host", uri.authority().unwrap().as_str());
            for (name, value) in signed
                .headers
                .iter()
                .filter(|(name, _)| *name != "content-length")
            {
                request = request.header(name, value);
            }
            let (status, etag, _) = self.call(request.body(Full::from(body)).unwrap()).await;
            (status, etag)
        })
    }

    fn post<'a>(&'a self, form: &'a SignedForm, file: Vec<u8>) -> BoxFuture<'a, u16> {
        Box::pin(async move {
            let uri: hyper::Uri = form.url.parse().unwrap();
            let mut body = Vec::new();
            for (name, value) in &form.fields {
                let head = format!(
                    "--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
                );
                body.extend(head.bytes());
            }
            body.extend(
                b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n",
            );
            body.extend(file);
            body.extend(b"\r\n--XX--\r\n");
            let request = Request::post(uri.path())
                .header("host", uri.authority().unwrap().as_str())
                .header("content-type", "multipart/form-data; boundary=XX");
            self.call(request.body(Full::from(body)).unwrap()).await.0
        })
    }

    fn is_strict(&self) -> bool {
        self.emulator.kind == Kind::MiniStack
    }

    fn checks_sums(&self) -> bool {
        self.emulator.kind == Kind::MiniStack
    }
}
