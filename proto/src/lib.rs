//! Kaiwa's wire schemas and the code generated from them.
//!
//! Types here are *wire* types: they stop at the edge. A domain type is made from one by `TryFrom` in
//! the adapter that received it, which is where input is validated.

/// The client protocol; `docs/protocol.md` is its specification.
pub mod client {
    /// Version 1: subprotocols `kaiwa.v1+json` and `kaiwa.v1+proto`.
    #[expect(
        missing_docs,
        reason = "generated: the schema's comments become the documentation"
    )]
    #[allow(
        clippy::all,
        clippy::unwrap_used,
        clippy::too_many_lines,
        clippy::wildcard_enum_match_arm,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::iter_over_hash_type,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/kaiwa.client.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/kaiwa.client.v1.serde.rs"));
    }
}

/// What travels through the notification queues; `kaiwa/notify/v1/notify.proto` is its specification.
pub mod notify {
    /// Schema 1.
    #[expect(
        missing_docs,
        reason = "generated: the schema's comments become the documentation"
    )]
    #[allow(
        clippy::all,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/kaiwa.notify.v1.rs"));
    }
}

/// Clips over gRPC and HTTP; `kaiwa/media/v1/media.proto` is its specification.
pub mod media {
    /// Version 1.
    #[expect(
        missing_docs,
        reason = "generated: the schema's comments become the documentation"
    )]
    #[allow(
        clippy::all,
        clippy::missing_errors_doc,
        clippy::unwrap_used,
        clippy::too_many_lines,
        clippy::wildcard_enum_match_arm,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::iter_over_hash_type,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/kaiwa.media.v1.rs"));
        include!(concat!(env!("OUT_DIR"), "/kaiwa.media.v1.serde.rs"));

        /// The schema as a `google.protobuf.FileDescriptorSet`, with its comments.
        pub const DESCRIPTORS: &[u8] =
            include_bytes!(concat!(env!("OUT_DIR"), "/kaiwa.media.v1.bin"));
    }
}
