//! A person in a call of a Kaiwa server: a session with its signalling, and a peer.

use super::Stage;
use crate::call::engine::PeerId;
use crate::call::peer::Plan;
use crate::call::sdp::Kind;
use crate::client::{Client, Notice, Options, Policy};
use crate::codec::Codec;
use anyhow::{Context as _, Result, bail, ensure};
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{
    CallJoin, CallJoined, CallLeave, CallOffer, CallPrefer, CallPreference, CallPublication,
    CallRoster, CallSlot, CallSource, CallTrack, CallTrackAnswer, RoomJoin, call_track_answer,
    push, reply,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Which pictures of others a person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wishes {
    /// How many at most, the first who came.
    pub pictures: usize,
    /// How large.
    pub size: (u32, u32),
}

/// Who a person is, and where.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The server.
    pub server: SocketAddr,
    /// The person's token.
    pub token: String,
    /// The room.
    pub room: String,
    /// Become a member of the room first.
    pub joins_room: bool,
}

/// What the server has told a person of the call.
#[derive(Debug, Default)]
pub struct Told {
    /// Others' publications, by participant.
    pub roster: BTreeMap<String, Vec<CallPublication>>,
    /// One's own receiving m-lines.
    pub slots: Vec<CallSlot>,
    /// Pushes of speakers.
    pub speakers: u64,
    /// Who has the floor.
    pub active: String,
    /// Why the part in the call is over.
    pub ended: Option<String>,
    /// What the client or the server did wrong.
    pub faults: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Person {
    stage: Stage,
    client: Client,
    room: String,
    /// The peer.
    pub peer: PeerId,
    /// The id in the call.
    pub participant: String,
    /// When `call_join` was sent.
    pub began: Instant,
    /// The publications' ids, by m-line.
    pub publications: Vec<(String, String)>,
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

/// The side that reads what the server tells, and answers it.
struct Listener {
    stage: Stage,
    client: Client,
    room: String,
    peer: PeerId,
    participant: String,
    wishes: Wishes,
    wished: Vec<String>,
    slots: (u32, u32),
    tracks: Vec<CallTrack>,
    told: Arc<Mutex<Told>>,
}

impl Person {
    /// Connects, joins the room's call, offers and takes the answer. The keys come a little later.
    ///
    /// # Errors
    /// When the server refuses any of it.
    pub async fn join(
        stage: &Stage,
        seat: Seat,
        plan: Plan,
        wishes: Wishes,
        number: u64,
    ) -> Result<Self> {
        let options = Options {
            server: seat.server,
            codec: Codec::Proto,
            token: seat.token,
            device: format!("call-{number}"),
            policy: Policy::default(),
            seed: number,
        };
        let (client, notices) = Client::start(options);
        let room = seat.room;
        if seat.joins_room {
            ask(
                &client,
                "room_join",
                Command::RoomJoin(RoomJoin { room: room.clone() }),
            )
            .await?;
        }
        let began = Instant::now();
        let join = CallJoin {
            room: room.clone(),
            ..CallJoin::default()
        };
        let reply::Result::CallJoined(joined) =
            ask(&client, "call_join", Command::CallJoin(join)).await?
        else {
            bail!("call_join was answered with something else");
        };
        let mut peer = stage.peer(plan.clone(), number);
        let offer = peer.offer();
        let tracks = tracks(&offer.tracks);
        let (sdp, answers) = negotiate(&client, &room, offer.sdp, tracks.clone()).await?;
        peer.handle_answer(Instant::now(), &sdp)?;
        let id = stage.enter(peer)?;
        let told = Arc::new(Mutex::new(Told::default()));
        let CallJoined {
            participant,
            roster,
            ..
        } = joined;
        let mut listener = Listener {
            stage: stage.clone(),
            client: client.clone(),
            room: room.clone(),
            peer: id,
            participant: participant.clone(),
            wishes,
            wished: Vec::new(),
            slots: (count(plan.audio_slots), count(plan.video_slots)),
            tracks,
            told: told.clone(),
        };
        listener.take_roster(roster.unwrap_or_default()).await?;
        let task = tokio::spawn(Box::pin(listener.run(notices)));
        Ok(Self {
            stage: stage.clone(),
            client,
            room,
            peer: id,
            participant,
            began,
            publications: publications(answers)?,
            told,
            task,
        })
    }

    /// What the server has told.
    pub fn told<R>(&self, look: impl FnOnce(&Told) -> R) -> R {
        look(&self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A handle to the session, for what else is to be said.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Leaves the call and closes the session.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn leave(self) -> Result<()> {
        let leave = CallLeave { room: self.room };
        let left = ask(&self.client, "call_leave", Command::CallLeave(leave)).await;
        self.stage.leave(self.peer).await;
        self.client.close().await;
        self.task.abort();
        left?;
        Ok(())
    }
}

/// Does a command, within [`ANSWERED_WITHIN`].
async fn ask(client: &Client, name: &'static str, command: Command) -> Result<reply::Result> {
    let answer = tokio::time::timeout(ANSWERED_WITHIN, client.request(command)).await;
    let answer = answer.with_context(|| format!("{name}: no answer within {ANSWERED_WITHIN:?}"))?;
    answer.context(name)
}

/// From a command to its reply.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

fn count(slots: usize) -> u32 {
    u32::try_from(slots).unwrap_or(u32::MAX)
}

fn tracks(offered: &[(String, Kind)]) -> Vec<CallTrack> {
    let track = |(mid, kind): &(String, Kind)| {
        let source = match kind {
            Kind::Audio => CallSource::Microphone,
            Kind::Video => CallSource::Camera,
        };
        CallTrack {
            mid: mid.clone(),
            source: source.into(),
            muted: false,
        }
    };
    offered.iter().map(track).collect()
}

async fn negotiate(
    client: &Client,
    room: &str,
    sdp: String,
    tracks: Vec<CallTrack>,
) -> Result<(String, Vec<CallTrackAnswer>)> {
    let offer = CallOffer {
        room: room.to_owned(),
        sdp,
        tracks,
    };
    let result = ask(client, "call_offer", Command::CallOffer(offer)).await?;
    let reply::Result::CallAnswer(answer) = result else {
        bail!("call_offer was answered with {result:?}")
    };
    Ok((answer.sdp, answer.tracks))
}

fn publications(answers: Vec<CallTrackAnswer>) -> Result<Vec<(String, String)>> {
    let publication = |answer: CallTrackAnswer| match answer.outcome {
        Some(call_track_answer::Outcome::Publication(id)) => Ok((answer.mid, id)),
        Some(call_track_answer::Outcome::Error(error)) => bail!("m-line {}: {error:?}", answer.mid),
        None => bail!("m-line {} has no outcome", answer.mid),
    };
    answers.into_iter().map(publication).collect()
}

impl Listener {
    /// Until the session is over.
    async fn run(mut self, mut notices: mpsc::Receiver<Notice>) {
        while let Some(notice) = notices.recv().await {
            let result = match notice {
                Notice::Call(push) => self.take_push(*push).await,
                Notice::Fault(what) => Err(anyhow::anyhow!(what)),
                Notice::Stopped(code) => Err(anyhow::anyhow!("stopped by {code:?}")),
                Notice::Connected { .. }
                | Notice::Pushed { .. }
                | Notice::Gap { .. }
                | Notice::Delivered(_)
                | Notice::State(_)
                | Notice::Restarted(_)
                | Notice::Ended(_)
                | Notice::Lost { .. } => Ok(()),
            };
            if let Err(error) = result {
                self.tell(|told| told.faults.push(format!("{error:#}")));
            }
        }
    }

    async fn take_push(&mut self, push: push::Push) -> Result<()> {
        match push {
            push::Push::CallRoster(roster) if roster.room == self.room => {
                self.take_roster(roster).await?;
            }
            push::Push::CallSlots(slots) if slots.room == self.room => {
                self.tell(|told| told.slots = slots.slots);
                self.add_slots(slots.want_audio, slots.want_video).await?;
            }
            push::Push::CallEnded(ended) if ended.room == self.room => {
                self.tell(|told| told.ended = Some(ended.reason));
            }
            push::Push::CallSpeakers(speakers) if speakers.room == self.room => {
                self.tell(|told| {
                    told.speakers += 1;
                    told.active = speakers.active;
                });
            }
            push::Push::CallRoster(_)
            | push::Push::CallSlots(_)
            | push::Push::CallEnded(_)
            | push::Push::CallRightsChanged(_)
            | push::Push::CallSpeakers(_)
            | push::Push::CallRinging(_)
            | push::Push::CallQuality(_)
            | push::Push::ClipProgress(_)
            | push::Push::Marked(_)
            | push::Push::Event(_)
            | push::Push::State(_)
            | push::Push::Gap(_)
            | push::Push::Ping(_)
            | push::Push::Bye(_) => {}
        }
        Ok(())
    }

    /// Others came, went or changed; says anew which pictures are wanted, if that changed.
    async fn take_roster(&mut self, roster: CallRoster) -> Result<()> {
        let me = self.participant.clone();
        let wanted = self.tell(|told| {
            if roster.full {
                told.roster.clear();
            }
            for gone in roster.gone {
                told.roster.remove(&gone.participant);
            }
            for other in roster
                .participants
                .into_iter()
                .filter(|p| p.participant != me)
            {
                told.roster.insert(other.participant, other.publications);
            }
            let is_picture = |publication: &&CallPublication| {
                let source = publication.source;
                source == CallSource::Camera as i32 || source == CallSource::Screen as i32
            };
            let all = told.roster.values().flatten().filter(is_picture);
            all.map(|publication| publication.publication.clone())
                .collect::<Vec<_>>()
        });
        // Those that were wanted before stay wanted.
        let mut wished: Vec<String> = self
            .wished
            .iter()
            .filter(|id| wanted.contains(id))
            .cloned()
            .collect();
        let more: Vec<String> = wanted
            .into_iter()
            .filter(|id| !wished.contains(id))
            .collect();
        wished.extend(more);
        wished.truncate(self.wishes.pictures);
        if wished == self.wished {
            return Ok(());
        }
        self.wished.clone_from(&wished);
        let (width, height) = self.wishes.size;
        let preference = |publication| CallPreference {
            publication,
            width,
            height,
            paused: false,
        };
        let prefer = CallPrefer {
            room: self.room.clone(),
            preferences: wished.into_iter().map(preference).collect(),
        };
        let result = ask(&self.client, "call_prefer", Command::CallPrefer(prefer)).await?;
        ensure!(
            matches!(result, reply::Result::Done(_)),
            "call_prefer was answered with {result:?}"
        );
        Ok(())
    }

    /// The server wants more receiving m-lines.
    async fn add_slots(&mut self, audio: u32, video: u32) -> Result<()> {
        if (audio, video) == (0, 0) {
            return Ok(());
        }
        self.slots = (self.slots.0 + audio, self.slots.1 + video);
        ensure!(
            self.slots.0 + self.slots.1 <= SLOTS,
            "the server wants {:?} m-lines",
            self.slots
        );
        let (audio, video) = (usize::try_from(audio)?, usize::try_from(video)?);
        let offer = self.stage.engine.with(self.peer, move |peer, _, _| {
            peer.add_slots(audio, video);
            peer.offer().sdp
        });
        let offer = offer.await.context("the peer is gone")?;
        let (answer, _) = negotiate(&self.client, &self.room, offer, self.tracks.clone()).await?;
        let taken = self.stage.engine.with(self.peer, move |peer, now, _| {
            peer.handle_answer(now, &answer)
        });
        taken.await.context("the peer is gone")??;
        Ok(())
    }

    fn tell<R>(&self, change: impl FnOnce(&mut Told) -> R) -> R {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Receiving m-lines of one person: more than anybody looks at, fewer than a description can have.
const SLOTS: u32 = 64;
