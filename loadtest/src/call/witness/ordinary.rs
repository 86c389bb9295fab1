//! A participant on the `webrtc` crate as its users write one: a peer connection, a receiving transceiver, and the
//! packets of its track.

use super::{Left, Witness};
use crate::call::count::{Counter, Totals, Way};
use crate::call::peer::Plan;
use crate::call::rtp::extend;
use crate::call::srtp::Profile;
use crate::call::stage::person::Seat;
use crate::call::stamp::{Read, Stamp};
use crate::call::vp8::{self, FRAME_HEADER_BYTES};
use crate::client::{Client, Options, Policy};
use crate::codec::Codec;
use anyhow::{Context as _, Result, bail, ensure};
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{
    CallJoin, CallLeave, CallOffer, CallPrefer, CallPreference, CallRoster, CallSource, RoomJoin,
    reply,
};
use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCConfigurationBuilder, RTCIceGatheringState, RTCSessionDescription, Registry,
    SettingEngineBuilder, SrtpProtectionProfile, configure_nack, configure_rtcp_reports,
    register_default_interceptors,
};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

/// From the answer to the first packet.
const FIRST_WITHIN: Duration = Duration::from_secs(20);

/// See the module.
pub(super) struct Ordinary {
    connection: Box<dyn PeerConnection>,
    client: Client,
    room: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    counter: Counter,
    highest: Option<u64>,
}

struct Handler {
    gathered: Arc<Notify>,
    seen: Arc<Mutex<Seen>>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.notify_one();
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let seen = self.seen.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if let TrackRemoteEvent::OnRtpPacket(packet) = event {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.take(packet.header.sequence_number, &packet.payload);
                }
            }
        });
    }
}

impl Seen {
    fn take(&mut self, seq: u16, payload: &[u8]) {
        let index = self
            .highest
            .map_or(u64::from(seq), |highest| extend(seq, highest));
        self.highest = Some(self.highest.map_or(index, |highest| highest.max(index)));
        let frame = vp8::read(payload).and_then(|(_, frame)| frame.get(FRAME_HEADER_BYTES..));
        if let Some(Read::Stamped(stamp)) = frame.map(Stamp::read) {
            self.counter.handle(stamp.counter, index, 0, Way::Media);
        }
    }
}

impl Ordinary {
    pub(super) async fn enter(seat: Seat, like: &Plan) -> Result<Self> {
        let options = Options {
            server: seat.server,
            codec: Codec::Json,
            token: seat.token,
            device: "ordinary".to_owned(),
            policy: Policy::default(),
            seed: 1,
        };
        let (client, mut notices) = Client::start(options);
        tokio::spawn(async move { while notices.recv().await.is_some() {} });
        let room = seat.room;
        client
            .request(Command::RoomJoin(RoomJoin { room: room.clone() }))
            .await?;
        let join = CallJoin {
            room: room.clone(),
            ..CallJoin::default()
        };
        let reply::Result::CallJoined(joined) = client.request(Command::CallJoin(join)).await?
        else {
            bail!("call_join was answered with something else");
        };
        let seen = Arc::new(Mutex::new(Seen::default()));
        let connection = Box::pin(connect(&client, &room, like, seen.clone())).await?;
        let prefer = CallPrefer {
            room: room.clone(),
            preferences: vec![picture(&joined.roster.unwrap_or_default())?],
        };
        client.request(Command::CallPrefer(prefer)).await?;
        let ordinary = Self {
            connection,
            client,
            room,
            seen,
        };
        let end = Instant::now() + FIRST_WITHIN;
        while ordinary.count().0.unique == 0 {
            ensure!(Instant::now() < end, "the ordinary participant got nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(ordinary)
    }
}

/// The first picture of the room.
fn picture(roster: &CallRoster) -> Result<CallPreference> {
    let all = roster
        .participants
        .iter()
        .flat_map(|participant| &participant.publications);
    let camera = all
        .into_iter()
        .find(|one| one.source == i32::from(CallSource::Camera));
    Ok(CallPreference {
        publication: camera.context("nobody shows anything")?.publication.clone(),
        width: 1_280,
        height: 720,
        paused: false,
    })
}

async fn connect(
    client: &Client,
    room: &str,
    like: &Plan,
    seen: Arc<Mutex<Seen>>,
) -> Result<Box<dyn PeerConnection>> {
    let mut media = MediaEngine::default();
    media.register_default_codecs()?;
    let registry = if like.feedback.is_zero() {
        configure_rtcp_reports(configure_nack(Registry::new(), &mut media))
    } else {
        register_default_interceptors(Registry::new(), &mut media)?
    };
    let profile = match like.profile {
        Profile::Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        Profile::Sha1 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    };
    let settings = SettingEngineBuilder::new()
        .with_srtp_protection_profiles(vec![profile])
        .build();
    let gathered = Arc::new(Notify::new());
    let handler = Handler {
        gathered: gathered.clone(),
        seen,
    };
    let building = PeerConnectionBuilder::new()
        .with_configuration(RTCConfigurationBuilder::default().build())
        .with_media_engine(media)
        .with_interceptor_registry(registry)
        .with_setting_engine(settings)
        .with_handler(Arc::new(handler))
        .with_udp_addrs(vec!["127.0.0.1:0"])
        .build();
    let connection = Box::pin(building).await?;
    let init = RTCRtpTransceiverInit {
        direction: RTCRtpTransceiverDirection::Recvonly,
        ..RTCRtpTransceiverInit::default()
    };
    connection
        .add_transceiver_from_kind(RtpCodecKind::Video, Some(init))
        .await?;
    let offer = connection.create_offer(None).await?;
    connection.set_local_description(offer).await?;
    gathered.notified().await;
    let offer = connection.local_description().await.context("no offer")?;
    let offer = CallOffer {
        room: room.to_owned(),
        sdp: offer.sdp,
        tracks: Vec::new(),
    };
    let reply::Result::CallAnswer(answer) = client.request(Command::CallOffer(offer)).await? else {
        bail!("call_offer was answered with something else");
    };
    let answer = RTCSessionDescription::answer(answer.sdp)?;
    connection.set_remote_description(answer).await?;
    Ok(Box::new(connection))
}

impl Witness for Ordinary {
    fn count(&self) -> (Totals, u32) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.counter.totals(), seen.counter.highest().unwrap_or(0))
    }

    fn leave(&self) -> Left<'_> {
        Box::pin(async {
            let leave = CallLeave {
                room: self.room.clone(),
            };
            // The call may be over already, and the server with it.
            let _ = self.client.request(Command::CallLeave(leave)).await;
            let _ = self.connection.close().await;
            self.client.close().await;
        })
    }
}
