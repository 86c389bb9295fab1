//! kaiwa-platform
