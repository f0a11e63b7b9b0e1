//! Whose turn it is: numbers drawn as a crowd of users would come by, the same in every run.

/// How those who have a grant come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "these are all there are")]
pub enum Turns {
    /// Always the same one.
    One,
    /// Every one in turn.
    Each,
    /// Each as likely as any other.
    Uniform,
    /// Few often and most seldom: the one in place `k` comes with a weight of `1 / k^0.99`.
    Zipf,
}

impl Turns {
    /// Numbers below `holders`: all that there are, or as many draws.
    pub fn order(self, holders: u32, draws: usize) -> Vec<u32> {
        let mut random = Random::new(holders);
        match self {
            Self::One => vec![0],
            Self::Each => (0..holders).collect(),
            Self::Uniform => (0..draws).map(|_| random.below(holders)).collect(),
            Self::Zipf => {
                let mut sum = 0.0;
                let weights: Vec<f64> = (1..=holders)
                    .map(|place| {
                        sum += f64::from(place).powf(-0.99);
                        sum
                    })
                    .collect();
                let mut who: Vec<u32> = (0..holders).collect();
                // Whoever comes often has no neighbour who does.
                for place in (1..holders).rev() {
                    who.swap(place as usize, random.below(place + 1) as usize);
                }
                let last = who.len().saturating_sub(1);
                (0..draws)
                    .map(|_| {
                        let at = random.unit() * sum;
                        who[weights.partition_point(|weight| *weight < at).min(last)]
                    })
                    .collect()
            }
        }
    }
}

/// SplitMix64: good enough to draw with, and without a dependency.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u32) -> Self {
        Self(u64::from(seed))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end.max(1))).unwrap_or_default()
    }

    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
