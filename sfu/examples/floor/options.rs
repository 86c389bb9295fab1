//! What is to be measured, from the command line.

use crate::Outcome;
use kaiwa_sfu::net::send::SendMode;
use std::time::Duration;

pub(crate) const USAGE: &str = "floor [--subscribers N,…] [--mode gso|mmsg|single|all] \
[--pace real|flat|both] [--seconds S] [--repeats R] [--pps P] [--burst B] [--bytes L] [--flush-runs F] \
[--core C] [--drain-core C] [--gro-receivers] [--send-only]";

/// How fast frames follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As a publisher sends them.
    Real,
    /// As fast as it goes.
    Flat,
}

/// See [`USAGE`].
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) subscribers: Vec<usize>,
    pub(crate) modes: Vec<SendMode>,
    pub(crate) paces: Vec<Pace>,
    pub(crate) duration: Duration,
    pub(crate) repeats: u32,
    pub(crate) pps: u32,
    pub(crate) burst: u32,
    /// Of an RTP packet, before its tag.
    pub(crate) bytes: usize,
    /// A flush after so many destinations, besides those that a full arena causes.
    pub(crate) flush_runs: usize,
    pub(crate) core: usize,
    pub(crate) drain_core: usize,
    pub(crate) has_gro: bool,
    pub(crate) seals: bool,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self {
            subscribers: vec![50, 100, 200],
            modes: vec![SendMode::Gso, SendMode::Mmsg, SendMode::Single],
            paces: vec![Pace::Real, Pace::Flat],
            duration: Duration::from_secs(4),
            repeats: 1,
            pps: 250,
            burst: 10,
            bytes: 1_100,
            flush_runs: 64,
            core: 0,
            drain_core: 1,
            has_gro: false,
            seals: true,
        };
        let mut arguments = arguments.iter();
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--gro-receivers" => options.has_gro = true,
                "--send-only" => options.seals = false,
                name => options.set(name, arguments.next().ok_or(USAGE)?)?,
            }
        }
        let is_sane = options.pps > 0 && options.burst > 0 && (20..=1_400).contains(&options.bytes);
        if is_sane {
            Ok(options)
        } else {
            Err(USAGE.into())
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Outcome<()> {
        match name {
            "--subscribers" => {
                let numbers: Result<Vec<usize>, _> = value.split(',').map(str::parse).collect();
                self.subscribers = numbers?;
            }
            "--mode" => self.modes = modes(value)?,
            "--pace" => self.paces = paces(value)?,
            "--seconds" => self.duration = Duration::try_from_secs_f64(value.parse()?)?,
            "--repeats" => self.repeats = value.parse()?,
            "--pps" => self.pps = value.parse()?,
            "--burst" => self.burst = value.parse()?,
            "--bytes" => self.bytes = value.parse()?,
            "--flush-runs" => self.flush_runs = value.parse()?,
            "--core" => self.core = value.parse()?,
            "--drain-core" => self.drain_core = value.parse()?,
            _ => return Err(USAGE.into()),
        }
        Ok(())
    }
}

fn modes(value: &str) -> Outcome<Vec<SendMode>> {
    Ok(match value {
        "gso" => vec![SendMode::Gso],
        "mmsg" => vec![SendMode::Mmsg],
        "single" => vec![SendMode::Single],
        "all" => vec![SendMode::Gso, SendMode::Mmsg, SendMode::Single],
        _ => return Err(USAGE.into()),
    })
}

fn paces(value: &str) -> Outcome<Vec<Pace>> {
    Ok(match value {
        "real" => vec![Pace::Real],
        "flat" => vec![Pace::Flat],
        "both" => vec![Pace::Real, Pace::Flat],
        _ => return Err(USAGE.into()),
    })
}
