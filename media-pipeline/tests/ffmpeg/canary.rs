//! A secret that hostile files ask for, and who touches it: the kernel tells of every opening, a socket of every visit.

use rustix::fs::inotify;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A folder with a secret, a watch on it, and sockets that nobody should find.
pub(crate) struct Canary {
    watch: OwnedFd,
    tcp: TcpListener,
    udp: UdpSocket,
    pub(crate) film: PathBuf,
    pub(crate) text: PathBuf,
}

/// What no output and no refusal may contain.
pub(crate) const SECRET: &[u8] = b"canary-7f3a";

impl Canary {
    /// Puts the secret into `folder`: as a text, and behind a film's pictures.
    pub(crate) fn new(folder: &Path, film: &[u8]) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let (path, text) = (folder.join("film.mp4"), folder.join("text.txt"));
        std::fs::write(&path, [film, SECRET].concat()).unwrap();
        std::fs::write(&text, SECRET).unwrap();
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        let what = inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS;
        inotify::add_watch(&watch, folder, what).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        udp.set_nonblocking(true).unwrap();
        Self {
            watch,
            tcp,
            udp,
            film: path,
            text,
        }
    }

    /// `http://…`, with the port that is listened to.
    pub(crate) fn url(&self, scheme: &str) -> String {
        let address = match scheme {
            "udp" | "rtp" => self.udp.local_addr(),
            _ => self.tcp.local_addr(),
        };
        format!("{scheme}://{}/x.ts", address.unwrap())
    }

    /// Whether anybody opened or read one of its files since this was asked last.
    pub(crate) fn was_opened(&self) -> bool {
        let mut buffer = [0; 4096];
        rustix::io::read(&self.watch, &mut buffer).is_ok_and(|read| read > 0)
    }

    /// Fails when it was touched.
    pub(crate) fn assert_untouched(&self, name: &str) {
        assert!(!self.was_opened(), "{name}: a file was opened");
        assert!(self.tcp.accept().is_err(), "{name}: somebody connected");
        let mut buffer = [0; 16];
        assert!(self.udp.recv(&mut buffer).is_err(), "{name}: somebody sent");
    }
}

#[test]
fn the_canary_sings() {
    let dir = tempfile::tempdir().unwrap();
    let canary = Canary::new(&dir.path().join("secret"), b"film");
    canary.assert_untouched("nobody");
    std::fs::read(&canary.text).unwrap();
    assert!(canary.was_opened() && !canary.was_opened());
}
