//! Sockets and threads of the media path: datagrams in and out in batches, readiness, cores.
//!
//! The only module that talks to the kernel: what needs `unsafe` is in `sys`, behind safe
//! functions. Linux only. Nothing here knows what a datagram means.
//!
//! ```text
//!           ┌── Poller (epoll, Waker) ──┐
//!  kernel ─►│ ReceiveBatch (recvmmsg,   │─► datagrams, one by one, in place
//!           │   UDP_GRO)                │
//!  kernel ◄─│ SendArena (sendmmsg of    │◄─ reserve, seal in place, commit
//!           │   UDP_SEGMENT runs)       │
//!           └── UdpSocket ──────────────┘
//! ```
//!
//! TCP connections are the standard library's; [`tcp`] sets them up, and [`frames`] are what one did not take yet.

mod sys;

pub mod address;
pub mod affinity;
pub mod frames;
pub mod poll;
pub mod receive;
pub mod send;
pub mod socket;
pub mod tcp;
