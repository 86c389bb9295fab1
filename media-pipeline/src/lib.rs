//! Shared clips, from upload to playback.
//!
//! ```text
//!  app, back end ──api──► service ──► core (state machine) ──► ports: ClipStore, Objects, Inspector, Transcoder
//!       │                    ▲                                              │
//!       └──parts──► Objects ─┴── hints: object events, job events, reaper ◄─┘
//! ```
//!
//! Chat is known by two ports alone (`RoomAuthz`, `RoomMessages`), which the root binds.

pub mod adapters;
pub mod admin;
pub mod api;
pub mod authz;
pub mod cage;
pub mod checksum;
pub mod core;
pub mod ffmpeg;
pub mod front;
pub mod fuzzing;
pub mod grpc;
pub mod http;
pub mod inspect;
pub mod ladder;
pub mod mediaconvert;
pub mod model;
pub mod objects;
pub mod playback;
pub mod playlist;
pub mod ports;
pub mod refusal;
pub mod replay;
pub mod service;
pub mod webvtt;
mod wire;
