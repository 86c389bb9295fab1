//! Answers a browser's offers, for `tests/sdp/capture.mjs`.
//!
//! Each request is a line `<bytes> [<mid>=<source> …]` and so many bytes of an offer; each reply a line
//! `answer|error <bytes>` and so many bytes. Nothing listens where the answers say.

use kaiwa_sfu::control::{Rights, Source, Track};
use kaiwa_sfu::core::negotiate::{
    Config, IceCredentials, LocalParameters, Negotiator, VideoCodecs,
};
use kaiwa_sfu::unit::Mid;
use kaiwa_sfu::wire::sdp::{Candidate, Description, Fingerprint, Hash, Password, Ufrag};
use std::io::{BufRead, Error, Read, Result, Write};

fn main() -> Result<()> {
    let mut negotiator = Negotiator::new(Config {
        session_id: 4_242,
        seed: 42,
        prefers_redundancy: true,
        video_codecs: VideoCodecs::default(),
    });
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut line = String::new();
    let mut round = 0;
    while input.read_line(&mut line)? > 0 {
        let mut words = line.split_whitespace();
        let bytes = words.next().unwrap_or_default();
        let mut offer = vec![0; bytes.parse().map_err(Error::other)?];
        input.read_exact(&mut offer)?;
        round += 1;
        let tracks: Vec<Track> = words.filter_map(track).collect();
        let offer = String::from_utf8(offer).map_err(Error::other)?;
        let (word, text) = match answer(&mut negotiator, &offer, &tracks, round) {
            Ok(answer) => ("answer", answer),
            Err(error) => ("error", error),
        };
        write!(output, "{word} {}\n{text}", text.len())?;
        output.flush()?;
        line.clear();
    }
    Ok(())
}

fn answer(
    negotiator: &mut Negotiator,
    offer: &str,
    tracks: &[Track],
    round: u32,
) -> std::result::Result<String, String> {
    let offer = Description::parse(offer).map_err(|error| error.to_string())?;
    let rights = Rights {
        microphone: true,
        camera: true,
        screen: true,
        subscribe: true,
    };
    let address = "192.0.2.1:7000".parse().expect("an address");
    let ufrag = format!("serv{round}");
    let password = format!("passwordpasswordpassword{round}");
    let local = LocalParameters {
        fresh: IceCredentials {
            ufrag: Ufrag::parse(&ufrag).expect("letters"),
            password: Password::parse(&password).expect("letters"),
        },
        fingerprint: Fingerprint::new(Hash::Sha256, &[0x42; 32]).expect("32 bytes"),
        candidates: vec![Candidate::host(address, 65_535)],
    };
    match negotiator.handle_offer(&offer, &local, tracks, rights) {
        Ok(negotiated) => Ok(negotiated.answer),
        Err(error) => Err(error.to_string()),
    }
}

fn track(text: &str) -> Option<Track> {
    let (mid, source) = text.split_once('=')?;
    Some(Track {
        mid: Mid::parse(mid.as_bytes())?,
        source: match source {
            "microphone" => Source::Microphone,
            "camera" => Source::Camera,
            "screen" => Source::Screen,
            "screen_audio" => Source::ScreenAudio,
            _ => return None,
        },
        is_muted: false,
    })
}
