//! Replays the fuzzers' corpus, and thousands of mutations of each of its files: does any input break a
//! parser? `cargo +nightly fuzz run <target>` looks further, with the same functions.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "corpus/codec_seeds.rs"]
mod codec_seeds;
#[path = "corpus/mutate.rs"]
mod mutate;
#[path = "corpus/seeds.rs"]
mod seeds;

use kaiwa_sfu::core::negotiate::fuzz_offer;
use kaiwa_sfu::exchange::fuzz_exchange;
use kaiwa_sfu::srtp;
use kaiwa_sfu::wire::{fuzzing, sdp};
use mutate::Mutator;
use std::fs;
use std::path::{Path, PathBuf};

/// Mutations of each file of a target whose inputs are small.
const MUTATIONS: u64 = 2_000;

/// Of the others: whole descriptions, and packets that are sealed and opened.
const FEWER_MUTATIONS: u64 = 100;

/// The least files of a target.
const SEEDS: usize = 12;

/// Set it to write the seeds that are missing in the corpus or differ.
const WRITE: &str = "KAIWA_WRITE_CORPUS";

type Target = (&'static str, u64, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("stun", MUTATIONS, fuzzing::stun),
    ("rtp", MUTATIONS, fuzzing::rtp),
    ("rtcp", MUTATIONS, fuzzing::rtcp),
    ("client_hello", MUTATIONS, fuzzing::client_hello),
    ("framing", MUTATIONS, fuzzing::framing),
    ("red", MUTATIONS, fuzzing::red),
    ("vp8", MUTATIONS, fuzzing::vp8),
    ("vp9", MUTATIONS, fuzzing::vp9),
    ("h264", MUTATIONS, fuzzing::h264),
    ("av1", MUTATIONS, fuzzing::av1),
    (
        "dependency_descriptor",
        MUTATIONS,
        fuzzing::dependency_descriptor,
    ),
    ("sdp", FEWER_MUTATIONS, sdp::fuzz_sdp),
    ("sdp_offer", FEWER_MUTATIONS, fuzz_offer),
    ("exchange", FEWER_MUTATIONS, fuzz_exchange),
    ("sdp_fragment", FEWER_MUTATIONS, sdp::fuzz_fragment),
    ("srtp_open", FEWER_MUTATIONS, srtp::fuzzing::open),
];

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

/// The files of a target's corpus, by name.
fn files(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(corpus(target))
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
fn every_file_and_thousands_of_its_mutations_leave_the_parsers_whole() {
    for &(target, mutations, run) in TARGETS {
        let files = files(target);
        assert!(files.len() >= SEEDS, "{target} has {} files", files.len());
        for (at, (name, bytes)) in files.iter().enumerate() {
            println!("{target}/{name}");
            run(bytes);
            let other = &files[(at + 1) % files.len()].1;
            for seed in 0..mutations {
                let mutated = Mutator::new(seed).mutate(bytes, other);
                let outcome = std::panic::catch_unwind(|| run(&mutated));
                assert!(outcome.is_ok(), "{target}/{name}, seed {seed}: {mutated:?}");
            }
        }
    }
}

#[test]
fn the_committed_corpus_has_every_seed() {
    let writes = std::env::var_os(WRITE).is_some();
    for (target, name, bytes) in seeds::all().into_iter().chain(codec_seeds::all()) {
        let path = corpus(target).join(name);
        if writes {
            fs::create_dir_all(corpus(target)).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let committed = fs::read(&path).ok();
        assert_eq!(
            committed,
            Some(bytes),
            "{target}/{name}: set {WRITE} to write it"
        );
    }
}

#[test]
fn mutations_of_one_seed_are_always_the_same_and_differ_between_seeds() {
    let mutations = |seed| Mutator::new(seed).mutate(&[1; 40], &[2; 40]);
    assert_eq!(mutations(1), mutations(1));
    assert!((0..20).any(|seed| mutations(seed) != mutations(seed + 1)));
}
