//! To come.

pub mod ice;
