//! RTCP of a participant, both ways.

use super::publish::{Wire, ntp};
use super::{Peer, REPAIR_EVERY};
use crate::call::outlet::Outlet;
use crate::call::sdp::Kind;
use bytes::Bytes;
use rtc_rtcp::Packet;
use rtc_rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc_rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc_rtcp::receiver_report::ReceiverReport;
use rtc_rtcp::sender_report::SenderReport;
use rtc_rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};
use rtc_rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use std::time::Instant;

/// Reception reports of one packet (RFC 3550, section 6.4.1).
const REPORTS: usize = 31;

impl Peer {
    /// A compound packet came, opened.
    pub(super) fn handle_rtcp(&mut self, now: Instant, compound: &[u8], outlet: &mut Outlet) {
        let mut bytes = Bytes::copy_from_slice(compound);
        let Ok(packets) = rtc_rtcp::packet::unmarshal(&mut bytes) else {
            return;
        };
        for packet in packets {
            let packet = packet.as_any();
            if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                let numbers: Vec<u16> = nack
                    .nacks
                    .iter()
                    .flat_map(|pair| pair.packet_list())
                    .collect();
                let mut wire = Wire {
                    transport: &mut self.transport,
                    outlet,
                    now,
                    now_us: self.clock.us(now),
                };
                self.publisher
                    .handle_nack(nack.media_ssrc, &numbers, &mut wire);
            } else if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
                self.publisher.handle_key_request(pli.media_ssrc);
            } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
                for entry in &fir.fir {
                    self.publisher.handle_key_request(entry.ssrc);
                }
            } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
                let slots = self.subscriber.slots().iter_mut();
                for slot in slots.filter(|slot| slot.ssrc == report.ssrc) {
                    slot.handle_sender_report(now, report.ntp_time);
                }
                report
                    .reports
                    .iter()
                    .for_each(|r| self.publisher.handle_report(r.ssrc));
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                report
                    .reports
                    .iter()
                    .for_each(|r| self.publisher.handle_report(r.ssrc));
            }
        }
    }

    /// Asks for what is missing.
    pub(super) fn repair(&mut self, now: Instant, outlet: &mut Outlet) {
        let mut packets: Vec<Box<dyn Packet>> = Vec::new();
        let (mut is_missing, mut asked) = (false, 0);
        let mut numbers = Vec::new();
        for slot in self.subscriber.slots() {
            // Nobody answers for sound: RED is its repair.
            if slot.rtx.is_none() {
                continue;
            }
            numbers.clear();
            slot.missing.due(now, &mut numbers);
            is_missing |= !slot.missing.is_empty();
            if !numbers.is_empty() {
                asked += numbers.len();
                packets.push(Box::new(TransportLayerNack {
                    sender_ssrc: self.ssrc,
                    media_ssrc: slot.ssrc,
                    nacks: nack_pairs_from_sequence_numbers(&numbers),
                }));
            }
        }
        self.next_repair = is_missing.then(|| now + REPAIR_EVERY);
        self.subscriber.asked(asked, 0);
        self.send_rtcp(&packets, outlet);
    }

    /// Transport-wide feedback, and requests for key frames.
    pub(super) fn send_feedback(&mut self, now: Instant, outlet: &mut Outlet) {
        let media = self.subscriber.slots().first().map_or(0, |slot| slot.ssrc);
        self.scratch.clear();
        let ssrc = self.ssrc;
        if self
            .subscriber
            .arrivals
            .report(ssrc, media, &mut self.scratch)
        {
            self.transport.send_rtcp(&self.scratch, outlet);
        }
        let mut packets: Vec<Box<dyn Packet>> = Vec::new();
        let mut asked = 0;
        for slot in self.subscriber.slots() {
            if slot.kind == Kind::Video && slot.decoder.is_starved(now) {
                slot.decoder.asked(now);
                asked += 1;
                packets.push(Box::new(PictureLossIndication {
                    sender_ssrc: ssrc,
                    media_ssrc: slot.ssrc,
                }));
            }
        }
        self.subscriber.asked(0, asked);
        self.send_rtcp(&packets, outlet);
    }

    /// Sender reports, a receiver report, and who we are (RFC 3550, section 6.1).
    pub(super) fn send_reports(&mut self, now: Instant, outlet: &mut Outlet) {
        let mut packets: Vec<Box<dyn Packet>> = Vec::new();
        let now_us = self.clock.us(now);
        self.publisher
            .reports(now_us, now, |report| packets.push(Box::new(report)));
        let reports: Vec<_> = self
            .subscriber
            .slots()
            .iter_mut()
            .filter_map(|slot| slot.report(now))
            .collect();
        for reports in reports.chunks(REPORTS) {
            packets.push(Box::new(ReceiverReport {
                ssrc: self.ssrc,
                reports: reports.to_vec(),
                ..ReceiverReport::default()
            }));
        }
        if packets.is_empty() {
            return;
        }
        let item = SourceDescriptionItem {
            sdes_type: SdesType::SdesCname,
            text: Bytes::from_static(b"load"),
        };
        packets.push(Box::new(SourceDescription {
            chunks: vec![SourceDescriptionChunk {
                source: self.ssrc,
                items: vec![item],
            }],
        }));
        debug_assert!(ntp(now_us) > now_us);
        self.send_rtcp(&packets, outlet);
    }

    fn send_rtcp(&mut self, packets: &[Box<dyn Packet>], outlet: &mut Outlet) {
        if packets.is_empty() {
            return;
        }
        // It fails only for more reports than a packet may have, which are counted out above.
        if let Ok(compound) = rtc_rtcp::packet::marshal(packets) {
            self.transport.send_rtcp(&compound, outlet);
        }
    }
}
