#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kaiwa_media_pipeline::fuzzing::probe(data));
