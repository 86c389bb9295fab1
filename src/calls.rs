//! The SFU, as the settings want it.

use crate::config::{Config, TcpListen, VideoCodec as Setting};
use anyhow::Context as _;
use kaiwa_sfu::config::{Config as SfuConfig, TcpConfig, TcpListen as SfuTcpListen};
use kaiwa_sfu::control::SfuEvents;
use kaiwa_sfu::core::negotiate::{VideoCodec, VideoCodecs};
use kaiwa_sfu::engine::Engine;
use kaiwa_sfu::unit::Bitrate;
use kaiwa_sfu::wire::framing;
use kaiwa_signaling::edge::listener::TakeMedia;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;

/// Opens the media sockets and starts the threads that carry media. HTTP is served at the address.
pub(crate) fn start(
    config: &Config,
    http: SocketAddr,
    events: Arc<dyn SfuEvents>,
) -> anyhow::Result<Arc<Engine>> {
    kaiwa_sfu::metrics::describe();
    let sfu = sfu_config(config, http);
    Engine::start(&sfu, events).with_context(|| {
        format!(
            "media can't be received on UDP {} or its TCP addresses (are they in use? --media-bind and \
             calls.tcp_listen take others; KAIWA_CALLS__ENABLED=false goes without calls)",
            list(&sfu.listen)
        )
    })
}

/// Hands connections to the HTTP port that carry media to the SFU.
struct Media(Arc<Engine>);

impl TakeMedia for Media {
    fn is_media(&self, first: u8) -> bool {
        framing::may_begin_with(first)
    }

    fn take(&self, connection: TcpStream) {
        self.0.take_connection(connection);
    }
}

/// Who takes media that comes to the HTTP port, unless there is none by TCP.
pub(crate) fn media(engine: &Arc<Engine>) -> Option<Arc<dyn TakeMedia>> {
    let has_tcp = !engine.tcp_addresses().is_empty();
    has_tcp.then(|| Arc::new(Media(Arc::clone(engine))) as Arc<dyn TakeMedia>)
}

fn sfu_config(config: &Config, http: SocketAddr) -> SfuConfig {
    let calls = &config.calls;
    let default = SfuConfig::default();
    SfuConfig {
        listen: if calls.listen.is_empty() {
            everywhere(config.http.listen.port())
        } else {
            calls.listen.clone()
        },
        tcp: TcpConfig {
            listen: match &calls.tcp_listen {
                TcpListen::Off => SfuTcpListen::Off,
                TcpListen::Auto => SfuTcpListen::Beside,
                TcpListen::At(addresses) => SfuTcpListen::At(addresses.clone()),
            },
            shared: Some(http),
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
        inspect_s: calls.inspect_s,
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
pub(crate) fn told(engine: &Engine, advertised: &[IpAddr]) -> String {
    describe(engine.addresses(), engine.tcp_addresses(), advertised)
}

fn describe(udp: &[SocketAddr], tcp: &[SocketAddr], advertised: &[IpAddr]) -> String {
    let ways = [("UDP", udp), ("TCP", tcp)];
    let ways = ways.iter().filter(|(_, bound)| !bound.is_empty());
    let here: Vec<String> = ways
        .clone()
        .map(|(over, bound)| format!("{over} {}", list(bound)))
        .collect();
    let here = format!("media on {}", here.join("; "));
    if advertised.is_empty() {
        return here;
    }
    let there: Vec<String> = ways
        .map(|(over, bound)| {
            let port = bound.first().map_or(0, SocketAddr::port);
            let told = advertised.iter().map(|ip| SocketAddr::new(*ip, port));
            format!("{over} {}", list(&told.collect::<Vec<_>>()))
        })
        .collect();
    format!("{here}; browsers are told {}", there.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_says_what_browsers_are_told() {
        let udp = [SocketAddr::from(([10, 0, 0, 5], 8080))];
        let tcp = [SocketAddr::from(([10, 0, 0, 5], 443))];
        assert_eq!(describe(&udp, &[], &[]), "media on UDP 10.0.0.5:8080");
        let advertised = [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5))];
        assert_eq!(
            describe(&udp, &tcp, &advertised),
            "media on UDP 10.0.0.5:8080; TCP 10.0.0.5:443; browsers are told UDP 203.0.113.5:8080; TCP 203.0.113.5:443"
        );
    }
}
