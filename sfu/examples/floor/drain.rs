//! Who receives: a process of its own, so that its work is not in the sender's figures.

use crate::Outcome;
use kaiwa_sfu::net::affinity::pin_current_thread;
use kaiwa_sfu::net::poll::{Poller, SocketKey};
use kaiwa_sfu::net::receive::ReceiveBatch;
use kaiwa_sfu::net::socket::{LocalIndex, UdpSocket};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Begins the arguments of the process that drains.
pub(crate) const COMMAND: &str = "drain";

/// What the drain waits at the end, for what is still on its way.
const REST: Duration = Duration::from_millis(200);

/// The draining process, as its parent sees it. Ends with it.
pub(crate) struct Drain {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    ports: Vec<u16>,
}

impl Drain {
    /// Starts it; it has bound its sockets when this returns.
    pub(crate) fn start(sockets: usize, core: usize, has_gro: bool) -> Outcome<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                COMMAND,
                &sockets.to_string(),
                &core.to_string(),
                &has_gro.to_string(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().ok_or("its output is piped")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ports: Result<Vec<u16>, _> = line.split_whitespace().map(str::parse).collect();
        let ports = ports?;
        if ports.len() != sockets {
            return Err("the drain did not start".into());
        }
        Ok(Self {
            child,
            stdin,
            stdout,
            ports,
        })
    }

    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Ends it; how many datagrams came to all of its sockets.
    pub(crate) fn finish(mut self) -> Outcome<u64> {
        drop(self.stdin.take());
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        self.child.wait()?;
        Ok(line.trim().parse()?)
    }
}

/// The draining process itself: prints its ports, then, when its input ends, how much came.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let [sockets, core, has_gro] = arguments else {
        return Err("drain SOCKETS CORE GRO".into());
    };
    if let Err(error) = pin_current_thread(core.parse()?) {
        eprintln!("not pinned to core {core}: {error}");
    }
    let has_gro: bool = has_gro.parse()?;
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut sockets = (0..sockets.parse()?)
        .map(|_| UdpSocket::bind(any, LocalIndex(0)))
        .collect::<Result<Vec<_>, _>>()?;
    if has_gro && !sockets.iter_mut().all(UdpSocket::enable_gro) {
        return Err("no UDP_GRO".into());
    }
    let ports: Vec<_> = sockets
        .iter()
        .map(|socket| socket.address().port().to_string())
        .collect();
    println!("{}", ports.join(" "));
    println!("{}", drain(&sockets, has_gro)?);
    Ok(())
}

fn drain(sockets: &[UdpSocket], has_gro: bool) -> Outcome<u64> {
    // A poller has room for some sixty sockets: each of ours stands for a share of them.
    let mut poller = Poller::new()?;
    let waker = poller.waker();
    std::thread::spawn(move || {
        // Ends when the parent does, whatever becomes of it.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        waker.wake();
    });
    let shares = u8::try_from(sockets.len().min(60))?;
    for (socket, key) in sockets.iter().zip((0..shares).cycle()) {
        poller.add(SocketKey(key), socket)?;
    }
    let mut batch = if has_gro {
        ReceiveBatch::for_runs()
    } else {
        ReceiveBatch::new()
    };
    let mut end = None;
    while end.is_none_or(|end| Instant::now() < end) {
        let ready = poller.wait(end.map(|_| REST))?;
        if ready.is_woken {
            end = Some(Instant::now() + REST);
        }
        for key in ready.readable() {
            for socket in sockets.iter().skip(key.0.into()).step_by(shares.into()) {
                while batch.receive(socket)? > 0 {
                    batch.datagrams().for_each(drop);
                }
            }
        }
    }
    Ok(batch.counters().datagrams)
}
