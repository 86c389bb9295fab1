//! The rules of media, without I/O: time comes in as an argument, effects go out.

pub mod ice;

pub mod room;
