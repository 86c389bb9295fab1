//! To come.

pub mod negotiate;
