//! A server as a child process, killed by its handle when the last test that uses it lets go.

use super::soon;
use super::token::Key;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The server under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_kaiwa");

/// Rates per address out of the way: every client of these tests comes from one.
/// gRPC takes a free port, so that servers can run beside each other.
const WIDE: [(&str, &str); 4] = [
    ("KAIWA_CLIPS__GRPC_LISTEN", "127.0.0.1:0"),
    ("KAIWA_LIMITS__REQUESTS_PER_S", "100000"),
    ("KAIWA_LIMITS__REQUEST_BURST", "100000"),
    ("KAIWA_HTTP__ALLOWED_ORIGINS", "[\"https://app.example\"]"),
];

/// How to start a server.
pub(crate) struct Spec {
    data: PathBuf,
    settings: Vec<(String, String)>,
    args: Vec<String>,
}

impl Spec {
    /// On this data folder, with the defaults but for the rates per address.
    pub(crate) fn new(data: &Path) -> Self {
        let settings = WIDE.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            data: data.to_owned(),
            settings: settings.into(),
            args: Vec::new(),
        }
    }

    /// With this variable of the environment.
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// With this flag.
    pub(crate) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("serve").arg("--data").arg(&self.data);
        if !self.args.iter().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(&self.args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("KAIWA_")) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, and waits for its ready line.
    pub(crate) fn start(&self) -> Server {
        let mut child = self.command().spawn().expect("the server starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("stderr is piped");
        let reading = Some(std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        }));
        let mut server = Server {
            child,
            address: ([0, 0, 0, 0], 0).into(),
            announced: "\n".to_owned(),
            key: None,
            log,
            reading,
        };
        let Some((_, url)) = line.split_once(" is ready: ") else {
            panic!("no ready line but {line:?}: {}", server.stop_and_read_log());
        };
        let address = url.trim().replace("localhost", "127.0.0.1");
        let address = address
            .split("://")
            .nth(1)
            .and_then(|a| a.trim_end_matches('/').parse().ok());
        server.address = address.unwrap_or_else(|| panic!("no address in {url:?}"));
        while !server.announced.contains("\n  data ") {
            let read = stdout.read_line(&mut server.announced).expect("a line");
            assert!(read > 0, "no facts: {}", server.stop_and_read_log());
        }
        // Whoever reads no more of it must not end it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        server.key = std::fs::read(self.data.join("token-secret"))
            .ok()
            .map(Key::new);
        server
    }

    /// Starts one that is expected to end by itself.
    pub(crate) fn run(&self) -> Output {
        let mut child = self.command().spawn().expect("the server starts");
        // A server that runs after all says so here, and is killed.
        let mut first = [0_u8; 1];
        let stdout = child.stdout.as_mut().expect("stdout is piped");
        if stdout.read(&mut first).expect("readable") > 0 {
            child.kill().expect("killed");
        }
        child.wait_with_output().expect("it ended")
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    announced: String,
    key: Option<Key>,
    log: Arc<Mutex<String>>,
    reading: Option<std::thread::JoinHandle<()>>,
}

static SHARED: Mutex<Weak<SharedServer>> = Mutex::new(Weak::new());

/// A server that tests share, with its data folder.
pub(crate) struct SharedServer {
    server: Server,
    data: tempfile::TempDir,
}

impl SharedServer {
    /// Where it keeps everything.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }
}

impl std::ops::Deref for SharedServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// The server with the default limits. It ends with the last test that holds it.
pub(crate) fn shared() -> Arc<SharedServer> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = own(|spec| spec);
    *shared = Arc::downgrade(&server);
    server
}

/// A server of one's own.
pub(crate) fn own(settings: impl FnOnce(Spec) -> Spec) -> Arc<SharedServer> {
    let data = tempfile::tempdir().expect("a folder");
    let server = settings(Spec::new(data.path())).start();
    Arc::new(SharedServer { server, data })
}

impl Server {
    /// What signs this server's tokens.
    pub(crate) fn key(&self) -> &Key {
        self.key.as_ref().expect("the secret is in the data folder")
    }

    /// A good token for somebody, for an hour.
    pub(crate) fn token(&self, user: &str) -> String {
        self.key().token(user, 3600)
    }

    /// What it has announced of this part of it, such as `clips`.
    pub(crate) fn announced(&self, part: &str) -> &str {
        let mut lines = self.announced.lines();
        let fact = lines.find_map(|line| line.trim_start().strip_prefix(part));
        fact.unwrap_or_else(|| panic!("nothing of {part}: {}", self.announced))
            .trim()
    }

    /// Where it serves gRPC.
    pub(crate) fn grpc(&self) -> SocketAddr {
        let told = self.announced("clips").split("gRPC at ").nth(1);
        let address = told.and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| panic!("no gRPC: {}", self.announced))
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The memory that is the process's own, in bytes.
    pub(crate) fn rss_anon(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let line = status
            .lines()
            .find_map(|l| l.strip_prefix("RssAnon:"))
            .expect("Linux tells");
        let kib: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        kib * 1024
    }

    /// Its threads.
    pub(crate) fn threads(&self) -> usize {
        self.entries("task")
    }

    /// Its open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        self.entries("fd")
    }

    fn entries(&self, folder: &str) -> usize {
        let path = format!("/proc/{}/{folder}", self.child.id());
        std::fs::read_dir(path).expect("it runs").count()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), Signal::TERM).expect("it runs");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = async {
            let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
            loop {
                ticks.tick().await;
                if let Some(status) = self.child.try_wait().expect("our child") {
                    return status;
                }
            }
        };
        soon("the server's end", ended).await
    }

    /// What it has logged so far.
    pub(crate) fn logged(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    /// What it has logged up to its end, which this is.
    pub(crate) fn stop_and_read_log(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reading) = self.reading.take() {
            reading.join().expect("the log is read");
        }
        self.log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let log = self.stop_and_read_log();
        // House rule: any ERROR fails a test.
        let error = log
            .lines()
            .find(|line| line.contains(" ERROR ") || line.contains("panicked"));
        if let Some(error) = error
            && !std::thread::panicking()
        {
            panic!("the server logged an error: {error}");
        }
    }
}
