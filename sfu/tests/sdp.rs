//! Replays what browsers offered, and mutations of it: does any offer break the parser or the answerer?

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "corpus/mutate.rs"]
mod mutate;

use kaiwa_sfu::core::negotiate::fuzz_offer;
use kaiwa_sfu::wire::sdp::fuzz_sdp;
use mutate::Mutator;
use std::fs;
use std::path::Path;

/// Mutations of each file.
const MUTATIONS: u64 = 100;

/// Files of the scenarios; see `sdp/capture.mjs`.
const FILES: usize = 92;

#[test]
fn every_offer_and_its_mutations_are_answered_or_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdp");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sdp"))
        .collect();
    files.sort();
    assert_eq!(files.len(), FILES);
    let texts: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    for (at, text) in texts.iter().enumerate() {
        let other = &texts[(at + 1) % texts.len()];
        fuzz_offer(text);
        for seed in 0..MUTATIONS {
            let mutated = Mutator::new(seed).mutate(text, other);
            let outcome = std::panic::catch_unwind(|| {
                fuzz_sdp(&mutated);
                fuzz_offer(&mutated);
            });
            let name = files[at].display();
            assert!(outcome.is_ok(), "{name}, seed {seed}");
        }
    }
}
