//! Debian's Janus with its VideoRoom, by its HTTP API.

use crate::call::engine::PeerId;
use crate::call::peer::Plan;
use crate::call::stage::Stage;
use crate::http;
use crate::server::free_address;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How Janus is started.
#[derive(Debug, Clone)]
pub struct JanusPlan {
    /// Where Debian's package is unpacked: `/` where it is installed.
    pub root: PathBuf,
    /// The core that it is pinned to.
    pub core: Option<usize>,
    /// Event loops that share its handles; 0 for a thread a handle.
    pub event_loops: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Janus {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
    peers: Vec<PeerId>,
    /// What is published: VideoRoom's id of the publisher.
    feed: Option<u64>,
    entered: u64,
}

/// A handle of VideoRoom's, as a path.
#[derive(Debug, Clone)]
struct Handle {
    session: String,
    path: String,
}

const ROOM: u32 = 1_234;

/// From starting the program to its first answer.
const READY: Duration = Duration::from_secs(20);

/// Where Debian has its libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

impl JanusPlan {
    /// The program.
    #[must_use]
    pub fn program(&self) -> PathBuf {
        self.root.join("usr/bin/janus")
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.program().is_file()
    }
}

impl Janus {
    /// Starts it on loopback with one room.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(plan: &JanusPlan) -> Result<Self> {
        let address = free_address()?;
        let folder = tempfile::Builder::new().prefix("kaiwa-janus-").tempdir()?;
        configure(plan, folder.path(), address)?;
        let mut command = Command::new("setsid");
        if let Some(core) = plan.core {
            command.args(["taskset", "-c", &core.to_string()]);
        }
        let log = fs::File::create(folder.path().join("janus.log"))?;
        command.arg(plan.program()).arg("-F").arg(folder.path());
        command.env("LD_LIBRARY_PATH", plan.root.join(LIBRARIES));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        let child = command.spawn().context("setsid")?;
        let janus = Self {
            child,
            address,
            _folder: folder,
            peers: Vec::new(),
            feed: None,
            entered: 0,
        };
        janus.wait().await?;
        Ok(janus)
    }

