#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidestone_fuzz::files::log_record(bytes));
