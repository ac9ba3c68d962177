#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidestone_fuzz::segments::segment_file(bytes));
