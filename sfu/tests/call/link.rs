//! How a client reaches the server: datagrams, or frames on a TCP connection (RFC 4571).

use kaiwa_sfu::wire::framing::{Deframer, length_of};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// How long a wait lasts at most.
const MOMENT: Duration = Duration::from_millis(2);

pub(crate) enum Link {
    Udp(UdpSocket),
    Tcp(RefCell<Tcp>),
}

pub(crate) struct Tcp {
    stream: TcpStream,
    deframer: Deframer,
    frames: VecDeque<Vec<u8>>,
    has_ended: bool,
}

impl Link {
    pub(crate) fn udp() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(MOMENT)).unwrap();
        Self::Udp(socket)
    }

    pub(crate) fn tcp(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(MOMENT)).unwrap();
        Self::Tcp(RefCell::new(Tcp {
            stream,
            deframer: Deframer::default(),
            frames: VecDeque::new(),
            has_ended: false,
        }))
    }

    /// Sends a datagram; what a connection does not take any more is lost.
    pub(crate) fn send(&self, datagram: &[u8], server: SocketAddr) {
        match self {
            Self::Udp(socket) => {
                socket.send_to(datagram, server).unwrap();
            }
            Self::Tcp(_) => {
                let mut framed = length_of(datagram.len()).to_vec();
                framed.extend(datagram);
                self.write(&framed);
            }
        }
    }

    /// Writes bytes as they are to a connection.
    pub(crate) fn write(&self, bytes: &[u8]) {
        if let Self::Tcp(tcp) = self {
            let _ = tcp.borrow().stream.set_nonblocking(false);
            let _ = tcp.borrow_mut().stream.write_all(bytes);
        }
    }

    /// The next datagram, if one waits.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Option<usize> {
        match self {
            Self::Udp(socket) => {
                let _ = socket.set_nonblocking(true);
                socket.recv_from(buffer).ok().map(|(len, _)| len)
            }
            Self::Tcp(tcp) => {
                let mut tcp = tcp.borrow_mut();
                if tcp.frames.is_empty() {
                    tcp.read();
                }
                let frame = tcp.frames.pop_front()?;
                buffer[..frame.len()].copy_from_slice(&frame);
                Some(frame.len())
            }
        }
    }

    /// Waits a moment for one.
    pub(crate) fn wait(&self) {
        match self {
            Self::Udp(socket) => {
                let _ = socket.set_nonblocking(false);
                let _ = socket.peek_from(&mut [0; 1]);
            }
            Self::Tcp(tcp) => {
                let tcp = tcp.borrow();
                let _ = tcp.stream.set_nonblocking(false);
                let peeked = tcp.stream.peek(&mut [0; 1]);
                if peeked.is_ok_and(|len| len == 0) {
                    std::thread::yield_now();
                }
            }
        }
    }

    /// Whether the server has closed the connection, as far as was read.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self, Self::Tcp(tcp) if tcp.borrow().has_ended)
    }
}

impl Tcp {
    fn read(&mut self) {
        let _ = self.stream.set_nonblocking(true);
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.has_ended = true,
            Ok(len) => {
                let frames = &mut self.frames;
                let taken = self
                    .deframer
                    .take(&mut bytes[..len], |frame| frames.push_back(frame.to_vec()));
                taken.unwrap();
            }
            Err(error) => self.has_ended |= error.kind() != ErrorKind::WouldBlock,
        }
    }
}
