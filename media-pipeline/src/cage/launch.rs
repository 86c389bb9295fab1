//! Starts programs from a thread of its own.
//!
//! The kernel ends a program when the *thread* that started it ends (`PR_SET_PDEATHSIG`, prctl(2)). Threads of a runtime
//! come and go; this one lives as long as the server, so that its end, `kill -9` too, is the programs' end.

use super::Cage;
use kaiwa_common::limits::CLIP_MEMORY_BYTES;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

/// Programs that each do one thing and become the next.
#[derive(Debug)]
pub(super) struct Wrappers {
    pub(super) nice: PathBuf,
    pub(super) prlimit: PathBuf,
    pub(super) setpriv: PathBuf,
    /// What takes the network away, where the system lets us.
    pub(super) alone: Option<Vec<OsString>>,
}

struct Task {
    cage: Cage,
    program: PathBuf,
    args: Vec<OsString>,
    runtime: tokio::runtime::Handle,
    answer: oneshot::Sender<io::Result<Child>>,
}

/// The thread, which ends with this, and every program with it.
#[derive(Debug)]
pub(super) struct Launcher {
    tasks: mpsc::Sender<Task>,
    has_no_network: bool,
}

impl Launcher {
    pub(super) fn start(wrappers: Wrappers) -> io::Result<Self> {
        let (tasks, to_start) = mpsc::channel::<Task>();
        let has_no_network = wrappers.alone.is_some();
        std::thread::Builder::new()
            .name("clip-programs".to_owned())
            .spawn(move || {
                while let Ok(task) = to_start.recv() {
                    let _runtime = task.runtime.enter();
                    let child = command(&wrappers, task.cage, &task.program, &task.args).spawn();
                    // Nobody waits any more: the process ends when it is dropped.
                    let _ = task.answer.send(child);
                }
            })?;
        Ok(Self {
            tasks,
            has_no_network,
        })
    }

    pub(super) fn has_no_network(&self) -> bool {
        self.has_no_network
    }

    pub(super) async fn launch(
        &self,
        cage: Cage,
        program: &Path,
        args: &[OsString],
    ) -> io::Result<Child> {
        let (answer, started) = oneshot::channel();
        let task = Task {
            cage,
            program: program.to_owned(),
            args: args.to_vec(),
            runtime: tokio::runtime::Handle::current(),
            answer,
        };
        let gone = || io::Error::other("the thread that starts programs has ended");
        self.tasks.send(task).map_err(|_| gone())?;
        started.await.map_err(|_| gone())?
    }
}

fn command(wrappers: &Wrappers, cage: Cage, program: &Path, args: &[OsString]) -> Command {
    let mut command = Command::new(&wrappers.nice);
    command.args(["-n", "10"]);
    // Before `setpriv`: new credentials take back what it sets.
    command.args(wrappers.alone.iter().flatten());
    command
        .arg(&wrappers.setpriv)
        .args(["--pdeathsig", "KILL", "--"])
        .arg(&wrappers.prlimit)
        .arg(format!("--cpu={}", cage.cpu_s))
        .arg(format!("--as={CLIP_MEMORY_BYTES}"))
        .arg(format!("--fsize={}", cage.file_bytes))
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

/// How a process is put into a network namespace of its own, if this system lets us: with the rights of an
/// administrator, else with those that a user namespace gives.
pub(super) fn alone(unshare: &Path, nothing: &Path) -> Option<Vec<OsString>> {
    let ways: [&[&str]; 2] = [
        &["--net", "--"],
        &["--user", "--map-current-user", "--net", "--"],
    ];
    ways.iter().find_map(|way| {
        let tried = std::process::Command::new(unshare)
            .args(*way)
            .arg(nothing)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let words = way.iter().map(OsString::from);
        tried.is_ok_and(|status| status.success()).then(|| {
            std::iter::once(unshare.as_os_str().to_owned())
                .chain(words)
                .collect()
        })
    })
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
