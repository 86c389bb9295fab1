//! Runs FFmpeg's programs so that a hostile file gets little: emptied environment, limits of the kernel, own process
//! group, a deadline, bounded output.
//!
//! The limits are set by `prlimit` (util-linux) and `nice`, which become the program themselves: the process's id
//! stays the same, and no `unsafe` is needed between fork and exec.

use kaiwa_common::limits::{CLIP_MEMORY_BYTES, CLIP_PROBE_BYTES};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

/// For saying its version.
const VERSION: Duration = Duration::from_secs(10);

/// The programs that are needed.
#[derive(Debug, Clone)]
pub struct Tools {
    pub(crate) ffmpeg: PathBuf,
    pub(crate) ffprobe: PathBuf,
    nice: PathBuf,
    prlimit: PathBuf,
}

impl Tools {
    /// Looks for them in `path` (the form of `PATH`).
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
        Ok(Self {
            ffmpeg: find("ffmpeg", "ffmpeg")?,
            ffprobe: find("ffprobe", "ffmpeg")?,
            nice: find("nice", "coreutils")?,
            prlimit: find("prlimit", "util-linux")?,
        })
    }

    /// FFmpeg's version as it says it, such as `5.1.6`; nothing that is longer than a version.
    ///
    /// # Errors
    /// The program can't be run, or says something else.
    pub async fn version(&self) -> std::io::Result<String> {
        let mut command = Command::new(&self.ffmpeg);
        command.arg("-version").stdin(Stdio::null()).env_clear();
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
    pub(crate) fn command(&self, tools: &Tools, program: &Path, args: &[OsString]) -> Command {
        let mut command = Command::new(&tools.nice);
        command
            .args(["-n", "10"])
            .arg(&tools.prlimit)
            .arg(format!("--cpu={}", self.cpu_s))
            .arg(format!("--as={CLIP_MEMORY_BYTES}"))
            .arg(format!("--fsize={}", self.file_bytes))
            .arg(format!("--nproc={}", threads_of_user() + 256))
            .args(["--core=0", "--nofile=256", "--"])
            .arg(program)
            .args(args)
            .env_clear()
            // Reserves of 64 MiB for each thread would fill the address space on large machines.
            .env("MALLOC_ARENA_MAX", "2")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// Runs a program and gives what it said.
    pub(crate) async fn run(
        &self,
        tools: &Tools,
        program: &Path,
        args: &[OsString],
    ) -> Result<Ran, CageError> {
        let child = self
            .command(tools, program, args)
            .spawn()
            .map_err(CageError::Start)?;
        let mut running = Running::new(child);
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let work = async {
            let (out, err) = tokio::join!(bounded(stdout), last_bytes(stderr));
            let Some(out) = out else {
                return Err(CageError::TooMuch);
            };
            let status = running.child.wait().await.map_err(CageError::Start)?;
            Ok(Ran {
                success: status.success(),
                stdout: out,
                stderr: err,
            })
        };
        tokio::time::timeout(self.wall, work)
            .await
            .unwrap_or(Err(CageError::Deadline))
    }

    /// Runs a program and hears each line that it says.
    pub(crate) async fn watch(
        &self,
        mut running: Running,
        mut line: impl FnMut(&str),
    ) -> Result<Ran, CageError> {
        let (stdout, stderr) = (running.child.stdout.take(), running.child.stderr.take());
        let work = async {
            let lines = async {
                if let Some(stdout) = stdout {
                    let mut lines = BufReader::new(stdout).lines();
                    while let Ok(Some(text)) = lines.next_line().await {
                        line(&text);
                    }
                }
            };
            let ((), stderr) = tokio::join!(lines, last_bytes(stderr));
            let status = running.child.wait().await.map_err(CageError::Start)?;
            Ok(Ran {
                success: status.success(),
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
    pub(crate) fn new(child: Child) -> Self {
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

/// Threads that this person's processes have: `RLIMIT_NPROC` counts all of them.
fn threads_of_user() -> u64 {
    let user = rustix::process::getuid().as_raw().to_string();
    let count = |status: String| {
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next())
        };
        (field("Uid:") == Some(&user))
            .then(|| field("Threads:")?.parse().ok())
            .flatten()
            .unwrap_or(0)
    };
    std::fs::read_dir("/proc").map_or(0, |entries| {
        entries
            .flatten()
            .filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok())
            .map(count)
            .sum()
    })
}
