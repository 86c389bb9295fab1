//! What it costs to begin by WHIP: one request over HTTP, from a new connection to the whole answer.

use super::Bench;
use super::joins::percentile;
use crate::call::host::kaiwa::Kaiwa;
use crate::call::peer::Plan;
use crate::call::results::Whip;
use crate::call::source::{AudioPlan, VideoPlan};
use crate::chat::Voice;
use crate::codec::Codec;
use crate::http;
use anyhow::Result;
use kaiwa_proto::client::v1::RoomJoin;
use kaiwa_proto::client::v1::client_message::Command;
use std::time::Instant;

impl Bench {
    /// Begins so many sessions, each of another person, one after the other, and leaves them all where they are: the
    /// last one comes into a call that has all others. None of them sends anything.
    ///
    /// # Errors
    /// When the server refuses one.
    pub(super) async fn whip(&self, kaiwa: &mut Kaiwa, sessions: usize) -> Result<Whip> {
        let plan = Plan {
            audio: Some(AudioPlan::default()),
            video: Some(VideoPlan::simulcast()),
            profile: self.options.profile,
            ..Plan::default()
        };
        let mut post_ms = Vec::new();
        for number in 0..sessions {
            let seat = kaiwa.seat()?;
            let mut voice =
                Voice::connect(seat.server, Codec::Proto, None, &seat.token, vec![]).await?;
            let room = seat.room.clone();
            voice.room(Command::RoomJoin(RoomJoin { room })).await?;
            let offer = self
                .stage
                .peer(plan.clone(), u64::try_from(number)?)
                .offer();
            let path = format!("/whip/{}", seat.room);
            let began = Instant::now();
            http::offer(seat.server, &path, &seat.token, &offer.sdp).await?;
            post_ms.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let post_ms = (percentile(&mut post_ms, 50), percentile(&mut post_ms, 99));
        Ok(Whip { sessions, post_ms })
    }
}
