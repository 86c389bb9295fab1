//! Descriptions of all shapes.

use super::*;

fn token() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9!#$%&'*+.^_`{|}~-]{1,12}"
}

fn rid() -> impl Strategy<Value = Rid> {
    "[a-zA-Z0-9_-]{1,16}".prop_map(|text| Rid::parse(text.as_bytes()).expect("a rid"))
}

fn direction() -> impl Strategy<Value = Direction> {
    select(vec![
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ])
}

fn fingerprint() -> impl Strategy<Value = Fingerprint> {
    let hash = select(vec![Hash::Sha256, Hash::Sha384, Hash::Sha512]);
    (hash, any::<[u8; 32]>()).prop_map(|(hash, seed)| {
        let digest: Vec<u8> = seed
            .iter()
            .cycle()
            .take(hash.len_bytes())
            .copied()
            .collect();
        Fingerprint::new(hash, &digest).expect("its length")
    })
}

fn transport() -> impl Strategy<Value = TransportAttributes> {
    let setup = select(vec![
        Setup::Actpass,
        Setup::Active,
        Setup::Passive,
        Setup::Holdconn,
    ]);
    (
        prop::option::of("[a-zA-Z0-9+/]{4,40}"),
        prop::option::of("[a-zA-Z0-9+/]{22,60}"),
        prop::collection::vec(fingerprint(), 0..3),
        prop::option::of(setup),
    )
        .prop_map(
            |(ufrag, password, fingerprints, setup)| TransportAttributes {
                ufrag: ufrag.and_then(|text| Ufrag::parse(&text)),
                password: password.and_then(|text| Password::parse(&text)),
                fingerprints,
                setup,
            },
        )
}

fn map() -> impl Strategy<Value = RtpMap> {
    (token(), 1..=u32::MAX, 1..=u8::MAX).prop_map(|(encoding, clock_rate, channels)| RtpMap {
        encoding,
        clock_rate,
        channels,
    })
}

fn formats() -> impl Strategy<Value = Vec<Format>> {
    let feedback = prop::collection::vec(select(Feedback::ALL.to_vec()), 0..4);
    let fmtp = "[!-~]([ -~]{0,20}[!-~])?";
    let one = (prop::option::of(map()), prop::option::of(fmtp), feedback);
    prop::collection::btree_map(0..=127_u8, one, 1..6).prop_map(|all| {
        let format = |(pt, (map, fmtp, feedback)): (u8, (_, _, Vec<Feedback>))| Format {
            pt: PayloadType(pt),
            map,
            fmtp,
            feedback: feedback.into_iter().collect(),
        };
        all.into_iter().map(format).collect()
    })
}

fn extensions() -> impl Strategy<Value = Vec<Extension>> {
    let one = (prop::option::of(direction()), "[!-~]{1,30}");
    let id = (1..=255_u8).prop_filter("reserved", |&id| id != 15);
    prop::collection::btree_map(id, one, 0..5).prop_map(|all| {
        let extension = |(id, (direction, uri))| Extension { id, direction, uri };
        all.into_iter().map(extension).collect()
    })
}

fn sources() -> impl Strategy<Value = Vec<Source>> {
    let cname = prop::option::of("[ -~]{1,20}");
    prop::collection::btree_map(any::<u32>(), cname, 0..4).prop_map(|all| {
        let source = |(ssrc, cname)| Source {
            ssrc: Ssrc(ssrc),
            cname,
        };
        all.into_iter().map(source).collect()
    })
}

fn source_group() -> impl Strategy<Value = SourceGroup> {
    let pair = (any::<u16>(), any::<u16>());
    let pair = pair.prop_map(|(a, b)| (Ssrc(u32::from(a)), Ssrc(0x1_0000 + u32::from(b))));
    prop_oneof![
        pair.clone()
            .prop_map(|(primary, rtx)| SourceGroup::Fid { primary, rtx }),
        pair.prop_map(|(primary, repair)| SourceGroup::FecFr { primary, repair }),
        prop::collection::vec(any::<u32>().prop_map(Ssrc), 1..4).prop_map(SourceGroup::Sim),
    ]
}

fn rids() -> impl Strategy<Value = Vec<RidLine>> {
    let pts = prop::collection::vec((0..=127_u8).prop_map(PayloadType), 0..3);
    let restrictions = select(vec!["", "max-width=1280", "max-fps=30;depend=a,b"]);
    let one = (any::<bool>(), pts, restrictions);
    prop::collection::btree_map(rid(), one, 0..4).prop_map(|all| {
        let line = |(rid, (is_sent, formats, restrictions)): (_, (_, _, &str))| RidLine {
            rid,
            is_sent,
            formats,
            restrictions: restrictions.to_owned(),
        };
        all.into_iter().map(line).collect()
    })
}

