//! Arrays by name, and words about them: what checkpoints and policies are made of.
//!
//! A name has one shape and one kind of number. Reading checks both, so that what is of another task or size is refused
//! with its name. The bytes of a file are those of the safetensors format, see [`super::safetensors`].

use std::collections::BTreeMap;

use rand::SeedableRng;

use crate::random::Rng;

/// The numbers of an array, row major.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Of networks.
    F32(Vec<f32>),
    /// Of environments.
    F64(Vec<f64>),
    /// Counters and generators.
    U64(Vec<u64>),
    /// Anything else.
    U8(Vec<u8>),
}

/// One array.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its shape; the product is the length of `numbers`.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub numbers: Numbers,
}

/// Arrays by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensors {
    /// The arrays, by names such as `critic/0/weight`.
    pub arrays: BTreeMap<String, Tensor>,
    /// Words about them, such as the algorithm and the task.
    pub words: BTreeMap<String, String>,
}

/// Why arrays do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// An array that is asked for is not there.
    #[error("there is no array `{0}`")]
    Missing(String),
    /// An array of another shape or kind of number.
    #[error("`{name}` has {found}, expected {expected}")]
    Shape {
        /// Which.
        name: String,
        /// Its numbers and shape.
        found: String,
        /// Those asked for.
        expected: String,
    },
    /// A word of another value, or none.
    #[error("`{name}` is {found}, expected {expected}")]
    Word {
        /// Which.
        name: String,
        /// As it is.
        found: String,
        /// As asked for.
        expected: String,
    },
    /// Bytes that are not of the format.
    #[error("{0}")]
    Format(String),
}

impl Numbers {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Numbers::F32(list) => list.len(),
            Numbers::F64(list) => list.len(),
            Numbers::U64(list) => list.len(),
            Numbers::U8(list) => list.len(),
        }
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their kind, as the safetensors format has it.
    pub fn kind(&self) -> &'static str {
        match self {
            Numbers::F32(_) => f32::KIND,
            Numbers::F64(_) => f64::KIND,
            Numbers::U64(_) => u64::KIND,
            Numbers::U8(_) => u8::KIND,
        }
    }
}

/// A kind of number that arrays are made of.
pub trait Element: Copy {
    /// Its name, as the safetensors format has it.
    const KIND: &'static str;

    /// An array of it.
    fn wrap(list: Vec<Self>) -> Numbers;

    /// The numbers, where they are of this kind.
    fn view(numbers: &Numbers) -> Option<&[Self]>;
}

impl Element for f32 {
    const KIND: &'static str = "F32";

    fn wrap(list: Vec<f32>) -> Numbers {
        Numbers::F32(list)
    }

    fn view(numbers: &Numbers) -> Option<&[f32]> {
        match numbers {
            Numbers::F32(list) => Some(list),
            Numbers::F64(_) | Numbers::U64(_) | Numbers::U8(_) => None,
        }
    }
}

impl Element for f64 {
    const KIND: &'static str = "F64";

    fn wrap(list: Vec<f64>) -> Numbers {
        Numbers::F64(list)
    }

    fn view(numbers: &Numbers) -> Option<&[f64]> {
        match numbers {
            Numbers::F64(list) => Some(list),
            Numbers::F32(_) | Numbers::U64(_) | Numbers::U8(_) => None,
        }
    }
}

impl Element for u64 {
    const KIND: &'static str = "U64";

    fn wrap(list: Vec<u64>) -> Numbers {
        Numbers::U64(list)
    }

    fn view(numbers: &Numbers) -> Option<&[u64]> {
        match numbers {
            Numbers::U64(list) => Some(list),
            Numbers::F32(_) | Numbers::F64(_) | Numbers::U8(_) => None,
        }
    }
}

impl Element for u8 {
    const KIND: &'static str = "U8";

    fn wrap(list: Vec<u8>) -> Numbers {
        Numbers::U8(list)
    }

    fn view(numbers: &Numbers) -> Option<&[u8]> {
        match numbers {
            Numbers::U8(list) => Some(list),
            Numbers::F32(_) | Numbers::F64(_) | Numbers::U64(_) => None,
        }
    }
}

