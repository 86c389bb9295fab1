//! Messages with placeholders: filled in when sent, compared and captured when expected.

use crate::rng::Rng;
use kaiwa_common::time::UnixMs;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What the placeholders stand for, so far.
#[derive(Debug, Clone)]
pub struct Names {
    bound: BTreeMap<String, Value>,
    rng: Rng,
    now: UnixMs,
}

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Where and why two messages differ.
pub type Difference = String;

impl Names {
    /// Nothing is bound yet; `cid`s are made from this seed and time.
    #[must_use]
    pub fn new(seed: u64, now: UnixMs) -> Self {
        Self {
            bound: BTreeMap::new(),
            rng: Rng::new(seed),
            now,
        }
    }

    /// Binds `$name`.
    pub fn bind(&mut self, name: &str, value: impl Into<Value>) {
        self.bound.insert(name.to_owned(), value.into());
    }

    /// A message to send, with all placeholders filled in.
    ///
    /// # Errors
    /// The name of one that isn't bound.
    pub fn fill(&mut self, pattern: &Value) -> Result<Value, Difference> {
        Ok(match pattern {
            Value::String(text) => match text.strip_prefix('$') {
                Some(name) => self
                    .value(name)
                    .ok_or_else(|| format!("${name} is not bound"))?,
                None => pattern.clone(),
            },
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.fill(item))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(fields) => {
                let mut filled = Map::new();
                for (name, value) in fields {
                    filled.insert(name.clone(), self.fill(value)?);
                }
                Value::Object(filled)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => pattern.clone(),
        })
    }

    /// Compares, and binds what is new.
    ///
    /// # Errors
    /// The first difference.
    pub fn compare(&mut self, pattern: &Value, actual: &Value) -> Result<(), Difference> {
        // A pattern that doesn't match in the end must bind nothing.
        let mut names = self.clone();
        names.walk("", pattern, actual)?;
        *self = names;
        Ok(())
    }

    fn walk(&mut self, at: &str, pattern: &Value, actual: &Value) -> Result<(), Difference> {
        match (pattern, actual) {
            (Value::String(text), _) if text.starts_with('$') => {
                self.placeholder(at, &text[1..], actual)
            }
            (Value::Object(wanted), Value::Object(given)) => {
                let open = wanted.get("$rest").is_some();
                for (name, pattern) in wanted.iter().filter(|(name, _)| *name != "$rest") {
                    let at = format!("{at}/{name}");
                    let value = given.get(name).ok_or_else(|| format!("{at} is missing"))?;
                    self.walk(&at, pattern, value)?;
                }
                match given.keys().find(|name| !wanted.contains_key(*name)) {
                    Some(name) if !open => Err(format!("{at}/{name} was not expected")),
                    Some(_) | None => Ok(()),
                }
            }
            (Value::Array(wanted), Value::Array(given)) => {
                if wanted.len() != given.len() {
                    return Err(format!(
                        "{at} has {} entries instead of {}",
                        given.len(),
                        wanted.len()
                    ));
                }
                let pairs = wanted.iter().zip(given).enumerate();
                for (n, (pattern, value)) in pairs {
                    self.walk(&format!("{at}/{n}"), pattern, value)?;
                }
                Ok(())
            }
            (wanted, given) if wanted == given => Ok(()),
            (wanted, given) => Err(format!("{at} is {given} instead of {wanted}")),
        }
    }

    fn placeholder(&mut self, at: &str, name: &str, actual: &Value) -> Result<(), Difference> {
        match name {
            "any" => return Ok(()),
            "time" => {
                let ms = actual.as_str().and_then(|text| text.parse::<i64>().ok());
                let near = ms.is_some_and(|ms| (ms - self.now.0).abs() < DAY_MS);
                return near
                    .then_some(())
                    .ok_or_else(|| format!("{at}: {actual} is no time now"));
            }
            _ => {}
        }
        match self.value(name) {
            Some(value) if value == *actual => Ok(()),
            Some(value) => Err(format!("{at} is {actual} instead of ${name} = {value}")),
            None => {
                self.bind(name, actual.clone());
                Ok(())
            }
        }
    }

    /// What a placeholder stands for; `cid`s come into being when they are first named.
    fn value(&mut self, name: &str) -> Option<Value> {
        if let Some(value) = self.bound.get(name) {
            return Some(value.clone());
        }
        let made = match name.split_once(':')? {
            ("cid", _) => self.rng.cid(self.now.0),
            ("cid-old", _) => self.rng.cid(self.now.0 - 8 * DAY_MS),
            ("cid-ahead", _) => self.rng.cid(self.now.0 + 2 * DAY_MS),
            ("text", bytes) => "x".repeat(bytes.parse().ok()?),
            _ => return None,
        };
        self.bind(name, made);
        self.bound.get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names() -> Names {
        Names::new(1, UnixMs(1_790_000_000_000))
    }

    #[test]
    fn fields_have_to_be_the_same_and_no_others() {
        let mut names = names();
        let pattern = json!({"a": 1, "b": ["x", {"c": "y"}]});
        assert_eq!(names.compare(&pattern, &pattern), Ok(()));
        for other in [
            json!({"a": 1}),
            json!({"a": 1, "b": ["x", {"c": "z"}]}),
            json!({"a": 1, "b": ["x"]}),
            json!({"a": 1, "b": ["x", {"c": "y"}], "d": 0}),
            json!({"a": "1", "b": ["x", {"c": "y"}]}),
        ] {
            assert!(names.compare(&pattern, &other).is_err(), "{other}");
        }
    }

    #[test]
    fn rest_lets_other_fields_be() {
        let pattern = json!({"a": 1, "$rest": true});
        assert_eq!(names().compare(&pattern, &json!({"a": 1, "b": 2})), Ok(()));
        assert!(names().compare(&pattern, &json!({"b": 2})).is_err());
    }

    #[test]
    fn a_name_is_bound_once_and_then_compared() {
        let mut names = names();
        assert_eq!(names.compare(&json!("$room"), &json!("r_1")), Ok(()));
        assert_eq!(names.compare(&json!("$room"), &json!("r_1")), Ok(()));
        assert!(names.compare(&json!("$room"), &json!("r_2")).is_err());
        assert_eq!(
            names.fill(&json!({"room": "$room"})),
            Ok(json!({"room": "r_1"}))
        );
    }

    #[test]
    fn what_does_not_match_binds_nothing() {
        let mut names = names();
        assert!(names.compare(&json!(["$a", 1]), &json!(["x", 2])).is_err());
        assert!(names.fill(&json!("$a")).is_err());
    }

    #[test]
    fn times_are_near_and_cids_stay_the_same() {
        let mut names = names();
        assert_eq!(
            names.compare(&json!("$time"), &json!("1790000001000")),
            Ok(())
        );
        assert!(names.compare(&json!("$time"), &json!("5")).is_err());
        let cid = names.fill(&json!("$cid:a")).unwrap();
        assert_eq!(names.fill(&json!("$cid:a")).unwrap(), cid);
        assert_ne!(names.fill(&json!("$cid:b")).unwrap(), cid);
    }
}
