//! What kind of byte a byte is, looked up instead of worked out: texts of requests are read byte by byte.

/// A number for each byte; 0 for those that none was given.
#[derive(Debug)]
pub(in crate::gate) struct Classes([u8; 256]);

impl Classes {
    /// Every byte is of class 0.
    pub(in crate::gate) const fn new() -> Self {
        Self([0; 256])
    }

    /// With `class` for each of `bytes`.
    pub(in crate::gate) const fn with(mut self, class: u8, mut bytes: &[u8]) -> Self {
        while let Some((byte, others)) = bytes.split_first() {
            let (mut left, mut number): (&mut [u8], u8) = (&mut self.0, 0);
            while let Some((slot, rest)) = left.split_first_mut() {
                if number == *byte {
                    *slot = class;
                }
                number = number.wrapping_add(1);
                left = rest;
            }
            bytes = others;
        }
        self
    }

    /// The class of this byte.
    pub(in crate::gate) fn of(&self, byte: u8) -> u8 {
        self.0.get(usize::from(byte)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_the_class_that_it_was_given_last() {
        const CLASSES: Classes = Classes::new().with(1, b"\x00az").with(2, b"z\xff");
        for byte in 0..=255 {
            let want = match byte {
                0 | b'a' => 1,
                b'z' | 0xff => 2,
                _ => 0,
            };
            assert_eq!(CLASSES.of(byte), want, "{byte}");
        }
    }
}
