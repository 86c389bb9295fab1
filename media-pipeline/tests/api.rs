//! The API in both its forms, and playback, in front of a scripted implementation.

#[path = "api/authz.rs"]
mod authz;
#[path = "api/doubles.rs"]
mod doubles;
#[path = "api/grpc.rs"]
mod grpc;
#[path = "api/hook_tls.rs"]
mod hook_tls;
#[path = "api/http.rs"]
mod http;
#[path = "api/playback.rs"]
mod playback;
#[path = "api/python.rs"]
mod python;
#[path = "api/schema.rs"]
mod schema;
#[path = "api/support.rs"]
mod support;
