//! The seeds of codecs' payloads that have layers or sizes, and of the dependency descriptor.

type Seed = (&'static str, &'static str, Vec<u8>);

pub(crate) fn all() -> Vec<Seed> {
    let of = |target, seeds: Vec<(&'static str, Vec<u8>)>| {
        seeds
            .into_iter()
            .map(move |(name, bytes)| (target, name, bytes))
    };
    of("vp9", vp9())
        .chain(of("h264", h264()))
        .chain(of("av1", av1()))
        .chain(of("dependency_descriptor", dependency_descriptor()))
        .collect()
}

fn vp9() -> Vec<(&'static str, Vec<u8>)> {
    let structure = [
        0x38, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68, 2, 0x10, 0x54, 1,
    ];
    vec![
        ("shortest", vec![0x0c, 1]),
        ("key_picture", vec![0x88, 0x81, 0x02, 9]),
        ("short_id", vec![0xc8, 0x05, 9]),
        ("layers", vec![0xe8, 0x92, 0x34, 0x53, 0x77, 9]),
        ("key_upper_layer", vec![0xa8, 0x92, 0x34, 0x03, 0x77, 9]),
        ("flexible", vec![0xf5, 0x05, 0x04, 0x03, 0x08, 9]),
        ("three_references", vec![0xd4, 0x05, 0x03, 0x05, 0x06, 9]),
        ("four_references", vec![0x50, 3, 3, 3, 2]),
        (
            "structure",
            [&[0x2a, 0x00, 0x01], &structure[..], &[9]].concat(),
        ),
        ("structure_of_nothing", vec![0x0a, 0x00, 9]),
        ("structure_cut", [&[0x0a], &structure[..6]].concat()),
        (
            "all_fields",
            [&[0xff, 0xff, 0xff, 0xff, 0x02], &structure[..]].concat(),
        ),
        ("cut_in_id", vec![0x80, 0x80]),
        ("empty", vec![]),
    ]
}

fn h264() -> Vec<(&'static str, Vec<u8>)> {
    let high = [
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x6c, 0x80, 0x00, 0x00,
        0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x07, 0x8c, 0x18, 0xcb,
    ];
    let baseline = [0x67, 0x42, 0xc0, 0x0d, 0xda, 0x05, 0x06, 0x7e, 0x74];
    let mut aggregate = vec![0x78, 0x00, 9];
    aggregate.extend(baseline);
    aggregate.extend([0x00, 4, 0x68, 0xce, 0x3c, 0x80]);
    vec![
        ("parameters_high", high.to_vec()),
        ("parameters_baseline", baseline.to_vec()),
        ("parameters_cut", high[..7].to_vec()),
        (
            "parameters_scaling",
            vec![0x67, 0x64, 0, 0x1f, 0xad, 0xff, 0xff, 0x5a, 0xa5, 0x5a],
        ),
        ("aggregate", aggregate.clone()),
        ("aggregate_cut", aggregate[..8].to_vec()),
        ("aggregate_of_nothing", vec![0x78, 0, 0]),
        ("idr", vec![0x65, 0x88, 0x84, 1]),
        ("slice", vec![0x41, 0x9a, 1]),
        ("later_slice", vec![0x41, 0x40, 1]),
        ("fragment_first", vec![0x7c, 0x85, 0x88, 1]),
        ("fragment_middle", vec![0x7c, 0x05, 1]),
        ("fragment_parameters", [&[0x7c, 0x87], &high[1..]].concat()),
        ("interleaved", vec![0x59, 0, 0, 1]),
        ("empty", vec![]),
    ]
}

fn av1() -> Vec<(&'static str, Vec<u8>)> {
    let sequence = [0x08, 0x00, 0x00, 0x00, 0x2d, 0x4c, 0xff, 0xb3, 0xe0];
    let sized = [&[0x0a, 8], &sequence[1..]].concat();
    let with = |front: &[u8], element: &[u8], rest: &[u8]| [front, element, rest].concat();
    vec![
        ("key_frame", with(&[0x28, 9], &sequence, &[0x30, 0x10])),
        ("sequence_alone", with(&[0x18], &sequence, &[])),
        ("sequence_sized", with(&[0x00, 10], &sized, &[2, 0x30, 1])),
        ("sequence_cut", with(&[0x18], &sequence[..4], &[])),
        (
            "sequence_timing",
            vec![
                0x18, 0x08, 0x07, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7,
            ],
        ),
        (
            "sequence_reduced",
            vec![0x18, 0x08, 0x18, 0x55, 0x55, 0x55, 0x55],
        ),
        ("frame", vec![0x10, 0x30, 0x40]),
        ("frame_of_layer", vec![0x10, 0x34, 0x28, 0x40]),
        ("continuation", with(&[0x90], &sequence, &[])),
        ("continued", vec![0x50, 0x20, 0x40]),
        ("three_elements", vec![0x30, 1, 0x28, 2, 0x30, 1, 0x20, 2]),
        ("no_element", vec![0x10]),
        (
            "endless_length",
            vec![0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1],
        ),
        ("many", [&[0x00][..], &[0; 70]].concat()),
        ("empty", vec![]),
    ]
}

/// Of a structure of L1T2, and of frames that name its templates.
fn dependency_descriptor() -> Vec<(&'static str, Vec<u8>)> {
    let l1t2 = [
        0xc6, 0x01, 0x00, 0x80, 0xc1, 0x1e, 0xa8, 0x51, 0x41, 0x01, 0x0c, 0x09, 0xfc, 0x05, 0x9c,
    ];
    let behind = |first: &[u8], second: &[u8]| {
        let len = u8::try_from(first.len()).expect("a short one");
        [&[len], first, second].concat()
    };
    vec![
        ("structure", behind(&l1t2, &[])),
        ("structure_and_frame", behind(&l1t2, &[0xc7, 0x01, 0x01])),
        (
            "structure_and_other_template",
            behind(&l1t2, &[0x88, 0x01, 0x01]),
        ),
        (
            "structure_and_unknown_template",
            behind(&l1t2, &[0xff, 0x01, 0x01]),
        ),
        (
            "structure_and_targets",
            behind(&l1t2, &[0xc7, 0x01, 0x02, 0x42]),
        ),
        (
            "structure_and_all",
            behind(&l1t2, &[0xc7, 0x01, 0x02, 0x7d, 0x9a, 0x86, 0x20, 0x24]),
        ),
        ("structure_twice", behind(&l1t2, &l1t2)),
        ("structure_cut", behind(&l1t2[..8], &[])),
        ("frame_alone", vec![0, 0xc7, 0x01, 0x01]),
        (
            "references_many",
            behind(
                &l1t2,
                &[0xc7, 0, 1, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41],
            ),
        ),
        (
            "templates_many",
            [&[40, 0xc0, 0, 0, 0x80, 0x10][..], &[0; 35]].concat(),
        ),
        ("chains_custom", behind(&l1t2, &[0xc7, 0, 1, 0x08, 0x48])),
        ("empty", vec![]),
    ]
}
