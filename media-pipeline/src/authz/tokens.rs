//! Who asks: a person by the product's token, or a back end by a token of its own key.

use super::{Operation, Scope};
use crate::refusal::{Reason, Refusal};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use kaiwa_common::id::UserId;
use kaiwa_common::time::UnixMs;
use kaiwa_common::token::{Identity, ServerRole, TokenError, TokenKey};
use std::collections::{BTreeMap, BTreeSet};

/// Names the person for whom a back end asks.
pub(crate) const ACTING_USER: &str = "x-acting-user";

/// Checks tokens.
#[derive(Debug)]
pub struct Tokens {
    people: TokenKey,
    services: Option<TokenKey>,
    rules: BTreeMap<String, ServiceRule>,
}

/// What the configuration gives a back end. A service that has no rule may nothing.
#[derive(Debug, Clone)]
pub struct ServiceRule {
    /// For whom it may ask.
    pub acts_for: ActsFor,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// The role in which it asks for people.
    pub role: ServerRole,
}

/// For whom a back end may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActsFor {
    /// Nobody: `x-acting-user` is refused.
    Nobody,
    /// These.
    People(BTreeSet<String>),
    /// Everybody.
    Anybody,
}

impl ActsFor {
    fn covers(&self, user: &UserId) -> bool {
        match self {
            Self::Nobody => false,
            Self::People(people) => people.contains(user.as_str()),
            Self::Anybody => true,
        }
    }
}

/// Who asks, once it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The person; of operators' calls by a service its own name.
    pub user: UserId,
    /// Their role.
    pub role: ServerRole,
    /// The back end.
    pub service: Option<String>,
    /// When the token ends: a watch ends with it.
    pub expires: UnixMs,
}

impl Tokens {
    /// Of people alone.
    #[must_use]
    pub fn new(people: TokenKey) -> Self {
        Self {
            people,
            services: None,
            rules: BTreeMap::new(),
        }
    }

    /// And of these services, whose tokens are signed with another key than people's, for another audience.
    /// The `sub` of such a token is the service's name.
    #[must_use]
    pub fn with_services(mut self, key: TokenKey, rules: BTreeMap<String, ServiceRule>) -> Self {
        self.services = Some(key);
        self.rules = rules;
        self
    }

    /// Who asks for this, if they may at all.
    ///
    /// # Errors
    /// [`Refusal`]: 401 for tokens, 403 for roles, scopes and acting for others.
    pub fn authenticate(
        &self,
        headers: &HeaderMap,
        operation: Operation,
        now: UnixMs,
    ) -> Result<Who, Refusal> {
        let token = bearer(headers)?;
        let acting = one(headers, ACTING_USER)
            .map_err(|()| refused("`x-acting-user` has to be there once, as text"))?;
        let who = match self.people.verify(token, now) {
            Ok(person) if acting.is_some() => {
                drop(person);
                return Err(refused("a person asks for themselves"));
            }
            Ok(person) => Who {
                user: person.user,
                role: person.role,
                service: None,
                expires: person.expires,
            },
            Err(TokenError::Expired) => return Err(expired()),
            Err(TokenError::Invalid(why)) => {
                let service = self.service(token, now)?;
                let service = service.ok_or_else(|| unauthenticated(why))?;
                self.acting(&service, acting, operation)?
            }
        };
        if operation.allows(who.role) {
            Ok(who)
        } else {
            Err(Refusal::new(
                Reason::RoleTooLow,
                format!("this is not for {}s", role_name(who.role)),
            ))
        }
    }

    fn service(&self, token: &str, now: UnixMs) -> Result<Option<Identity>, Refusal> {
        let Some(key) = &self.services else {
            return Ok(None);
        };
        match key.verify(token, now) {
            Ok(service) => Ok(Some(service)),
            Err(TokenError::Expired) => Err(expired()),
            Err(TokenError::Invalid(_)) => Ok(None),
        }
    }

    fn acting(
        &self,
        service: &Identity,
        acting: Option<&str>,
        operation: Operation,
    ) -> Result<Who, Refusal> {
        let name = service.user.as_str();
        let Some(rule) = self.rules.get(name) else {
            return Err(unauthenticated("this service is not known here"));
        };
        let scope = operation.rule().1;
        if !rule.scopes.contains(&scope) {
            let message = format!("the service has no scope `{}`", scope.text());
            return Err(Refusal::new(Reason::ScopeMissing, message));
        }
        let who = |user, role| Who {
            user,
            role,
            service: Some(name.to_owned()),
            expires: service.expires,
        };
        let Some(acting) = acting else {
            // Operators' calls are about nobody's rooms: the scope is enough.
            return if scope == Scope::Admin {
                Ok(who(service.user.clone(), ServerRole::Admin))
            } else {
                Err(refused("a service names the person for whom it asks"))
            };
        };
        let user = UserId::parse(acting).map_err(|_| refused("`x-acting-user` is no user id"))?;
        if !rule.acts_for.covers(&user) {
            return Err(refused("the service may not ask for this person"));
        }
        let role = if scope == Scope::Admin {
            ServerRole::Admin
        } else {
            rule.role
        };
        Ok(who(user, role))
    }
}

fn role_name(role: ServerRole) -> &'static str {
    match role {
        ServerRole::Admin => "administrator",
        ServerRole::Creator => "creator",
        ServerRole::Viewer => "viewer",
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let value = one(headers, AUTHORIZATION.as_str())
        .map_err(|()| unauthenticated("`authorization` has to be there once, as text"))?;
    let value = value.ok_or_else(|| unauthenticated("there is no `authorization`"))?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        Some(_) | None => Err(unauthenticated("`authorization` is not `Bearer TOKEN`")),
    }
}

/// The header's value, if it is there once; two would be read differently by different readers.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(());
    }
    value.to_str().map(Some).map_err(|_| ())
}

fn unauthenticated(why: &str) -> Refusal {
    Refusal::new(Reason::Unauthenticated, format!("not signed in: {why}"))
}

fn expired() -> Refusal {
    Refusal::new(Reason::TokenExpired, "the token has expired")
}

fn refused(why: &str) -> Refusal {
    Refusal::new(Reason::ActingUserRefused, why)
}
