//! The gRPC port: bound before anything is announced, in TLS with the edge's certificates, its health told.

use crate::config::{Config, GrpcListen};
use anyhow::Context as _;
use kaiwa_media_pipeline::front::Front;
use kaiwa_media_pipeline::grpc::{self, GrpcSettings, Health};
use kaiwa_media_pipeline::ports::ClipStore;
use kaiwa_signaling::edge::tls::Certificates;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Between two looks at the store, and for each.
const LOOK: Duration = Duration::from_secs(5);

/// A port that is bound and not served yet.
pub(super) struct Port {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Certificates>>,
    settings: GrpcSettings,
}

impl Port {
    /// Binds it; `None` when it is switched off.
    pub(super) async fn bind(
        config: &Config,
        tls: Option<&Arc<Certificates>>,
    ) -> anyhow::Result<Option<Self>> {
        let GrpcListen::At(address) = config.clips.grpc_listen else {
            return Ok(None);
        };
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!(
                "{address} can't be listened on for gRPC (is it in use? clips.grpc_listen, or \
                 KAIWA_CLIPS__GRPC_LISTEN, takes another address, port 0 a free one, `off` none)"
            )
        })?;
        Ok(Some(Self {
            address: listener.local_addr().context("the gRPC port")?,
            listener,
            tls: tls.cloned(),
            settings: GrpcSettings {
                reflection: config.clips.grpc_reflection,
            },
        }))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `drain`, and then until the calls have ended.
    pub(super) fn serve(
        self,
        front: Arc<Front>,
        store: Arc<dyn ClipStore>,
        drain: CancellationToken,
    ) -> JoinHandle<()> {
        tokio::spawn(async move {
            let (routes, health) = grpc::routes(front, self.settings).await;
            tokio::spawn(tell_health(health.clone(), store, drain.clone()));
            let tls = self.tls.as_ref().map(Certificates::grpc_config);
            let served = grpc::serve(self.listener, tls, (routes, health), drain).await;
            if let Err(error) = served {
                tracing::error!(%error, "gRPC is not served any more");
            }
        })
    }
}

/// Serving, as long as the store answers.
async fn tell_health(health: Health, store: Arc<dyn ClipStore>, drain: CancellationToken) {
    let mut was_well = None;
    while !drain.is_cancelled() {
        let asked = tokio::time::timeout(LOOK, store.revision()).await;
        let is_well = matches!(asked, Ok(Ok(_)));
        if was_well.replace(is_well) != Some(is_well) && !drain.is_cancelled() {
            health.set(is_well).await;
        }
        let _ = tokio::time::timeout(LOOK, drain.cancelled()).await;
    }
    // The last word, also if a look was under way when the drain began.
    health.set(false).await;
}
