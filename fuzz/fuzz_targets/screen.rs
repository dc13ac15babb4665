#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mxr_fuzz::screen(input));
