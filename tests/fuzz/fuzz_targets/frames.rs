#![no_main]

mod limit;

libfuzzer_sys::fuzz_target!(|data: &[u8]| limit::within_a_second(targets::frames, data));
