//! The edge against foreign pages, foreign names, strangers behind proxies, and its own logs.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "support/root.rs"]
mod support;

#[path = "security/http.rs"]
mod http;
#[path = "security/logs.rs"]
mod logs;
#[path = "security/settings.rs"]
mod settings;
#[path = "security/sign_in.rs"]
mod sign_in;
#[path = "security/tls.rs"]
mod tls;
