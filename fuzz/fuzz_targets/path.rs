//! Any text as the path of a request target.
#![no_main]

libfuzzer_sys::fuzz_target!(|raw: &str| {
    jit_core::testing::reading::path(raw);
});
