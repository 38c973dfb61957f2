//! sparsity
