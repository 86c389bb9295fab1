//! Runs FFmpeg's programs so that a hostile file gets little: emptied environment, limits of the kernel, no network, own
//! process group, a deadline, bounded output, and an end with the server's.
//!
//! The limits are set by `nice`, `unshare`, `setpriv` and `prlimit` (util-linux), which become the program themselves: the
//! process's id stays the same, and no `unsafe` is needed between fork and exec.

mod launch;

use kaiwa_common::limits::CLIP_PROBE_BYTES;
use launch::Launcher;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Child;

/// For saying its version.
const VERSION: Duration = Duration::from_secs(10);

/// The programs that are needed.
#[derive(Debug, Clone)]
pub struct Tools {
    pub(crate) ffmpeg: PathBuf,
    pub(crate) ffprobe: PathBuf,
    launcher: Arc<Launcher>,
}

impl Tools {
    /// Looks for them in `path` (the form of `PATH`), and tries whether this system gives a process a network of its
    /// own, without any connection.
    ///
    /// # Errors
    /// What is missing, and the command that installs it.
    pub fn find(path: &str) -> Result<Self, String> {
        let find = |name: &str, package: &str| {
            std::env::split_paths(path)
                .map(|folder| folder.join(name))
                .find(|file| file.is_file())
                .ok_or_else(|| {
                    format!(
                        "{name} is missing: apt-get install -y --no-install-recommends {package}"
                    )
                })
        };
        let (ffmpeg, ffprobe) = (find("ffmpeg", "ffmpeg")?, find("ffprobe", "ffmpeg")?);
        let wrappers = launch::Wrappers {
            nice: find("nice", "coreutils")?,
            prlimit: find("prlimit", "util-linux")?,
            setpriv: find("setpriv", "util-linux")?,
            alone: launch::alone(&find("unshare", "util-linux")?, &find("true", "coreutils")?),
        };
        let launcher = Launcher::start(wrappers)
            .map_err(|error| format!("no thread that starts programs: {}", error.kind()))?;
        Ok(Self {
            ffmpeg,
            ffprobe,
            launcher: Arc::new(launcher),
        })
    }

    /// FFmpeg's version as it says it, such as `5.1.6`; nothing that is longer than a version.
    ///
    /// # Errors
    /// The program can't be run, or says something else.
    pub async fn version(&self) -> std::io::Result<String> {
        let mut command = tokio::process::Command::new(&self.ffmpeg);
        command
            .arg("-version")
            .stdin(std::process::Stdio::null())
            .env_clear();
        let said = tokio::time::timeout(VERSION, command.kill_on_drop(true).output()).await;
        let said = said.map_err(|_| std::io::ErrorKind::TimedOut)??;
        let said = String::from_utf8_lossy(&said.stdout);
        let version = said.strip_prefix("ffmpeg version ").unwrap_or_default();
        let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '.';
        let version: String = version.chars().take_while(is_part).take(20).collect();
        if version.is_empty() {
            let text = "ffmpeg -version does not say a version";
            return Err(std::io::Error::other(text));
        }
        Ok(version)
    }

    /// Whether programs run without any network. Some containers forbid it; then the forced demuxer and the protocols
    /// that FFmpeg may use are what keeps it from one.
    #[must_use]
    pub fn has_no_network(&self) -> bool {
        self.launcher.has_no_network()
    }
}

/// Limits of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cage {
    /// Seconds of CPU.
    pub(crate) cpu_s: u64,
    /// Bytes of any file that it writes; zero: none.
    pub(crate) file_bytes: u64,
    /// Wall clock.
    pub(crate) wall: Duration,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) success: bool,
    /// The kernel ended it: it had used its seconds of CPU, or the machine its memory.
    pub(crate) was_killed: bool,
    pub(crate) stdout: Vec<u8>,
    /// The end of what it complained about. It may name files: never logged.
    pub(crate) stderr: Vec<u8>,
}

/// Why a run has no end of its own.
#[derive(Debug)]
pub(crate) enum CageError {
    /// It did not start.
    Start(std::io::Error),
    /// It took longer than it may.
    Deadline,
    /// It said more than it may.
    TooMuch,
}

impl Cage {
    /// Starts a program; it ends when what is returned is dropped, and when the server ends.
    pub(crate) async fn start(
        &self,
        tools: &Tools,
        program: &std::path::Path,
        args: &[OsString],
    ) -> Result<Running, CageError> {
        let started = tools.launcher.launch(*self, program, args).await;
        started.map(Running::new).map_err(CageError::Start)
    }

    /// Runs a program and gives what it said.
    pub(crate) async fn run(
        &self,
        tools: &Tools,
        program: &std::path::Path,
        args: &[OsString],
    ) -> Result<Ran, CageError> {
        let mut running = self.start(tools, program, args).await?;
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let work = async {
            let (out, err) = tokio::join!(bounded(stdout), last_bytes(stderr));
            let Some(out) = out else {
                return Err(CageError::TooMuch);
            };
            let status = running.child.wait().await.map_err(CageError::Start)?;
            Ok(Ran {
                success: status.success(),
                was_killed: status.signal() == Some(Signal::KILL.as_raw()),
                stdout: out,
                stderr: err,
            })
        };
        tokio::time::timeout(self.wall, work)
            .await
            .unwrap_or(Err(CageError::Deadline))
    }

    /// Hears each line that a running program says, until it ends. A longer line comes in pieces.
    pub(crate) async fn watch(
        &self,
        mut running: Running,
        mut line: impl FnMut(&str),
    ) -> Result<Ran, CageError> {
        /// What FFmpeg tells of its progress has 40 bytes a line.
        const LINE: u64 = 1024;
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let work = async {
            let lines = async {
                let Some(stdout) = stdout else { return };
                let (mut stdout, mut text) = (BufReader::new(stdout), Vec::new());
                while let Ok(1..) = (&mut stdout).take(LINE).read_until(b'\n', &mut text).await {
                    line(String::from_utf8_lossy(&text).trim_end());
                    text.clear();
                }
            };
            let ((), stderr) = tokio::join!(lines, last_bytes(stderr));
            let status = running.child.wait().await.map_err(CageError::Start)?;
            Ok(Ran {
                success: status.success(),
                was_killed: status.signal() == Some(Signal::KILL.as_raw()),
                stdout: Vec::new(),
                stderr,
            })
        };
        tokio::time::timeout(self.wall, work)
            .await
            .unwrap_or(Err(CageError::Deadline))
    }
}

/// A process whose whole group ends when this is dropped.
pub(crate) struct Running {
    child: Child,
    pid: Option<Pid>,
}

impl Running {
    fn new(child: Child) -> Self {
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Self { child, pid }
    }

    pub(crate) fn id(&self) -> Option<i32> {
        self.pid.map(|pid| pid.as_raw_nonzero().get())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only while it has not been waited for: afterwards the id may be somebody else's.
        if let (Some(_), Some(pid)) = (self.child.id(), self.pid) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

async fn bounded(pipe: Option<impl AsyncRead + Unpin>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(CLIP_PROBE_BYTES + 1)
            .read_to_end(&mut out)
            .await
            .ok()?;
    }
    (out.len() as u64 <= CLIP_PROBE_BYTES).then_some(out)
}

async fn last_bytes(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    const KEPT: usize = 4096;
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    let Some(mut pipe) = pipe else { return kept };
    while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        kept.drain(..kept.len().saturating_sub(KEPT));
    }
    kept
}