    async fn wait(&self) -> Result<()> {
        let end = Instant::now() + READY;
        while http::get(self.address, "/janus/info").await.is_err() {
            if Instant::now() >= end {
                let path = self._folder.path().join("janus.log");
                bail!(
                    "Janus did not start: {}",
                    fs::read_to_string(path).unwrap_or_default()
                );
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Its process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("Janus has ended")
    }

    /// Somebody who publishes, or receives.
    ///
    /// # Errors
    /// When Janus refuses, or it is both.
    pub async fn enter(&mut self, stage: &Stage, plan: Plan) -> Result<PeerId> {
        let publishes = plan.audio.is_some() || plan.video.is_some();
        let receives = plan.audio_slots + plan.video_slots > 0;
        match (publishes, receives) {
            (true, false) => self.publish(stage, plan).await,
            (false, true) => self.subscribe(stage, plan).await,
            _ => bail!("VideoRoom's participants publish or receive"),
        }
    }

    /// A publisher of pictures.
    async fn publish(&mut self, stage: &Stage, plan: Plan) -> Result<PeerId> {
        let mut peer = stage.peer(plan, self.number());
        let handle = self.attach().await?;
        let body = json!({"request": "joinandconfigure", "room": ROOM, "ptype": "publisher",
            "audio": false, "video": true});
        let jsep = json!({"type": "offer", "sdp": peer.offer().sdp});
        let event = self.message(&handle, body, Some(jsep)).await?;
        let feed = event["plugindata"]["data"]["id"].as_u64();
        self.feed = Some(feed.with_context(|| format!("no id: {event}"))?);
        peer.handle_answer(Instant::now(), sdp_of(&event)?)?;
        self.put(stage, peer)
    }

    /// A subscriber of what is published: Janus offers.
    async fn subscribe(&mut self, stage: &Stage, plan: Plan) -> Result<PeerId> {
        let mut peer = stage.peer(plan, self.number());
        let handle = self.attach().await?;
        let feed = self.feed.context("nothing is published")?;
        let body = json!({"request": "join", "room": ROOM, "ptype": "subscriber",
            "streams": [{"feed": feed}]});
        let event = self.message(&handle, body, None).await?;
        let answer = peer.handle_offer(Instant::now(), sdp_of(&event)?)?;
        let jsep = json!({"type": "answer", "sdp": answer});
        self.message(&handle, json!({"request": "start"}), Some(jsep))
            .await?;
        self.put(stage, peer)
    }

    /// Everybody leaves, and Janus is ended.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub async fn end(mut self, stage: &Stage) -> Result<()> {
        for peer in self.peers.drain(..) {
            stage.leave(peer).await;
        }
        if let Some(status) = self.child.try_wait()? {
            bail!("Janus had ended by itself: {status}");
        }
        self.child.kill().await?;
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.entered += 1;
        self.entered
    }

    fn put(&mut self, stage: &Stage, peer: crate::call::peer::Peer) -> Result<PeerId> {
        let id = stage.enter(peer)?;
        self.peers.push(id);
        Ok(id)
    }

    /// A session and a handle in it: a person of their own.
    async fn attach(&self) -> Result<Handle> {
        let create = json!({"janus": "create", "transaction": "c"});
        let created = http::post(self.address, "/janus", &create).await?;
        let session = format!("/janus/{}", id_of(&created)?);
        let attach =
            json!({"janus": "attach", "plugin": "janus.plugin.videoroom", "transaction": "a"});
        let attached = http::post(self.address, &session, &attach).await?;
        let path = format!("{session}/{}", id_of(&attached)?);
        Ok(Handle { session, path })
    }

    /// Says something to VideoRoom, and waits for the event that answers it.
    async fn message(&self, handle: &Handle, body: Value, jsep: Option<Value>) -> Result<Value> {
        let mut message = json!({"janus": "message", "transaction": "m", "body": body});
        if let Some(jsep) = jsep {
            message["jsep"] = jsep;
        }
        let ack = http::post(self.address, &handle.path, &message).await?;
        ensure!(ack["janus"] == "ack" || ack["janus"] == "success", "{ack}");
        for _ in 0..EVENTS {
            let event = http::get(self.address, &format!("{}?maxev=1", handle.session)).await?;
            let mut event: Value = serde_json::from_str(&event)?;
            if let Some(first) = event.as_array_mut().and_then(|all| all.first_mut()) {
                event = first.take();
            }
            if event["janus"] == "event" && event["transaction"] == "m" {
                let error = &event["plugindata"]["data"]["error"];
                ensure!(error.is_null(), "VideoRoom: {error}");
                return Ok(event);
            }
        }
        bail!("no answer from VideoRoom");
    }
}

/// Other events before the one that is waited for.
const EVENTS: usize = 20;

fn id_of(reply: &Value) -> Result<u64> {
    reply["data"]["id"]
        .as_u64()
        .with_context(|| format!("no id: {reply}"))
}

fn sdp_of(event: &Value) -> Result<&str> {
    event["jsep"]["sdp"]
        .as_str()
        .with_context(|| format!("no description: {event}"))
}

fn configure(plan: &JanusPlan, folder: &Path, address: SocketAddr) -> Result<()> {
    let at = |what: &str| {
        plan.root
            .join(LIBRARIES)
            .join("janus")
            .join(what)
            .display()
            .to_string()
    };
    let loops = match plan.event_loops {
        0 => String::new(),
        loops => format!("  event_loops = {loops}\n"),
    };
    let main = format!(
        "general: {{\n  configs_folder = \"{}\"\n  plugins_folder = \"{}\"\n  transports_folder = \"{}\"\n  \
         events_folder = \"{}\"\n  loggers_folder = \"{}\"\n  debug_level = 2\n  interface = \"127.0.0.1\"\n  \
         session_timeout = 0\n{loops}}}\n\
         nat: {{\n  ice_lite = true\n  ice_enforce_list = \"127.0.0.1,lo\"\n  full_trickle = false\n}}\n\
         media: {{\n  ipv6 = false\n}}\n\
         plugins: {{\n  disable = \"libjanus_audiobridge.so,libjanus_echotest.so,libjanus_recordplay.so,\
         libjanus_sip.so,libjanus_nosip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,\
         libjanus_voicemail.so,libjanus_duktape.so,libjanus_lua.so\"\n}}\n\
         transports: {{\n  disable = \"libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,\
         libjanus_rabbitmq.so,libjanus_websockets.so\"\n}}\nevents: {{ broadcast = false }}\n",
        folder.display(),
        at("plugins"),
        at("transports"),
        at("events"),
        at("loggers"),
    );
    let room = format!(
        "general: {{}}\nroom-{ROOM}: {{\n  description = \"bench\"\n  publishers = 6\n  bitrate = 0\n  \
         fir_freq = 0\n  videocodec = \"vp8\"\n  notify_joining = false\n}}\n"
    );
    let http = format!(
        "general: {{\n  json = \"compact\"\n  base_path = \"/janus\"\n  http = true\n  port = {}\n  \
         interface = \"lo\"\n  https = false\n}}\nadmin: {{ admin_http = false }}\n",
        address.port()
    );
    fs::write(folder.join("janus.jcfg"), main)?;
    fs::write(folder.join("janus.plugin.videoroom.jcfg"), room)?;
    fs::write(folder.join("janus.transport.http.jcfg"), http)?;
    Ok(())
}
