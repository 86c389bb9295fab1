//! To come.

pub mod sdp;
