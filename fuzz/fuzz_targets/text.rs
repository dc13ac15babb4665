#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for rule in ["lines", "nul", "blank", "\\n--\\n", "\\x61ab"] {
        mxr_fuzz::split(rule, input);
    }
});
