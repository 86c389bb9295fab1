//! The SFU, as the settings want it.

use crate::config::Config;
use anyhow::Context as _;
use kaiwa_sfu::config::Config as SfuConfig;
use kaiwa_sfu::control::SfuEvents;
use kaiwa_sfu::engine::Engine;
use kaiwa_sfu::unit::Bitrate;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Opens the media sockets and starts the threads that carry media.
pub(crate) fn start(config: &Config, events: Arc<dyn SfuEvents>) -> anyhow::Result<Arc<Engine>> {
    kaiwa_sfu::metrics::describe();
    let sfu = sfu_config(config);
    Engine::start(&sfu, events).with_context(|| {
        format!(
            "media can't be received on UDP {} (is it in use? --media-bind takes another; \
             KAIWA_CALLS__ENABLED=false goes without calls)",
            list(&sfu.listen)
        )
    })
}

fn sfu_config(config: &Config) -> SfuConfig {
    let calls = &config.calls;
    let default = SfuConfig::default();
    SfuConfig {
        listen: if calls.listen.is_empty() {
            everywhere(config.http.listen.port())
        } else {
            calls.listen.clone()
        },
        advertise: calls.advertise.clone(),
        loopback: calls.loopback,
        shards: match calls.shards {
            0 => default.shards,
            shards => shards,
        },
        first_core: calls.first_core,
        audio_slots: calls.voices,
        assumed: Bitrate::kbps(calls.assumed_kbps.into()),
        is_paced: calls.paced,
    }
}

/// All of the host's addresses of both families.
fn everywhere(port: u16) -> Vec<SocketAddr> {
    vec![
        SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
    ]
}

/// Addresses for people.
pub(crate) fn list(addresses: &[SocketAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    texts.join(", ")
}
