//! kaiwa-loadtest
