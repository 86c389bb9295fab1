//! The house's rules that a machine can check: who imports whom, what a core is free of, and that the
//! protocol's document and its code have the same tables. ARCHITECTURE.md says why.

use kaiwa_common::close::CloseCode;
use kaiwa_common::error::ErrorCode;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may import of the others. A crate that is not here has to be added with a reason.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("kaiwa-common", &[]),
    ("kaiwa-platform", &["kaiwa-common"]),
    ("kaiwa-proto", &["kaiwa-common"]),
    (
        "kaiwa-chat",
        &["kaiwa-common", "kaiwa-platform", "kaiwa-proto"],
    ),
    (
        "kaiwa-signaling",
        &["kaiwa-common", "kaiwa-proto", "kaiwa-chat", "kaiwa-sfu"],
    ),
    ("kaiwa-sfu", &["kaiwa-common"]),
    (
        "kaiwa-notifier",
        &["kaiwa-common", "kaiwa-platform", "kaiwa-proto"],
    ),
    (
        "kaiwa-media-pipeline",
        &["kaiwa-common", "kaiwa-platform", "kaiwa-proto"],
    ),
    // Stands in for other people's servers: it shares no code with ours, so that a mistake in one is not made
    // in the other.
    ("kaiwa-provider-doubles", &[]),
    ("kaiwa-loadtest", &["kaiwa-common", "kaiwa-proto"]),
    (
        "kaiwa",
        &[
            "kaiwa-common",
            "kaiwa-platform",
            "kaiwa-proto",
            "kaiwa-chat",
            "kaiwa-sfu",
            "kaiwa-signaling",
            "kaiwa-notifier",
            "kaiwa-media-pipeline",
        ],
    ),
];

/// What a core must not name: clocks, randomness, tasks, locks, channels, sockets, the environment.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "UnixMs::now",
    "Uuid::now",
    "::generate(",
    "getrandom",
    "rand::",
    "tokio::",
    "async fn",
    ".await",
    "Mutex",
    "RwLock",
    "Condvar",
    "Atomic",
    "mpsc",
    "oneshot",
    "std::thread",
    "std::net",
    "std::fs",
    "std::env",
    "std::process",
    "rusqlite",
    "tracing::",
    "metrics::",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn crates_import_only_what_the_plan_allows() {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version=1",
            "--offline",
            "--locked",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let plan: BTreeMap<_, BTreeSet<_>> = MAY_IMPORT
        .iter()
        .map(|(name, may)| (*name, may.iter().copied().collect()))
        .collect();
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(
        packages.len(),
        plan.len(),
        "every crate has its row, and every row its crate"
    );
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let may = plan
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in the plan"));
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        // A test may use more than the code it tests.
        for dependency in dependencies.iter().filter(|d| d["kind"] != "dev") {
            let wanted = dependency["name"].as_str().expect("a name");
            assert!(
                !wanted.starts_with("kaiwa") || may.contains(wanted),
                "{name} must not import {wanted}"
            );
        }
    }
}

