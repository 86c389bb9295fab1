#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kaiwa_sfu::wire::sdp::fuzz_fragment(data));
