//! The web app's files, put into the binary by `build.rs`; none when it was not built.

use kaiwa_signaling::edge::assets::{Asset, Assets};

/// All of them.
pub(crate) const ASSETS: Assets = Assets(FILES);

const FILES: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));
