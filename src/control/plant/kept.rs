//! A plant's memory as words that can be kept: everything that its later steps depend on, and nothing else.

use super::Plant;
use crate::random::{from_words, to_words};

impl Plant<'_> {
    /// How many words [`Plant::save`] adds.
    pub fn n_words(&self) -> usize {
        self.x.len() + self.p.len() + self.u.len() + self.d.len() + self.y.len() + 2 + to_words(&self.rng).len()
    }

    /// Adds what later steps depend on to `words`: the bits of numbers, the index, the generator.
    pub fn save(&self, words: &mut Vec<u64>) {
        let numbers = [&self.x, &self.p, &self.u, &self.d, &self.y].into_iter().flatten();
        words.extend(numbers.chain([&self.cost]).map(|number| number.to_bits()));
        words.push(self.k as u64);
        words.extend(to_words(&self.rng));
    }

    /// Goes back to what [`Plant::save`] gave, [`Plant::n_words`] words of the same task; false, and nothing changed, where
    /// they are not so many.
    #[must_use]
    pub fn restore(&mut self, words: &[u64]) -> bool {
        if words.len() != self.n_words() {
            return false;
        }
        let (numbers, generator) = words.split_at(words.len() - to_words(&self.rng).len());
        let mut words = numbers.iter().copied();
        let lists = [&mut self.x, &mut self.p, &mut self.u, &mut self.d, &mut self.y];
        for (place, word) in lists.into_iter().flatten().chain([&mut self.cost]).zip(&mut words) {
            *place = f64::from_bits(word);
        }
        self.k = words.next().map_or(0, |word| word as usize);
        if let Ok(generator) = generator.try_into() {
            self.rng = from_words(generator);
        }
        self.message.clear();
        true
    }
}
