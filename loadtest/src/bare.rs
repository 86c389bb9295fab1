//! The floor of fan-out: a process that holds as many sockets and writes the same bytes to each, and
//! does nothing else.

use anyhow::{Context as _, Result, bail, ensure};
use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use crate::proc::{self, Cpu};
use crate::vectors::{from_hex, to_hex};

/// The child's life: it accepts connections, then obeys lines on its standard input:
/// `single HEX` and `joined HEX` set what is written; `one` writes the single bytes to every socket,
/// `many N` does so N times, `all` writes the joined bytes to every socket.
///
/// # Errors
/// When a socket breaks, or a line is none of these.
pub fn child() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut lines = std::io::stdin().lock().lines();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?)?;
    let count: usize = lines.next().context("no number of sockets")??.parse()?;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        sockets.push(socket);
    }
    writeln!(stdout, "ready")?;
    let (mut single, mut joined) = (Vec::new(), Vec::new());
    for line in lines {
        let line = line?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("single", hex) => single = from_hex(hex)?,
            ("joined", hex) => joined = from_hex(hex)?,
            ("one", _) => write(&mut sockets, &single)?,
            ("many", times) => {
                for _ in 0..times.parse::<u32>()? {
                    write(&mut sockets, &single)?;
                }
            }
            ("all", _) => write(&mut sockets, &joined)?,
            (other, _) => bail!("{other:?} is no order"),
        }
    }
    Ok(())
}

/// One `write` per socket.
fn write(sockets: &mut [TcpStream], bytes: &[u8]) -> Result<()> {
    for socket in sockets {
        socket.write_all(bytes)?;
    }
    Ok(())
}

/// The floor as seen from the load tester; it ends when dropped.
#[derive(Debug)]
pub struct Bare {
    child: Child,
    stdin: ChildStdin,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    /// Where it accepts connections.
    pub address: SocketAddr,
}

impl Bare {
    /// Starts the child, which waits for so many connections.
    ///
    /// # Errors
    /// When it doesn't start.
    pub async fn start(sockets: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("bare-loop")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().context("stdin is piped")?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let address = lines.next_line().await?.context("no address")?.parse()?;
        stdin.write_all(format!("{sockets}\n").as_bytes()).await?;
        Ok(Self {
            child,
            stdin,
            lines,
            address,
        })
    }

    /// Waits until all connections are accepted, and tells it the bytes.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn ready(&mut self, single: &[u8], joined: &[u8]) -> Result<()> {
        let line = self.lines.next_line().await?;
        ensure!(
            line.as_deref() == Some("ready"),
            "the bare loop said {line:?}"
        );
        self.order(&format!("single {}", to_hex(single))).await?;
        self.order(&format!("joined {}", to_hex(joined))).await
    }

    /// Gives an order; see [`child`].
    ///
    /// # Errors
    /// When it has ended.
    pub async fn order(&mut self, order: &str) -> Result<()> {
        self.stdin
            .write_all(format!("{order}\n").as_bytes())
            .await?;
        Ok(())
    }

    /// Its CPU time so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> Result<Cpu> {
        proc::cpu(self.child.id().context("the bare loop has ended")?)
    }
}
