//! kaiwa-chat
