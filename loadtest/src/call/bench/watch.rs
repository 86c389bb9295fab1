//! Participants in a room of a server that somebody else has started, beside browsers: they say what they count,
//! a line of JSON at a time, until told to stop.

use crate::call::peer::{Plan, Received, Sent};
use crate::call::source::{AudioPlan, Loudness, VideoPlan};
use crate::call::srtp::Profile;
use crate::call::stage::person::{Person, Seat};
use crate::call::stage::{Stage, Wishes};
use crate::chat::{Voice, public_room};
use crate::codec::Codec;
use crate::print;
use crate::rng::Rng;
use anyhow::{Context as _, Result, ensure};
use kaiwa_common::time::UnixMs;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Who watches, and what they send.
#[derive(Debug, Clone, clap::Args)]
pub struct WatchPlan {
    /// The server's address, plain HTTP.
    #[arg(long)]
    pub server: SocketAddr,
    /// The room; a new public one of the first participant's when left out, which all join.
    #[arg(long)]
    pub room: Option<String>,
    /// A file with a token a line: one for each participant.
    #[arg(long)]
    pub tokens: PathBuf,
    /// How many; all that there are tokens for when left out.
    #[arg(long)]
    pub count: Option<usize>,
    /// Become members of the room first.
    #[arg(long)]
    pub join_room: bool,
    /// The first so many speak, each louder than the next.
    #[arg(long, default_value_t = 0)]
    pub voices: usize,
    /// The first so many show a picture.
    #[arg(long, default_value_t = 0)]
    pub pictures: usize,
    /// Pictures in three layers.
    #[arg(long)]
    pub simulcast: bool,
    /// Receiving m-lines for sound, of each.
    #[arg(long, default_value_t = 3)]
    pub audio_slots: usize,
    /// Receiving m-lines for pictures, of each.
    #[arg(long, default_value_t = 9)]
    pub video_slots: usize,
    /// The width at which pictures are asked for.
    #[arg(long, default_value_t = 1_280)]
    pub width: u32,
    /// The height at which pictures are asked for.
    #[arg(long, default_value_t = 720)]
    pub height: u32,
    /// Media by TCP and not by UDP.
    #[arg(long)]
    pub by_tcp: bool,
    /// The address of the participants' sockets.
    #[arg(long)]
    pub bind: Option<SocketAddr>,
    /// The one SRTP profile that is offered.
    #[arg(long, value_enum, default_value_t = Profile::Gcm)]
    pub profile: Profile,
    /// Between two transport-wide feedbacks, in ms; 0 for none.
    #[arg(long, default_value_t = 100)]
    pub feedback_ms: u64,
    /// Between two lines, in ms.
    #[arg(long, default_value_t = 1_000)]
    pub every_ms: u64,
    /// Lines until the end; without, until standard input ends or says `stop`.
    #[arg(long)]
    pub lines: Option<usize>,
}

/// One participant, in a line of output.
#[derive(Debug, Serialize)]
pub struct Seen {
    /// The id in the call.
    pub participant: String,
    /// Media can go both ways.
    pub connected: bool,
    /// Why it can't.
    pub failure: Option<String>,
    /// Why the part in the call is over.
    pub ended: Option<String>,
    /// What the client or server did wrong.
    pub faults: Vec<String>,
    /// Others in the call, with their publications.
    pub roster: Vec<(String, Vec<String>)>,
    /// What the slots carry: m-line, publication, layer, and why it is less than was asked for.
    pub slots: Vec<(String, String, u32, String)>,
    /// Pushes of speakers so far.
    pub speakers: u64,
    /// What was sent.
    pub sent: Sent,
    /// What was received.
    pub received: Received,
}

