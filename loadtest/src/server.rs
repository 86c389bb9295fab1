//! A Kaiwa server as a child process: started, measured, drained, killed, and started again on the same
//! data and port.

use crate::proc::{self, Cpu, Memory};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How to start a server.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The `kaiwa` program.
    pub binary: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Limits other than the defaults: fields of `kaiwa_common::limits::Limits`, in upper case.
    pub limits: Vec<(String, u64)>,
    /// Programs that start it, such as `taskset -c 0`; each of them has to become what it starts.
    pub prefix: Vec<String>,
    /// Further arguments of `kaiwa serve`.
    pub arguments: Vec<String>,
    /// Further variables of its environment.
    pub variables: Vec<(String, String)>,
}

/// Limits raised out of the way of a load test, whose people all come from one address.
pub const WIDE: [(&str, u64); 8] = [
    ("CONNECTIONS", 19_500),
    ("CONNECTIONS_PER_ADDRESS", 19_500),
    ("COMMANDS_PER_S", 1_000_000),
    ("COMMAND_BURST", 1_000_000),
    ("REFUSED_BURST", 1_000_000),
    ("REQUESTS_PER_S", 1_000_000),
    ("REQUEST_BURST", 1_000_000),
    ("ROOMS_PER_USER", 20_000),
];

/// From starting the program to its ready line.
const READY: Duration = Duration::from_secs(30);

/// From SIGTERM to the process's end: the drain's deadline and some more.
const DRAINED: Duration = Duration::from_secs(40);

/// Somebody to make tokens for.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// `sub`.
    pub sub: &'a str,
    /// `name`.
    pub name: &'a str,
    /// `role`, or `None` for the default.
    pub role: Option<&'a str>,
    /// How long the token is good, such as `1h`.
    pub ttl: &'a str,
}

impl Spec {
    /// A server on a free port of the loopback address.
    ///
    /// # Errors
    /// When no port is free.
    pub fn new(binary: &Path, data: &Path) -> Result<Self> {
        let listen = free_address()?;
        Ok(Self {
            binary: binary.to_owned(),
            data: data.to_owned(),
            listen,
            limits: WIDE
                .iter()
                .map(|&(name, value)| (name.to_owned(), value))
                .collect(),
            prefix: Vec::new(),
            arguments: Vec::new(),
            variables: Vec::new(),
        })
    }

    /// A token of this server for somebody.
    ///
    /// # Errors
    /// When the program refuses.
    pub async fn token(&self, who: Who<'_>) -> Result<String> {
        let mut args = vec!["--sub", who.sub, "--name", who.name, "--ttl", who.ttl];
        args.extend(who.role.iter().flat_map(|role| ["--role", role]));
        let lines = self.run_token(&args).await?;
        lines.into_iter().next().context("no token was printed")
    }

    /// Tokens for `{prefix}0`, `{prefix}1` and so on.
    ///
    /// # Errors
    /// When the program refuses, or prints another number of lines.
    pub async fn tokens(&self, prefix: &str, count: usize) -> Result<Vec<String>> {
        let number = count.to_string();
        let args = ["--count", &number, "--sub-prefix", prefix, "--ttl", "12h"];
        let lines = self.run_token(&args).await?;
        ensure!(
            lines.len() == count,
            "{} tokens instead of {count}",
            lines.len()
        );
        Ok(lines)
    }

    async fn run_token(&self, args: &[&str]) -> Result<Vec<String>> {
        let mut command = Command::new(&self.binary);
        command
            .arg("token")
            .arg("--data")
            .arg(&self.data)
            .args(args);
        let output = command.stdin(Stdio::null()).output().await?;
        if !output.status.success() {
            bail!(
                "kaiwa token: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Starts the server and waits for its ready line.
    ///
    /// # Errors
    /// When it ends or stays silent.
    pub async fn start(&self) -> Result<Server> {
        std::fs::create_dir_all(&self.data)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())?;
        let mut command = match self.prefix.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.binary);
                command
            }
            None => Command::new(&self.binary),
        };
        command.arg("serve").arg("--data").arg(&self.data);
        command.arg("--listen").arg(self.listen.to_string());
        // A free port, so that servers can run beside each other.
        command.env("KAIWA_CLIPS__GRPC_LISTEN", "127.0.0.1:0");
        command.args(&self.arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        for (name, value) in &self.limits {
            command.env(format!("KAIWA_LIMITS__{name}"), value.to_string());
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .with_context(|| self.binary.display().to_string())?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut lines = BufReader::new(stdout).lines();
        let address = match tokio::time::timeout(READY, ready(&mut lines)).await {
            Ok(Ok(address)) => address,
            Ok(Err(error)) => {
                let words = std::fs::read_to_string(self.log()).unwrap_or_default();
                return Err(error.context(format!("the server did not start: {words}")));
            }
            Err(_) => bail!("no ready line from the server within {READY:?}"),
        };
        // It goes on writing lines; nobody reading them would end it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Server { child, address })
    }

    /// Where its standard error goes, over all restarts.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.data.join("server.log")
    }
}

/// A running server; it is killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the server has ended")
    }

    /// Its CPU time so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> Result<Cpu> {
        proc::cpu(self.pid()?)
    }

    /// Its memory now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<Memory> {
        proc::memory(self.pid()?)
    }

    /// SIGKILL: as a power cut is to a process.
    ///
    /// # Errors
    /// When it has ended by itself before.
    pub async fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server had ended by itself: {status}");
        }
        self.child.kill().await?;
        Ok(())
    }

    /// SIGTERM: drains; returns how it ended.
    ///
    /// # Errors
    /// When it had ended before, or doesn't end in time.
    pub async fn terminate(mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.pid()?).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no process id")?, Signal::TERM)?;
        let ended = tokio::time::timeout(DRAINED, self.child.wait()).await;
        Ok(ended.with_context(|| format!("SIGTERM did not end it within {DRAINED:?}"))??)
    }
}

/// The address of the first `http://…/` that is printed.
async fn ready(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<SocketAddr> {
    while let Some(line) = lines.next_line().await? {
        let rest = line.split_once("http://").map(|(_, rest)| rest);
        let end = |c: char| c == '/' || c.is_whitespace();
        if let Some(address) = rest.and_then(|r| r.split(end).next()?.parse().ok()) {
            return Ok(address);
        }
    }
    bail!("it ended without a ready line");
}

/// A free port below the range that outgoing connections use: a client that connects to a port of
/// that range while nobody listens there may meet itself, and keep the port from the server.
///
/// # Errors
/// When no port is free.
pub fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 6_000)?;
    loop {
        // Servers of one process that start at the same time must not be given the same one.
        let port = first + 7 * NEXT.fetch_add(1, Ordering::Relaxed);
        ensure!(port < 32_000, "no free port");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
}
