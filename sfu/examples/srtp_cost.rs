//! What sealing and opening a packet costs: `cargo run --release -p kaiwa-sfu --example srtp_cost`.
//!
//! Nanoseconds for an RTP packet of 1,100 bytes and a 12-byte header, the best of several rounds on
//! one thread: a figure of the machine without its neighbours.

use kaiwa_sfu::srtp::{Keys, Opener, Profile, Sealer};
use kaiwa_sfu::unit::{ExtSeqNo, Ssrc};
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

const HEADER: usize = 12;
const PACKET: usize = 1_100;
const PACKETS: u16 = 20_000;
const ROUNDS: u64 = 15;

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for profile in [Profile::AeadAes128Gcm, Profile::Aes128CmHmacSha1_80] {
        let exported = vec![7; profile.exporter_bytes()];
        let keys = Keys::from_exporter(profile, &exported).expect("the exporter's length");
        let sealer = Sealer::new(&keys.server);
        let mut opener = Opener::new(&keys.server);
        let mut seal = Duration::MAX;
        let mut open = Duration::MAX;
        for round in 0..ROUNDS {
            let mut packets = vec![[0x5a; PACKET + 16]; usize::from(PACKETS)];
            let from = Instant::now();
            for (at, packet) in (round * u64::from(PACKETS)..).zip(&mut packets) {
                let index = ExtSeqNo(at);
                black_box(sealer.seal_rtp(packet, HEADER, PACKET, index, Ssrc(1)));
            }
            seal = seal.min(from.elapsed());
            let from = Instant::now();
            for (at, packet) in (round * u64::from(PACKETS)..).zip(&mut packets) {
                let seq = ExtSeqNo(at).wire();
                let sealed = &mut packet[..PACKET + profile.rtp_overhead()];
                let opened = opener.open_rtp(sealed, HEADER, Ssrc(1), seq);
                black_box(opened.expect("sealed with the same key"));
            }
            open = open.min(from.elapsed());
        }
        let ns = |total: Duration| total.as_nanos() / u128::from(PACKETS);
        writeln!(
            out,
            "{profile:?}: seal {} ns, open {} ns",
            ns(seal),
            ns(open)
        )?;
    }
    Ok(())
}
