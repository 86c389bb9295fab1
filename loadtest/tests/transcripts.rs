//! Conformance: does a real server keep to every conversation of `proto/transcripts/`, in both codecs?
//!
//! `KAIWA_BIN` names the server; `KAIWA_TRANSCRIPT` picks those whose names contain it.

use kaiwa_loadtest::chaos::run::find_binary;
use kaiwa_loadtest::codec::Codec;
use kaiwa_loadtest::server::Spec;
use kaiwa_loadtest::transcript::replay::{Stage, replay};
use kaiwa_loadtest::transcript::script::Transcript;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn the_server_speaks_as_the_transcripts_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/transcripts");
    let wanted = std::env::var("KAIWA_TRANSCRIPT").unwrap_or_default();
    let all = Transcript::read_folder(&folder).unwrap();
    let chosen: Vec<_> = all
        .into_iter()
        .filter(|(name, _)| name.contains(&wanted))
        .collect();
    assert!(!chosen.is_empty(), "no transcript of that name");

    let data = tempfile::tempdir().unwrap();
    let spec = Arc::new(Spec::new(&find_binary().unwrap(), &data.path().join("shared")).unwrap());
    let server = spec.start().await.unwrap();
    let shared = server.address();
    let mut replays = JoinSet::new();
    for (name, transcript) in chosen {
        for codec in Codec::ALL
            .into_iter()
            .filter(|&codec| transcript.is_for(codec))
        {
            let (name, transcript) = (name.clone(), transcript.clone());
            let (spec, own) = (
                Arc::clone(&spec),
                data.path().join(format!("{name}-{}", codec.name())),
            );
            replays.spawn(async move {
                let suffix = format!("{name}.{}", codec.name());
                let is_plain = transcript.limits.is_empty() && transcript.settings.is_empty();
                let result = if is_plain {
                    let stage = Stage {
                        spec: &spec,
                        server: shared,
                        is_own: false,
                        codec,
                        suffix: &suffix,
                    };
                    replay(&transcript, stage).await
                } else {
                    alone(&transcript, &spec.binary, &own, codec, &suffix).await
                };
                (suffix, result)
            });
        }
    }
    let mut failed = Vec::new();
    while let Some(ended) = replays.join_next().await {
        let (name, result) = ended.unwrap();
        if let Err(error) = result {
            failed.push(format!("{name}: {error:#}"));
        }
    }
    failed.sort();
    assert!(
        failed.is_empty(),
        "{} failed:\n\n{}",
        failed.len(),
        failed.join("\n\n")
    );
    server.kill().await.unwrap();
}

/// A transcript that needs other limits or settings has a server of its own.
async fn alone(
    transcript: &Transcript,
    binary: &Path,
    data: &Path,
    codec: Codec,
    suffix: &str,
) -> anyhow::Result<()> {
    let mut spec = Spec::new(binary, data)?;
    let own = transcript
        .limits
        .iter()
        .map(|(name, value)| (name.clone(), *value));
    spec.limits
        .retain(|(name, _)| !transcript.limits.contains_key(name));
    spec.limits.extend(own);
    let settings = transcript.settings.iter();
    spec.variables
        .extend(settings.map(|(name, value)| (format!("KAIWA_{name}"), value.clone())));
    let server = spec.start().await?;
    let stage = Stage {
        spec: &spec,
        server: server.address(),
        is_own: true,
        codec,
        suffix,
    };
    let result = replay(transcript, stage).await;
    server.kill().await?;
    result
}
