//! A participant's way to the server: a socket for datagrams, or one TCP connection with frames (RFC 4571), which is opened
//! with the first.

use super::batch::Batch;
use anyhow::Result;
use rustix::event::epoll;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Batches read from a socket before others have their turn.
const READ: usize = 4;

/// Bytes read from a connection at once.
const READ_BYTES: usize = 64 * 1024;

/// A connection to a server on this machine is there at once, or never.
const CONNECT: Duration = Duration::from_secs(2);

pub(super) enum Link {
    Udp { socket: UdpSocket, is_v6: bool },
    Tcp(Tcp),
}

#[derive(Default)]
pub(super) struct Tcp {
    stream: Option<(TcpStream, SocketAddr)>,
    /// A frame that began.
    held: Vec<u8>,
    /// What the kernel did not take of a frame that began to leave.
    unsent: Vec<u8>,
}

impl Link {
    /// Has the thread told when something waits.
    pub(super) fn watch(&self, epoll: &OwnedFd, key: u64) -> Result<()> {
        if let Self::Udp { socket, .. } = self {
            let data = epoll::EventData::new_u64(key);
            epoll::add(epoll, socket, data, epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    /// Takes what waits.
    pub(super) fn read(&mut self, batch: &mut Batch, mut each: impl FnMut(SocketAddr, &mut [u8])) {
        match self {
            Self::Udp { socket, is_v6 } => {
                for _ in 0..READ {
                    batch.receive(socket, *is_v6);
                    for (from, bytes) in batch.datagrams() {
                        each(from, bytes);
                    }
                    if !batch.is_full() {
                        break;
                    }
                }
            }
            Self::Tcp(tcp) => tcp.read(each),
        }
    }

    /// Sends a datagram. What is not taken is lost, as on a full link.
    pub(super) fn send(&mut self, to: SocketAddr, bytes: &[u8], (epoll, key): (&OwnedFd, u64)) {
        match self {
            Self::Udp { socket, .. } => {
                let _ = socket.send_to(bytes, to);
            }
            Self::Tcp(tcp) => {
                if tcp.stream.is_none()
                    && let Ok(stream) = connect(to)
                {
                    let data = epoll::EventData::new_u64(key);
                    let _ = epoll::add(epoll, &stream, data, epoll::EventFlags::IN);
                    tcp.stream = Some((stream, to));
                }
                tcp.send(bytes);
            }
        }
    }
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, CONNECT)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

impl Tcp {
    fn send(&mut self, bytes: &[u8]) {
        let (Some((stream, _)), Ok(len)) = (&mut self.stream, u16::try_from(bytes.len())) else {
            return;
        };
        if self.unsent.is_empty() {
            self.unsent.extend(len.to_be_bytes());
            self.unsent.extend(bytes);
        }
        if let Ok(taken) = stream.write(&self.unsent) {
            self.unsent.drain(..taken);
        } else if self.unsent.len() == bytes.len() + 2 {
            self.unsent.clear();
        }
    }

    fn read(&mut self, mut each: impl FnMut(SocketAddr, &mut [u8])) {
        let Some((stream, from)) = &mut self.stream else {
            return;
        };
        let before = self.held.len();
        self.held.resize(before + READ_BYTES, 0);
        let came = stream.read(self.held.get_mut(before..).unwrap_or_default());
        let has_ended = match &came {
            Ok(len) => *len == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        self.held.truncate(before + came.unwrap_or(0));
        let from = *from;
        let mut taken = 0;
        while let Some((length, rest)) = self
            .held
            .get_mut(taken..)
            .and_then(|held| held.split_first_chunk_mut::<2>())
        {
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(frame) = rest.get_mut(..length) else {
                break;
            };
            each(from, frame);
            taken += 2 + length;
        }
        self.held.drain(..taken);
        if has_ended {
            self.stream = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn frames_come_whole_however_they_were_cut_and_leave_behind_their_lengths() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let to = listener.local_addr().expect("its address");
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("a set");
        let mut link = Link::Tcp(Tcp::default());
        link.send(to, b"hello", (&epoll, 1));
        let (mut far, _) = listener.accept().expect("a connection");
        let mut came = [0; 7];
        far.read_exact(&mut came).expect("a frame");
        assert_eq!(&came, b"\0\x05hello");
        let mut batch = Batch::new();
        let mut frames = Vec::new();
        let bytes = b"\0\x03one\0\0\0\x05three";
        for byte in bytes {
            far.write_all(&[*byte]).expect("loopback takes it");
            link.read(&mut batch, |from, frame| {
                assert_eq!(from, to);
                frames.push(frame.to_vec());
            });
        }
        while frames.len() < 3 {
            link.read(&mut batch, |_, frame| frames.push(frame.to_vec()));
        }
        assert_eq!(frames, [b"one".to_vec(), vec![], b"three".to_vec()]);
    }
}
