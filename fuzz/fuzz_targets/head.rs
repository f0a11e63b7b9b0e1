//! A request in a few lines: its target, then Host fields.
#![no_main]

use http::{HeaderValue, Request, Uri, Version, header::HOST};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|b| *b == b'\n');
    let Some(Ok(uri)) = lines.next().map(Uri::try_from) else { return };
    let hosts: Vec<_> = lines.take(3).filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        let mut request = Request::builder().version(version).uri(uri.clone());
        for host in &hosts {
            request = request.header(HOST, host);
        }
        if let Ok(request) = request.body(()) {
            jit_core::testing::reading::head(&request.into_parts().0);
        }
    }
});
