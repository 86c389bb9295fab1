//! The rules of media, without I/O: time comes in as an argument, effects go out.
//!
//! Read it in this order: [`ice`] and [`negotiate`] agree with a peer, [`lobby`] bounds who has not said whose peer
//! they are, [`room`] says who gets what;
//! [`ring`], [`receive`] and [`nack`] take a publisher's layers in; [`layers`], [`forward`] and
//! [`retransmit`] send one to a subscriber; [`keyframes`], [`redundancy`], [`audio`] and [`report`] are
//! what belongs to it; [`congestion`], [`pacer`] and [`allocate`] fit it to the path.

pub mod ice;
pub mod negotiate;

pub mod lobby;
pub mod room;

pub mod nack;
pub mod receive;
pub mod ring;

pub mod forward;
pub mod layers;
pub mod retransmit;

pub mod audio;
pub mod keyframes;
pub mod redundancy;
pub mod report;

pub mod allocate;
pub mod congestion;
pub mod pacer;

mod places;
