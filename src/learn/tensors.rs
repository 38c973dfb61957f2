//! Arrays by name, and words about them: what checkpoints and policies are made of.
//!
//! A name has one shape and one kind of number. Reading checks both, so that what is of another task or size is refused
//! with its name. The bytes of a file are those of the safetensors format.

use std::collections::BTreeMap;

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
