//! kaiwa-signaling
