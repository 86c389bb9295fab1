//! kaiwa-common
