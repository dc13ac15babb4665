#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mxr::source::hub::fuzz::push(input));
