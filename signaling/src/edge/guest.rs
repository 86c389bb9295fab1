//! Other components' routes on the edge: which they are, and how much longer than the edge's own they may take.

use axum::Router;
use kaiwa_common::limits::{HTTP_CONNECTION, HTTP_REQUEST};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What holds for requests whose path begins with something.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Such as `/objects/`.
    pub prefix: &'static str,
    /// From a request's head to its answer's.
    pub answer: Duration,
    /// Its body may take as long, since the route itself bounds it; else [`HTTP_REQUEST`].
    pub streams_body: bool,
    /// From a request's head to the end of its answer: so long its connection is left to it.
    pub connection: Duration,
    /// Pages of any origin may act: a token in the request is the whole right, and no cookie counts.
    pub any_origin: bool,
    /// Pages of the origins that the edge knows besides its own may read the answers, and ask what they may send: a token
    /// that the page has is the right, and no cookie counts.
    pub cors: bool,
}

impl Rule {
    /// The edge's own.
    const OWN: Self = Self {
        prefix: "/",
        answer: HTTP_REQUEST,
        streams_body: false,
        connection: HTTP_CONNECTION,
        any_origin: false,
        cors: false,
    };
}

/// Routes and their rules.
#[derive(Clone, Default)]
pub struct Guests {
    router: Router,
    rules: &'static [Rule],
    origins: Arc<[String]>,
}

impl Guests {
    /// These routes, with these rules.
    #[must_use]
    pub fn new(router: Router, rules: &'static [Rule]) -> Self {
        Self {
            router,
            rules,
            origins: Arc::default(),
        }
    }

    /// Pages of the app may load media and pictures from these origins as well, and send to them. What is no origin
    /// (scheme, host, perhaps a port) is left out: it would change the policy's meaning.
    #[must_use]
    pub fn with_origins(mut self, origins: Vec<String>) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ":/.-_[]".contains(c);
        let origins = origins.into_iter();
        self.origins = origins.filter(|one| one.chars().all(is_plain)).collect();
        self
    }

    pub(super) fn origins(&self) -> &[String] {
        &self.origins
    }

    pub(super) fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.router.clone().with_state(())
    }

    pub(super) fn rule(&self, path: &str) -> Rule {
        let found = self.rules.iter().find(|rule| path.starts_with(rule.prefix));
        found.copied().unwrap_or(Rule::OWN)
    }
}

/// How long an HTTP connection lives at most; a request on it may make it longer.
#[derive(Debug, Clone)]
pub(super) struct Lease(Arc<Mutex<Instant>>);

impl Lease {
    /// From now on.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now() + HTTP_CONNECTION)))
    }

    /// At least so long from now.
    pub(super) fn extend(&self, by: Duration) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until).max(Instant::now() + by);
    }

    /// Ends when it is over.
    pub(super) async fn over(&self) {
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPLOADS: Rule = Rule {
        prefix: "/objects/",
        answer: Duration::from_secs(900),
        streams_body: true,
        connection: Duration::from_secs(930),
        any_origin: true,
        cors: false,
    };

    #[test]
    fn a_rule_holds_for_what_begins_like_it_and_for_nothing_else() {
        let guests = Guests::new(Router::new(), &[UPLOADS]);
        assert!(guests.rule("/objects/part").any_origin);
        for own in ["/objects", "/ws", "/api/v1/objects/part", "/"] {
            let rule = guests.rule(own);
            assert!(!rule.any_origin && rule.answer == HTTP_REQUEST, "{own}");
        }
    }

    #[tokio::test]
    async fn a_long_request_keeps_its_connection_and_a_short_one_does_not_shorten_it() {
        let lease = Lease::new();
        lease.extend(Duration::from_secs(930));
        lease.extend(HTTP_CONNECTION);
        let until = *lease.0.lock().expect("a lock");
        assert!(until > Instant::now() + Duration::from_secs(900));
    }
}
