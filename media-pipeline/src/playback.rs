//! Playing: path tokens, the routes that take them, and CloudFront's cookies.
//!
//! `/v/{token}/{clip}/{file}`: relative names in a playlist inherit the token, so every player works without cookies
//! and without rewriting. Membership is asked when a token is made; the room's epoch ends it at once afterwards.

mod cloudfront;
mod files;
mod issue;
pub(crate) mod range;
mod serve;
mod source;
mod token;

pub use cloudfront::{CloudFront, CloudFrontConfig, InvalidSigner};
pub use issue::{Issuer, life};
pub use serve::{PlaybackSettings, router};
pub use source::{Playable, PlayableClips, PrefixOf, StoredClips};
pub use token::{Claims, InvalidPlaybackKey, PlaybackKey, PlaybackKeys, room_epoch};
