//! A firewall around a server's media ports: a table of nftables of its own, gone with the test.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

static WALLS: AtomicU32 = AtomicU32::new(0);

/// What it does to packets.
pub(crate) struct Wall {
    table: String,
}

impl Wall {
    /// With these rules for what comes in, such as `udp dport 5000 drop`. Nobody is told of what is dropped.
    pub(crate) fn new(rules: &[String]) -> Self {
        let no = WALLS.fetch_add(1, Ordering::Relaxed);
        let table = format!("kaiwa_faults_{}_{no}", std::process::id());
        let rules = rules.join("\n");
        let script = format!(
            "table inet {table} {{ chain in {{ type filter hook input priority 0;\n{rules}\n }}\n}}\n"
        );
        nft(&["-f", "-"], &script);
        Self { table }
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        nft(&["delete", "table", "inet", &self.table], "");
    }
}

fn nft(args: &[&str], script: &str) {
    let mut child = Command::new("nft")
        .args(args)
        .stdin(Stdio::piped())
        .spawn()
        .expect("nftables is there (scripts/setup.sh)");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    let status = child.wait().unwrap();
    assert!(status.success(), "nft {args:?}: this needs root");
}