#[test]
fn cores_have_no_clock_chance_task_lock_channel_or_socket() {
    let cores: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| is_in(path, "core"))
        .collect();
    assert!(
        cores.len() >= 8,
        "chat and signaling have cores: {}",
        cores.len()
    );
    for (path, code) in cores {
        for word in IMPURE {
            assert!(!code.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_shards_rules_have_no_clock_chance_task_lock_or_channel() {
    let rules = ["sfu/src/shard", "sfu/src/peer", "sfu/src/track.rs"];
    let found: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| rules.iter().any(|rule| path.starts_with(rule)))
        .filter(|(path, _)| !path.ends_with("hostile.rs"))
        .chain(
            sources()
                .into_iter()
                .filter(|(path, _)| path.ends_with("sfu/src/shard.rs")),
        )
        .collect();
    assert!(found.len() >= 15, "the shard's rules: {}", found.len());
    // Addresses are values, and what a picture is sent in is logged for those who look for it.
    let may = ["std::net", "tracing::", "metrics::"];
    for (path, code) in found {
        for word in IMPURE.iter().filter(|word| !may.contains(word)) {
            assert!(!code.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn databases_and_clouds_are_named_in_adapters_only() {
    for (path, code) in sources() {
        // A sender is its provider's adapter, and one provider is a cloud.
        let is_sender = path.starts_with("notifier/src/senders/sns");
        let is_sender = is_sender || path.ends_with("senders/sns.rs");
        // So is a transcoder.
        let is_transcoder = path.starts_with("media-pipeline/src/mediaconvert");
        let is_adapter = is_in(&path, "adapters") || is_sender || is_transcoder;
        let may = path.starts_with("platform") || is_adapter;
        for word in ["rusqlite", "aws_sdk", "redis::"] {
            assert!(
                may || !code.contains(word),
                "{} names {word}",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_above_the_transport_knows_which_one_it_is() {
    let above = [
        "signaling/src/session",
        "signaling/src/hub",
        "signaling/src/codec",
        "chat/src",
    ];
    for (path, code) in sources() {
        if above
            .iter()
            .any(|part| path.to_string_lossy().starts_with(part))
        {
            let names = code.to_lowercase().contains("websocket");
            assert!(!names, "{} names WebSocket", path.display());
        }
    }
}

#[test]
fn domain_types_are_not_wire_types() {
    for file in ["chat/src/model.rs", "chat/src/ports.rs", "chat/src/bus.rs"] {
        let code = fs::read_to_string(root().join(file)).expect("a source");
        for word in ["serde", "prost", "kaiwa_proto"] {
            assert!(!code.contains(word), "{file} names {word}");
        }
    }
}

#[test]
fn the_protocols_tables_are_those_of_the_code() {
    let text = fs::read_to_string(root().join("docs/protocol.md")).expect("the document");
    let rows: BTreeSet<(u32, String)> = text.lines().filter_map(numbered_row).collect();
    let codes: BTreeSet<(u32, String)> = ErrorCode::ALL
        .iter()
        .map(|c| (c.number(), c.reason().to_owned()))
        .chain(
            CloseCode::ALL
                .iter()
                .map(|c| (u32::from(c.number()), c.reason().to_owned())),
        )
        // Named in the document for clients of later servers.
        .chain([(4001, "rebalance".to_owned())])
        .collect();
    let missing: Vec<_> = codes.difference(&rows).collect();
    let unknown: Vec<_> = rows.difference(&codes).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing {missing:?}, unknown {unknown:?}"
    );
    for code in ErrorCode::ALL {
        let row = format!("| {} | {} | {} |", code.number(), code.reason(), {
            if code.is_temporary() { "yes" } else { "" }
        });
        let found = text
            .lines()
            .any(|line| squeeze(line).starts_with(&squeeze(&row)));
        assert!(found, "the document says otherwise of {row}");
    }
}

/// A row with a number and a name side by side, wherever they stand in it.
fn numbered_row(line: &str) -> Option<(u32, String)> {
    let cells: Vec<&str> = line
        .trim()
        .trim_matches('|')
        .split('|')
        .map(str::trim)
        .collect();
    let pair = cells.windows(2).find_map(|pair| {
        let number: u32 = pair[0].parse().ok()?;
        let is_name = pair[1].bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        (is_name && !pair[1].is_empty()).then(|| (number, pair[1].to_owned()))
    });
    pair.filter(|_| line.trim().starts_with('|'))
}

fn squeeze(line: &str) -> String {
    line.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Every source of the crates below the root, without its tests and comments.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in [
        "common",
        "platform",
        "proto",
        "chat",
        "sfu",
        "signaling",
        "notifier",
        "media-pipeline",
        "loadtest",
    ] {
        collect(&root().join(folder).join("src"), &mut found);
    }
    collect(&root().join("src"), &mut found);
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let code = lines.collect::<Vec<_>>().join("\n");
            let path = path
                .strip_prefix(root())
                .expect("below the root")
                .to_owned();
            (path, code)
        })
        .collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if name != "tests" {
                collect(&path, found);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// Whether a file belongs to the module of that name.
fn is_in(path: &Path, module: &str) -> bool {
    path.iter().any(|part| part == module)
        || path
            .file_name()
            .is_some_and(|name| name.to_str() == Some(&format!("{module}.rs")))
}
