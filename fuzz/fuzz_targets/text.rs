#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for way in ["lines", "nul", "blank", "\\n--\\n", "\\x61ab"] {
        mxr_fuzz::split(way, input);
    }
});
