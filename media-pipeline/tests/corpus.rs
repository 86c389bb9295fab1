//! Replays the fuzzers' corpus, and hundreds of mutations of each of its files: does any input break a parser?
//! `cargo +nightly fuzz run <target>` looks further, with the same functions.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "../../sfu/tests/corpus/mutate.rs"]
mod mutate;

use kaiwa_media_pipeline::fuzzing;
use mutate::Mutator;
use std::fs;
use std::path::{Path, PathBuf};

/// Mutations of each file.
const MUTATIONS: u64 = 300;

/// The least files of a target.
const SEEDS: usize = 8;

type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("file", fuzzing::file),
    ("probe", fuzzing::probe),
    ("playlists", fuzzing::playlists),
    ("hints", fuzzing::hints),
    ("webhook", fuzzing::webhook),
    ("tokens", fuzzing::tokens),
    ("range", fuzzing::range),
    ("subtitles", fuzzing::subtitles),
];

fn folder(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(of)
}

/// The files of a target's corpus, by name.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder("corpus").join(target))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_file_and_hundreds_of_its_mutations_leave_the_parsers_whole() {
    for &(target, run) in TARGETS {
        let files = files(target);
        assert!(files.len() >= SEEDS, "{target} has {} files", files.len());
        for (at, (name, bytes)) in files.iter().enumerate() {
            println!("{target}/{name}");
            run(bytes);
            let other = &files[(at + 1) % files.len()].1;
            for seed in 0..MUTATIONS {
                let mutated = Mutator::new(seed).mutate(bytes, other);
                let outcome = std::panic::catch_unwind(|| run(&mutated));
                assert!(outcome.is_ok(), "{target}/{name}, seed {seed}: {mutated:?}");
            }
        }
    }
}

#[test]
fn each_target_is_in_the_fuzzers_manifest_and_no_other() {
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    let mut named: Vec<&str> = manifest
        .lines()
        .filter_map(|line| {
            line.strip_prefix("path = \"fuzz_targets/")?
                .strip_suffix(".rs\"")
        })
        .collect();
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    named.sort_unstable();
    targets.sort_unstable();
    assert_eq!(named, targets);
    for target in targets {
        let source = fs::read_to_string(folder("fuzz_targets").join(format!("{target}.rs")));
        assert!(
            source
                .unwrap()
                .contains(&format!("fuzzing::{target}(data)"))
        );
    }
}
