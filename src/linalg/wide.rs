//! Code for the widest vectors of the machine: [`wide`] runs a piece of work compiled for the baseline of the target or,
//! where the machine has it, for AVX2. Everything that loops over dense blocks of numbers runs inside it.
//!
//! **Invariant.** Operations are neither contracted nor reordered, so both versions give the same bits.

/// Work for [`wide`]; a closure would not be inlined into both of its versions.
pub trait Wide {
    /// What comes out.
    type Output;

    /// Does it. To be of use, implementations and what they call in their loops are `#[inline(always)]`.
    fn run(self) -> Self::Output;
}

/// Does the work in code for the widest vectors that the machine has: what is inlined into it is compiled once more for
/// AVX2 (x86-64), where its loops over rows of numbers become four-wide. Operations are neither contracted nor reordered,
/// so the results are the same bits everywhere.
#[inline]
pub fn wide<W: Wide>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has AVX2, as just detected; the function is safe otherwise.
        return unsafe { wide_avx2(work) };
    }
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn wide_avx2<W: Wide>(work: W) -> W::Output {
    work.run()
}
