//! What the path of a request names.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;

/// What a path names, as far as it is text.
pub(super) type InPath<T> = Result<Path<T>, PathRejection>;

/// One that is no text names nothing that there is.
pub(super) fn named<T: Default>(path: InPath<T>) -> T {
    path.map_or_else(|_| T::default(), |Path(named)| named)
}
