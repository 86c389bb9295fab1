//! Somebody at the clips' gRPC API, over one HTTP/2 connection that stays.

use anyhow::{Context as _, Result};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kaiwa_proto::media::v1::media_pipeline_client::MediaPipelineClient;
use kaiwa_proto::media::v1::{
    GetClipRequest, IssueUploadCredentialsRequest, PartPlan, UploadGrant,
};
use std::net::SocketAddr;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::metadata::AsciiMetadataValue;
use tower::Service;

/// A person and their connection.
#[derive(Debug)]
pub struct Person {
    client: MediaPipelineClient<Connection>,
    token: AsciiMetadataValue,
}

/// What tonic's client sends its calls into.
#[derive(Debug, Clone)]
struct Connection(SendRequest<Body>);

impl Service<tonic::codegen::http::Request<Body>> for Connection {
    type Response = tonic::codegen::http::Response<hyper::body::Incoming>;
    type Error = hyper::Error;
    type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: tonic::codegen::http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

impl Person {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens, or what does speaks no HTTP/2.
    pub async fn connect(server: SocketAddr, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.context("no HTTP/2")?;
        // It ends with its last sender.
        tokio::spawn(connection);
        let origin = format!("http://{server}").parse()?;
        Ok(Self {
            client: MediaPipelineClient::with_origin(Connection(sender), origin),
            token: format!("Bearer {token}").parse()?,
        })
    }

    /// `GetClip`.
    ///
    /// # Errors
    /// When the connection ends, or the server refuses.
    pub async fn get(&mut self, clip: &str) -> Result<()> {
        let clip_id = clip.to_owned();
        let request = self.signed(GetClipRequest { clip_id });
        self.client.get_clip(request).await?;
        Ok(())
    }

    /// `IssueUploadCredentials`.
    ///
    /// # Errors
    /// When the connection ends, or the server refuses.
    pub async fn issue(
        &mut self,
        clip: &str,
        key: String,
        parts: &[PartPlan],
    ) -> Result<UploadGrant> {
        let request = self.signed(IssueUploadCredentialsRequest {
            request_id: key,
            clip_id: clip.to_owned(),
            parts: parts.to_vec(),
            ..IssueUploadCredentialsRequest::default()
        });
        Ok(self
            .client
            .issue_upload_credentials(request)
            .await?
            .into_inner())
    }

    fn signed<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.token.clone());
        request
    }
}
