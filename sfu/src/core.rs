//! The rules of media without I/O: time and chance come in as arguments, nothing here waits.

pub mod allocate;
pub mod congestion;
pub mod pacer;
