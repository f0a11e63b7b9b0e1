//! Any text as a Host field.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    jit_core::testing::reading::host(text);
});
