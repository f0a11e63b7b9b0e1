//! A header block in lines of `name:value`.
#![no_main]

use jit_core::testing::reading;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reading::fields(&reading::fields_in(bytes));
});
