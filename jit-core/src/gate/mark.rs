//! A keyed hash over what a request shows: the name under which a gate remembers a credential without keeping it.
//!
//! SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012), under a key that is drawn when the gate is made and never leaves it. Without
//! the key nobody can find two credentials with one mark, or one for a mark that is there: to guess blindly takes 2^128 tries for each
//! session that is kept. Nor does it help to time a look-up, because the marks of chosen credentials say nothing about each other.
//!
//! A verification does not rest on marks. What it proves is kept under the SHA-256 of the credential, for which there may be many tries
//! elsewhere; that one is taken once a session, this one for every request, and this one takes a tenth of the instructions.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use siphasher::sip128::SipHasher24;

/// The key of one gate's marks.
#[derive(Clone, Copy)]
pub(in crate::gate) struct Marks {
    k0: u64,
    k1: u64,
}

/// The hash of one credential, or of several together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct Mark(u128);

impl Mark {
    /// A hash for tables: a part of the mark, and as good as random.
    pub(in crate::gate) const fn hash(self) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "any half is as good as the other")]
        let half = self.0 as u64;
        half
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark(<redacted>)")
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Marks(<redacted>)")
    }
}

impl Marks {
    /// With a key of their own, from the system's randomness by way of std's own keyed hash.
    pub(in crate::gate) fn new() -> Self {
        let random = RandomState::new();
        Self {
            k0: random.hash_one(0_u64),
            k1: random.hash_one(1_u64),
        }
    }

    /// The mark of these bytes.
    pub(in crate::gate) fn of(&self, bytes: &[u8]) -> Mark {
        Mark(SipHasher24::new_with_keys(self.k0, self.k1).hash(bytes).as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first vectors of the reference implementation: the key is 00 01 … 0f, and so is the message, as far as it goes.
    #[test]
    fn it_is_siphash_2_4_with_128_bits() {
        let marks = Marks {
            k0: 0x0706_0504_0302_0100,
            k1: 0x0f0e_0d0c_0b0a_0908,
        };
        for (message, want) in [
            (&[][..], 0x9302_55c7_1472_f66d_e6a8_25ba_047f_81a3_u128),
            (&[0], 0x45fc_229b_1159_7634_44af_996b_d8c1_87da),
        ] {
            assert_eq!(marks.of(message).0, want, "{message:?}");
        }
    }

    #[test]
    fn every_byte_and_the_length_count() {
        let marks = Marks::new();
        let message = [7; 43];
        let whole = marks.of(&message);
        for at in 0..message.len() {
            let mut other = message;
            other[at] ^= 1;
            assert_ne!(marks.of(&other), whole, "{at}");
            assert_ne!(marks.of(&message[..at]), whole, "{at}");
        }
        assert_ne!(marks.of(&[0; 8]), marks.of(&[0; 9]));
        assert_eq!(marks.of(&message), whole);
    }

    #[test]
    fn each_gate_has_marks_of_its_own() {
        assert_ne!(Marks::new().of(b"token"), Marks::new().of(b"token"));
        assert_eq!(format!("{:?}", Marks::new().of(b"token")), "Mark(<redacted>)");
    }
}
