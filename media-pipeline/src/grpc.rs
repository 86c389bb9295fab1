//! The API over gRPC.
//!
//! ```text
//!  connection ──tonic──► pipeline, admin ──► Front ──► Clips, ClipsAdmin
//!                  └──► health (per service), reflection (if configured)
//! ```

mod admin;
mod connections;
mod pipeline;
mod status;

use crate::front::{Done, Front, REPLAY, REQUEST_ID};
use crate::refusal::Refusal;
use http::HeaderMap;
use kaiwa_common::limits::{CLIP_ANSWER_BYTES, CLIP_REQUEST_BYTES};
use kaiwa_proto::media::v1;
use kaiwa_proto::media::v1::media_admin_server::MediaAdminServer;
use kaiwa_proto::media::v1::media_pipeline_server::MediaPipelineServer;
use rustls::ServerConfig;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::service::Routes;
use tonic::{Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The services whose health is told, besides that of the whole server (``).
const SERVICES: [&str; 3] = [
    "",
    "kaiwa.media.v1.MediaPipeline",
    "kaiwa.media.v1.MediaAdmin",
];

/// A peer that says nothing for so long is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// Calls of one connection at once; more wait at the client.
const STREAMS: u32 = 128;
/// Metadata of one call, in bytes: a token of the largest size twice.
const HEADER_BYTES: u32 = 32 * 1024;

/// How it is served.
#[derive(Debug, Clone, Copy, Default)]
pub struct GrpcSettings {
    /// Tells callers the schema. Off by default: who may call has the file.
    pub reflection: bool,
}

/// Tells load balancers whether calls are served.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Serving, or not. It begins with not.
    pub async fn set(&self, is_serving: bool) {
        let status = if is_serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        for service in SERVICES {
            self.0.set_service_status(service, status).await;
        }
    }
}

/// The services, and what tells their health.
///
/// # Panics
/// Never: the schema that reflection shows was compiled into this binary.
pub async fn routes(front: Arc<Front>, settings: GrpcSettings) -> (Routes, Health) {
    let health = Health(HealthReporter::new());
    health.set(false).await;
    let pipeline = MediaPipelineServer::new(pipeline::Pipeline(Arc::clone(&front)))
        .max_decoding_message_size(CLIP_REQUEST_BYTES)
        .max_encoding_message_size(CLIP_ANSWER_BYTES)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip);
    let admin = MediaAdminServer::new(admin::Admin(front))
        .max_decoding_message_size(CLIP_REQUEST_BYTES)
        .max_encoding_message_size(CLIP_ANSWER_BYTES);
    let checks = HealthServer::new(HealthService::from_health_reporter(health.0.clone()));
    let mut routes = Routes::new(pipeline).add_service(admin).add_service(checks);
    if settings.reflection {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("a schema that was compiled can be shown");
        routes = routes.add_service(reflection);
    }
    (routes, health)
}

/// Serves connections, in TLS if there is a configuration of it (whose ALPN is `h2`), until `drain` is cancelled: then it
/// says so to whoever asks for its health, and ends when the calls have ended.
///
/// # Errors
/// When the listener can't be served any more.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    (routes, health): (Routes, Health),
    drain: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let drained = async move {
        drain.cancelled().await;
        health.set(false).await;
    };
    let connections = connections::accepted(listener, tls);
    let mut server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(HEADER_BYTES);
    let serving = server.add_routes(routes);
    serving
        .serve_with_incoming_shutdown(connections, drained)
        .await
}

/// A call's answer, with its name and whether it was given before.
fn finish<T>(operation: &'static str, request: &str, done: Done<T>) -> Result<Response<T>, Status> {
    crate::front::log(operation, request, done.answer.as_ref().err());
    let answer = done.answer.map_err(|refusal| refuse(request, &refusal))?;
    let mut response = Response::new(answer);
    name(response.metadata_mut(), request);
    if done.is_replay {
        let metadata = response.metadata_mut();
        metadata.insert(REPLAY, MetadataValue::from_static("true"));
    }
    Ok(response)
}

fn refuse(request: &str, refusal: &Refusal) -> Status {
    let mut status = status::of(request, refusal);
    name(status.metadata_mut(), request);
    status
}

fn name(metadata: &mut MetadataMap, request: &str) {
    // It was checked, or made here.
    if let Ok(value) = request.parse() {
        metadata.insert(REQUEST_ID, value);
    }
}

/// The call's metadata and its name.
fn opened<T>(request: tonic::Request<T>) -> (HeaderMap, String, T) {
    let (metadata, _, message) = request.into_parts();
    let headers = metadata.into_headers();
    let request = crate::front::request_id(&headers);
    (headers, request, message)
}

/// In a span with the call's name.
async fn spanned<T>(request: &str, work: impl Future<Output = T>) -> T {
    use tracing::Instrument as _;
    let span = tracing::debug_span!("clip_call", request);
    work.instrument(span).await
}
