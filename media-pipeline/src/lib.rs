//! Shared clips, from upload to playback.
//!
//! ```text
//!  app, back end ──api──► service ──► core (state machine) ──► ports: ClipStore, Objects, Inspector, Transcoder
//!       │                    ▲                                              │
//!       └──parts──► Objects ─┴── hints: object events, job events, reaper ◄─┘
//! ```
//!
//! Chat is known by two ports alone (`RoomAuthz`, `RoomMessages`), which the root binds.

pub mod api;
pub mod model;
pub mod ports;

pub mod cage;
pub mod ffmpeg;
pub mod inspect;
pub mod ladder;
pub mod playlist;
