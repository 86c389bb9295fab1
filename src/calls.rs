//! The SFU, as the settings want it.

use crate::config::{Config, VideoCodec as Setting};
use anyhow::Context as _;
use kaiwa_sfu::config::Config as SfuConfig;
use kaiwa_sfu::control::SfuEvents;
use kaiwa_sfu::core::negotiate::{VideoCodec, VideoCodecs};
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
        video_codecs: video_codecs(&calls.video_codecs),
    }
}

fn video_codecs(settings: &[Setting]) -> VideoCodecs {
    let codecs = settings.iter().map(|setting| match setting {
        Setting::Vp8 => VideoCodec::Vp8,
        Setting::Vp9 => VideoCodec::Vp9,
        Setting::H264 => VideoCodec::H264,
        Setting::Av1 => VideoCodec::Av1,
    });
    VideoCodecs::new(&codecs.collect::<Vec<_>>())
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

/// Where media is received, and where browsers are told to send it.
pub(crate) fn told(bound: &[SocketAddr], advertised: &[IpAddr]) -> String {
    let here = format!("media on UDP {}", list(bound));
    let port = bound.first().map_or(0, SocketAddr::port);
    let there: Vec<SocketAddr> = advertised
        .iter()
        .map(|ip| SocketAddr::new(*ip, port))
        .collect();
    if there.is_empty() {
        return here;
    }
    format!("{here}; browsers are told {}", list(&there))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_says_what_browsers_are_told() {
        let bound = [SocketAddr::from(([10, 0, 0, 5], 8080))];
        assert_eq!(told(&bound, &[]), "media on UDP 10.0.0.5:8080");
        let advertised = [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5))];
        assert_eq!(
            told(&bound, &advertised),
            "media on UDP 10.0.0.5:8080; browsers are told 203.0.113.5:8080"
        );
    }
}
