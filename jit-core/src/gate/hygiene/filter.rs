//! Tells most names of a request from those that matter, in a few steps each and without comparing them with a list.

use super::reserved::RESERVED;

/// The names that a header is read for, besides those that are reserved.
pub(super) const READ: [&str; 6] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "transfer-encoding",
    "upgrade",
];

/// Of these names and the reserved ones.
static FILTER: Filter = {
    let mut filter = Filter {
        pairs: [0; 32],
        starts: [0; 32],
    };
    filter.add(&READ);
    filter.add(&RESERVED);
    filter
};

/// Whether it may be one of [`READ`], or reserved. What is not says so for certain. `name` is lower case and ASCII, as `http::HeaderName`
/// has it.
#[inline]
pub(super) fn may_matter(name: &str) -> bool {
    FILTER.may_have(name.as_bytes())
}

/// Says of a name that it is none of a list, or that it may be.
struct Filter {
    /// For each letter that comes first, a bit for each that comes second; all of them if it is no letter that does.
    pairs: [u32; 32],
    /// A bit for each place that a start hashes to.
    starts: [u64; 32],
}

#[expect(
    clippy::indexing_slicing,
    reason = "both tables have a place for every number of five bits"
)]
impl Filter {
    const fn add(&mut self, mut names: &[&str]) {
        while let Some((name, others)) = names.split_first() {
            if let [first, second, ..] = name.as_bytes() {
                self.pairs[(*first & 31) as usize] |= if second.is_ascii_lowercase() {
                    1 << (*second & 31)
                } else {
                    u32::MAX
                };
            }
            let (word, bit) = place(name.as_bytes());
            self.starts[word] |= bit;
            names = others;
        }
    }

    #[inline]
    const fn may_have(&self, name: &[u8]) -> bool {
        let [first, second, ..] = name else { return true };
        if self.pairs[(*first & 31) as usize] >> (*second & 31) & 1 == 0 {
            return false;
        }
        let (word, bit) = place(name);
        self.starts[word] & bit != 0
    }
}

/// Which word of 32, and which bit in it.
#[inline]
const fn place(name: &[u8]) -> (usize, u64) {
    let hash = start(name).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((hash >> 59) as usize, 1 << (hash >> 53 & 63))
}

/// The letters among as many bytes as the shortest name that ends with `-` has, 0 for the others: names that read alike start alike.
/// That is five, and six behind `x-`, where most names are.
#[inline]
const fn start(name: &[u8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let start = match (name.first_chunk(), name.first_chunk(), name.last_chunk()) {
        (Some(eight), ..) => u64::from_le_bytes(*eight),
        // Both hold what is in the midst.
        (None, Some(four), Some(last)) => {
            u32::from_le_bytes(*four) as u64 | (u32::from_le_bytes(*last) as u64) << (8 * (name.len() - 4))
        }
        _ => match *name {
            [a, b, c] => u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]),
            [a, b] => u64::from_le_bytes([a, b, 0, 0, 0, 0, 0, 0]),
            _ => 0,
        },
    };
    // The highest bit of each byte: it is `a` or higher, and not higher than `z`. Nothing carries over, for it is ASCII.
    let letters = start.wrapping_add(0x1f * EACH) & !start.wrapping_add(0x05 * EACH) & (0x80 * EACH);
    let start = start & (letters >> 7).wrapping_mul(0xff);
    let octets = if start & 0xffff == b'x' as u64 { 6 } else { 5 };
    start & ((1 << (8 * octets)) - 1)
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;
    use crate::gate::hygiene::reserved::is_reserved;

    const PUNCTUATION: &[u8] = b"!#$%&'*+-.^_`|~";

    #[test]
    fn every_name_that_matters_may_matter() {
        for name in READ.into_iter().chain(RESERVED) {
            for &other in PUNCTUATION {
                let name = name.replace('-', &char::from(other).to_string());
                for name in [name.clone(), format!("{name}1"), format!("{name}user-name")] {
                    let name: HeaderName = name.parse().expect("a name");
                    let matters = READ.contains(&name.as_str()) || is_reserved(name.as_str());
                    assert!(may_matter(name.as_str()) || !matters, "{name}");
                }
            }
        }
    }

    #[test]
    fn most_names_do_not_matter() {
        for name in [
            "accept",
            "accept-encoding",
            "accept-language",
            "app-context",
            "cache-control",
            "dnt",
            "host",
            "if-none-match",
            "origin",
            "sec-fetch-site",
            "user-agent",
            "x-app-context",
            "x-request-id",
        ] {
            assert!(!may_matter(name), "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_reserved_may_matter(
            name in prop_oneof![
                proptest::sample::select(&RESERVED[..]),
                proptest::sample::select(&READ[..]),
            ],
            changes in proptest::collection::vec((0..24_usize, proptest::sample::select(b"!#$%&'*+-.^_`|~09az")), 0..4),
            length in 1..24_usize,
        ) {
            let mut name = name.as_bytes().to_vec();
            for (place, byte) in changes {
                if let Some(to) = name.get_mut(place) {
                    *to = byte;
                }
            }
            name.truncate(length);
            let name = HeaderName::from_lowercase(&name).expect("a name");
            let matters = READ.contains(&name.as_str()) || is_reserved(name.as_str());
            prop_assert!(may_matter(name.as_str()) || !matters, "{name}");
        }
    }
}