fn streams() -> impl Strategy<Value = Vec<Vec<SimulcastStream>>> {
    // No stream is there twice.
    prop::collection::btree_map(rid(), (any::<bool>(), any::<bool>()), 0..5).prop_map(|all| {
        let mut streams: Vec<Vec<SimulcastStream>> = Vec::new();
        for (rid, (is_paused, is_alternative)) in all {
            let stream = SimulcastStream { rid, is_paused };
            match streams.last_mut().filter(|_| is_alternative) {
                Some(choice) => choice.push(stream),
                None => streams.push(vec![stream]),
            }
        }
        streams
    })
}

fn simulcast() -> impl Strategy<Value = Option<Simulcast>> {
    (streams(), streams()).prop_map(|(send, recv)| {
        let simulcast = Simulcast { send, recv };
        (simulcast != Simulcast::default()).then_some(simulcast)
    })
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let tcp = select(vec![
        TcpKind::Active,
        TcpKind::Passive,
        TcpKind::SimultaneousOpen,
    ]);
    let transport = prop_oneof![Just(Transport::Udp), tcp.prop_map(Transport::Tcp)];
    let address = prop_oneof![
        any::<std::net::Ipv4Addr>().prop_map(|address| address.to_string()),
        any::<std::net::Ipv6Addr>().prop_map(|address| address.to_string()),
        "[a-z0-9-]{1,30}\\.local",
    ];
    let kind = select(vec![
        CandidateKind::Host,
        CandidateKind::ServerReflexive,
        CandidateKind::PeerReflexive,
        CandidateKind::Relay,
    ]);
    (
        "[a-zA-Z0-9+/]{1,32}",
        1..=256_u16,
        transport,
        1..=0x7fff_ffff_u32,
        (address, any::<u16>(), kind),
    )
        .prop_map(
            |(foundation, component, transport, priority, (address, port, kind))| Candidate {
                foundation,
                component,
                transport,
                priority,
                address,
                port,
                kind,
            },
        )
}

fn msid() -> impl Strategy<Value = Msid> {
    (token(), prop::option::of(token())).prop_map(|(stream, track)| Msid { stream, track })
}

fn rtp() -> impl Strategy<Value = Media> {
    let kind = prop_oneof![
        Just(SectionKind::Audio),
        Just(SectionKind::Video),
        Just(SectionKind::Other("text".to_owned())),
    ];
    let lists = (
        formats(),
        extensions(),
        prop::collection::vec(msid(), 0..3),
        sources(),
        prop::collection::vec(source_group(), 0..3),
        rids(),
        simulcast(),
        prop::collection::vec(candidate(), 0..3),
    );
    (
        kind,
        any::<u16>(),
        direction(),
        any::<[bool; 5]>(),
        transport(),
        lists,
    )
        .prop_map(|(kind, port, direction, flags, transport, lists)| {
            let mut media = Media::new(kind, port, Protocol::Savpf);
            media.direction = direction;
            media.transport = transport;
            media.has_rtcp_mux = flags[0];
            media.has_rtcp_rsize = flags[1];
            media.is_bundle_only = flags[2];
            media.allows_mixed_extensions = flags[3];
            media.has_end_of_candidates = flags[4];
            let (formats, extensions, msids, sources, groups, rids, simulcast, candidates) = lists;
            media.formats = formats;
            media.extensions = extensions;
            media.msids = msids;
            media.sources = sources;
            media.source_groups = groups;
            media.rids = rids;
            media.simulcast = simulcast;
            media.candidates = candidates;
            media
        })
}

fn other() -> impl Strategy<Value = Media> {
    (
        any::<u16>(),
        "[A-Z]{2,4}/[A-Z]{2,4}",
        "[!-~]([ -~]{0,20}[!-~])?",
    )
        .prop_map(|(port, protocol, formats)| {
            let mut media = Media::new(SectionKind::Application, port, Protocol::Other(protocol));
            media.other_formats = formats;
            media
        })
}

pub(super) fn description() -> impl Strategy<Value = Description> {
    (
        any::<(u64, u64, bool, bool)>(),
        transport(),
        prop::collection::vec(prop_oneof![4 => rtp(), 1 => other()], 0..6),
        any::<u8>(),
    )
        .prop_map(
            |((session_id, version, is_ice_lite, allows_mixed), transport, media, mids)| {
                let mut description = Description {
                    session_id,
                    version,
                    is_ice_lite,
                    bundles: Vec::new(),
                    allows_mixed_extensions: allows_mixed,
                    transport,
                    media,
                };
                for (at, media) in description.media.iter_mut().enumerate() {
                    let mid = Mid::parse(format!("mid{at}").as_bytes());
                    media.mid = mid.filter(|_| mids >> at & 1 == 0);
                }
                let mids = description.media.iter().filter_map(|media| media.mid);
                description.bundles = vec![mids.collect()];
                description
            },
        )
}
