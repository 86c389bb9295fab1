//! The embedded store in a folder of its own, its router called without a socket.

use crate::world::World;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::future::BoxFuture;
use kaiwa_common::redact::Secret;
use kaiwa_common::time::UnixMs;
use kaiwa_media_pipeline::objects::adapters::folder::{Disk, OsDisk};
use kaiwa_media_pipeline::objects::http::{HttpOptions, router};
use kaiwa_media_pipeline::objects::sign::{Keyring, SigningKey};
use kaiwa_media_pipeline::objects::{FolderObjects, FolderOptions};
use kaiwa_media_pipeline::ports::{Objects, SignedForm, SignedRequest};
use kaiwa_platform::clock::ManualClock;
use kaiwa_platform::sqlite::{Sqlite, SqliteOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tower::ServiceExt;

pub(crate) struct Embedded {
    pub(crate) store: FolderObjects,
    pub(crate) clock: ManualClock,
    pub(crate) http: HttpOptions,
    pub(crate) dir: Arc<tempfile::TempDir>,
}

impl Embedded {
    pub(crate) async fn new() -> Self {
        Self::on(Arc::new(OsDisk), 0).await
    }

    pub(crate) async fn on(disk: Arc<dyn Disk>, reserve: u64) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self::open(dir, disk, reserve).await
    }

    /// Opens the store of that folder, as a server that starts does.
    pub(crate) async fn open(
        dir: Arc<tempfile::TempDir>,
        disk: Arc<dyn Disk>,
        reserve: u64,
    ) -> Self {
        let db = Sqlite::open(SqliteOptions::new(dir.path().join("db")), &[]).unwrap();
        let clock = ManualClock::at(UnixMs(1_800_000_000_000));
        let keys = Keyring::new(SigningKey::new("k1", &Secret::new([7; 32])), None);
        let root = dir.path().join("objects");
        let options = FolderOptions {
            root,
            reserve,
            disk,
        };
        let store = FolderObjects::open(db, Arc::new(clock.clone()), keys, options)
            .await
            .unwrap();
        Self {
            store,
            clock,
            http: HttpOptions::default(),
            dir,
        }
    }

    pub(crate) fn router(&self) -> Router {
        router(self.store.clone(), self.http)
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Response<Body> {
        self.router().oneshot(request).await.unwrap()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("objects")
    }
}

/// All files below.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found
}

/// A request as the client sends it.
pub(crate) fn request(signed: &SignedRequest, body: Vec<u8>) -> Request<Body> {
    let mut request = Request::builder().method(signed.method).uri(&signed.url);
    for (name, value) in &signed.headers {
        if name != "content-length" {
            request = request.header(name, value);
        }
    }
    request
        .header("content-length", body.len())
        .body(Body::from(body))
        .unwrap()
}

/// A form's body.
pub(crate) fn form_body(form: &SignedForm, file: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in &form.fields {
        body.extend(
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    body.extend(
        b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"../x\"\r\n\r\n",
    );
    body.extend(file);
    body.extend(b"\r\n--XX--\r\n");
    body
}

pub(crate) fn posted(url: &str, body: Vec<u8>) -> Request<Body> {
    Request::post(url)
        .header("content-type", "multipart/form-data; boundary=XX")
        .header("content-length", body.len())
        .body(Body::from(body))
        .unwrap()
}

impl World for Embedded {
    fn objects(&self) -> &dyn Objects {
        &self.store
    }

    fn send<'a>(
        &'a self,
        signed: &'a SignedRequest,
        body: Vec<u8>,
    ) -> BoxFuture<'a, (u16, Option<String>)> {
        Box::pin(async move {
            let response = self.call(request(signed, body)).await;
            let etag = response
                .headers()
                .get("etag")
                .map(|etag| etag.to_str().unwrap().to_owned());
            (response.status().as_u16(), etag)
        })
    }

    fn post<'a>(&'a self, form: &'a SignedForm, file: Vec<u8>) -> BoxFuture<'a, u16> {
        Box::pin(async move {
            self.call(posted(&form.url, form_body(form, &file)))
                .await
                .status()
                .as_u16()
        })
    }
}