/// Joins, tells, and leaves at the end.
///
/// # Errors
/// When the server refuses somebody.
pub async fn run(plan: &WatchPlan) -> Result<()> {
    let tokens = std::fs::read_to_string(&plan.tokens).context("the tokens")?;
    let tokens: Vec<&str> = tokens
        .lines()
        .map(str::trim)
        .filter(|t| !t.is_empty())
        .collect();
    let count = plan.count.unwrap_or(tokens.len());
    ensure!(
        count <= tokens.len(),
        "{count} participants, {} tokens",
        tokens.len()
    );
    let stage = Stage::new(1, plan.bind)?;
    let room = match &plan.room {
        Some(room) => room.clone(),
        None => new_room(plan.server, tokens.first().context("no token")?).await?,
    };
    let mut people = Vec::new();
    for (number, token) in tokens.iter().take(count).enumerate() {
        people.push(enter(&stage, plan, (&room, token), number).await?);
    }
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let mut lines = 0;
    while plan.lines.is_none_or(|most| lines < most) {
        print::line(serde_json::to_string(&look(&stage, &people).await?)?);
        lines += 1;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(plan.every_ms)) => {}
            line = input.next_line(), if plan.lines.is_none() => {
                if line?.is_none_or(|line| line.trim() == "stop") {
                    break;
                }
            }
        }
    }
    print::line(serde_json::to_string(&look(&stage, &people).await?)?);
    for person in people {
        // Some have been removed, or lost their server: that was said.
        let _ = person.leave().await;
    }
    Ok(())
}

async fn new_room(server: SocketAddr, token: &str) -> Result<String> {
    let mut voice = Voice::connect(server, Codec::Proto, None, token, vec![]).await?;
    let cid = Rng::new(1).cid(UnixMs::now().0);
    Ok(voice.room(public_room(cid, "call")).await?.room)
}

async fn enter(
    stage: &Stage,
    plan: &WatchPlan,
    (room, token): (&str, &str),
    number: usize,
) -> Result<Person> {
    let seat = Seat {
        server: plan.server,
        token: token.to_owned(),
        room: room.to_owned(),
        joins_room: plan.join_room || plan.room.is_none(),
    };
    // Beyond 100 nobody is heard.
    let level = 20 + u8::try_from(number.min(80))?;
    let audio = AudioPlan {
        loudness: Loudness::Steady(level),
        ..AudioPlan::default()
    };
    let video = if plan.simulcast {
        VideoPlan::simulcast()
    } else {
        VideoPlan::bursts(75, 1_100, 3)
    };
    let peer = Plan {
        number: u32::try_from(number)?,
        audio: (number < plan.voices).then_some(audio),
        video: (number < plan.pictures).then_some(video),
        audio_slots: plan.audio_slots,
        video_slots: plan.video_slots,
        profile: plan.profile,
        feedback: Duration::from_millis(plan.feedback_ms),
        by_tcp: plan.by_tcp,
        ..Plan::default()
    };
    let wishes = Wishes {
        pictures: plan.video_slots,
        size: (plan.width, plan.height),
    };
    Person::join(stage, seat, peer, wishes, u64::try_from(number)?).await
}

async fn look(stage: &Stage, people: &[Person]) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for person in people {
        let status = stage.status(person.peer).await?;
        let sent = stage.sent(&[person.peer]).await?;
        let received = stage.received(&[person.peer], None).await?;
        all.push(person.told(|told| {
            let ids = |publications: &Vec<kaiwa_proto::client::v1::CallPublication>| {
                publications
                    .iter()
                    .map(|one| one.publication.clone())
                    .collect()
            };
            Seen {
                participant: person.participant.clone(),
                connected: status.connected.is_some(),
                failure: status.failure.as_ref().map(ToString::to_string),
                ended: told.ended.clone(),
                faults: told.faults.clone(),
                roster: told
                    .roster
                    .iter()
                    .map(|(id, all)| (id.clone(), ids(all)))
                    .collect(),
                slots: told
                    .slots
                    .iter()
                    .cloned()
                    .map(|slot| (slot.mid, slot.publication, slot.layer, slot.limited_by))
                    .collect(),
                speakers: told.speakers,
                sent,
                received: received.into_iter().next().unwrap_or_default(),
            }
        }));
    }
    Ok(all)
}
