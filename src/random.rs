//! The one random generator of twinc: ChaCha with 8 rounds, always seeded by the caller.
//!
//! [`stream`] derives independent generators from a seed and an index, so that the numbers a start, an episode or a
//! draw sees do not depend on how many threads run.

pub mod draw;
pub mod ziggurat;

use rand::SeedableRng;
pub use rand_chacha::ChaCha8Rng as Rng;

/// The generator of stream `index` of `seed`.
pub fn stream(seed: u64, index: u64) -> Rng {
    let mut rng = Rng::seed_from_u64(seed);
    rng.set_stream(index);
    rng
}
