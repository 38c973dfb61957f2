//! The one random generator of twinc: ChaCha with 8 rounds, always seeded by the caller.
//!
//! [`stream`] derives independent generators from a seed and an index, so that the numbers a start, an episode or a
//! draw sees do not depend on how many threads run.

pub mod draw;
pub mod normal;
pub mod ziggurat;

use rand::SeedableRng;
pub use rand_chacha::ChaCha8Rng as Rng;

/// Where a generator stands, in words that can be kept: its seed, its stream and its position.
pub fn to_words(rng: &Rng) -> [u64; 7] {
    let seed = rng.get_seed();
    let mut words = [0; 7];
    for (word, bytes) in words.iter_mut().zip(seed.chunks_exact(8)) {
        *word = bytes.iter().rev().fold(0, |sum, &byte| (sum << 8) | u64::from(byte));
    }
    let position = rng.get_word_pos();
    (words[4], words[5], words[6]) = (rng.get_stream(), position as u64, (position >> 64) as u64);
    words
}

/// The generator that stands where [`to_words`] says.
pub fn from_words(words: [u64; 7]) -> Rng {
    let mut seed = [0; 32];
    for (bytes, word) in seed.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let mut rng = Rng::from_seed(seed);
    rng.set_stream(words[4]);
    rng.set_word_pos(u128::from(words[5]) | (u128::from(words[6]) << 64));
    rng
}

/// The generator of stream `index` of `seed`.
pub fn stream(seed: u64, index: u64) -> Rng {
    let mut rng = Rng::seed_from_u64(seed);
    rng.set_stream(index);
    rng
}
