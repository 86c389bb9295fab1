//! Where objects are kept.

pub mod folder;
#[cfg(feature = "aws")]
pub mod s3;