/// Kind and shape, for a message.
fn described(kind: &str, shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("{kind} [{}]", sizes.join(", "))
}

impl Tensors {
    /// Puts an array in the place of any of this name; `numbers` are as many as the shape holds.
    pub fn put<T: Element>(&mut self, name: &str, shape: &[usize], numbers: &[T]) {
        debug_assert_eq!(shape.iter().product::<usize>(), numbers.len(), "{name}");
        let tensor = Tensor { shape: shape.to_vec(), numbers: T::wrap(numbers.to_vec()) };
        self.arrays.insert(name.to_string(), tensor);
    }

    /// The numbers of an array of this shape.
    ///
    /// # Errors
    /// Where there is none, or it has another shape or kind of number.
    pub fn get<T: Element>(&self, name: &str, shape: &[usize]) -> Result<&[T], TensorError> {
        let (numbers, found) = self.shaped::<T>(name)?;
        if found != shape {
            return Err(TensorError::Shape {
                name: name.to_string(),
                found: described(T::KIND, found),
                expected: described(T::KIND, shape),
            });
        }
        Ok(numbers)
    }

    /// The numbers of an array of whatever shape, and its shape.
    ///
    /// # Errors
    /// Where there is none, or it has another kind of number.
    pub fn shaped<T: Element>(&self, name: &str) -> Result<(&[T], &[usize]), TensorError> {
        let tensor = self.arrays.get(name).ok_or_else(|| TensorError::Missing(name.to_string()))?;
        let numbers = T::view(&tensor.numbers).ok_or_else(|| TensorError::Shape {
            name: name.to_string(),
            found: described(tensor.numbers.kind(), &tensor.shape),
            expected: T::KIND.to_string(),
        })?;
        Ok((numbers, &tensor.shape))
    }

    /// Puts one number as an array `[1]`.
    pub fn put_one<T: Element>(&mut self, name: &str, number: T) {
        self.put(name, &[1], &[number]);
    }

    /// The number of an array `[1]`.
    ///
    /// # Errors
    /// Where there is none, or it has another shape or kind of number.
    pub fn get_one<T: Element>(&self, name: &str) -> Result<T, TensorError> {
        self.get(name, &[1])?.first().copied().ok_or_else(|| TensorError::Missing(name.to_string()))
    }

    /// Puts a word in the place of any of this name.
    pub fn put_word(&mut self, name: &str, word: &str) {
        self.words.insert(name.to_string(), word.to_string());
    }

    /// Checks that a word is as it should be.
    ///
    /// # Errors
    /// Where it is another, or there is none.
    pub fn check_word(&self, name: &str, expected: &str) -> Result<(), TensorError> {
        match self.words.get(name) {
            Some(word) if word == expected => Ok(()),
            found => Err(TensorError::Word {
                name: name.to_string(),
                found: found.map_or_else(|| "not there".to_string(), |word| format!("`{word}`")),
                expected: format!("`{expected}`"),
            }),
        }
    }

    /// Puts where a generator stands as `<name>`: seed, stream and position.
    pub fn put_rng(&mut self, name: &str, rng: &Rng) {
        let position = rng.get_word_pos();
        let mut numbers = vec![rng.get_stream(), position as u64, (position >> 64) as u64];
        numbers.extend(
            rng.get_seed()
                .chunks_exact(8)
                .map(|chunk| chunk.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))),
        );
        self.put(name, &[7], &numbers);
    }

    /// The generator that [`Tensors::put_rng`] put.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn get_rng(&self, name: &str) -> Result<Rng, TensorError> {
        let numbers = self.get::<u64>(name, &[7])?;
        let mut seed = [0; 32];
        for (bytes, number) in seed.chunks_exact_mut(8).zip(&numbers[3..]) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        let mut rng = Rng::from_seed(seed);
        rng.set_stream(numbers[0]);
        rng.set_word_pos(u128::from(numbers[1]) | u128::from(numbers[2]) << 64);
        Ok(rng)
    }
}
