//! The rules of media, without I/O: time, numbers and packets come in as arguments.

pub mod audio;
pub mod forward;
pub mod keyframes;
pub mod layers;
pub mod nack;
pub mod receive;
pub mod redundancy;
pub mod report;
pub mod retransmit;
pub mod ring;
