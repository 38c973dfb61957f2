//! The functions that kernels call: exp, ln, tanh, sin, cos over slices, and one at a time what Cranelift lacks.
//!
//! [`elementary`] has the algorithms, branch-free on one number. The slice routines here are plain loops over them,
//! compiled twice: for the baseline of the target, and (x86-64) with AVX2, where the compiler makes four-wide code of
//! the same operations in the same order. No fused multiply-add is used, so both give the same bits, and so does the
//! one-number form: a result depends on its argument only, never on what it was grouped with.
//!
//! Kernels reach every function by the names in [`Symbol::table`].

pub mod elementary;

/// An elementary function that has a slice routine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SliceFunction {
    /// e^x
    Exp,
    /// Natural logarithm.
    Ln,
    /// Hyperbolic tangent.
    Tanh,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
}

impl SliceFunction {
    /// All of them, in declaration order.
    pub const ALL: [SliceFunction; 5] =
        [SliceFunction::Exp, SliceFunction::Ln, SliceFunction::Tanh, SliceFunction::Sin, SliceFunction::Cos];

    /// As it is written in a model.
    pub fn name(self) -> &'static str {
        match self {
            SliceFunction::Exp => "exp",
            SliceFunction::Ln => "ln",
            SliceFunction::Tanh => "tanh",
            SliceFunction::Sin => "sin",
            SliceFunction::Cos => "cos",
        }
    }

    /// The value on one number, bit for bit as in a slice.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            SliceFunction::Exp => elementary::exp(x),
            SliceFunction::Ln => elementary::ln(x),
            SliceFunction::Tanh => elementary::tanh(x),
            SliceFunction::Sin => settle(elementary::sin(x), x, f64::sin),
            SliceFunction::Cos => settle(elementary::cos(x), x, f64::cos),
        }
    }

    /// Replaces every element of `values` by the function's value; AVX2 where the machine has it.
    pub fn apply_slice(self, values: &mut [f64]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has AVX2, as just detected; the function is safe otherwise.
            return unsafe { apply_avx2(self, values) };
        }
        self.apply_portable(values);
    }

    /// [`SliceFunction::apply_slice`] in the target's baseline instructions: what every other machine runs.
    pub fn apply_portable(self, values: &mut [f64]) {
        apply_loop(self, values);
    }
}

/// Elements that one block of a slice routine holds on the stack.
const BLOCK: usize = 64;

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn apply_avx2(function: SliceFunction, values: &mut [f64]) {
    apply_loop(function, values);
}

#[inline(always)]
fn apply_loop(function: SliceFunction, values: &mut [f64]) {
    match function {
        SliceFunction::Exp => values.iter_mut().for_each(|v| *v = elementary::exp(*v)),
        SliceFunction::Ln => values.iter_mut().for_each(|v| *v = elementary::ln(*v)),
        SliceFunction::Tanh => values.iter_mut().for_each(|v| *v = elementary::tanh(*v)),
        SliceFunction::Sin => periodic_loop(values, elementary::sin, f64::sin),
        SliceFunction::Cos => periodic_loop(values, elementary::cos, f64::cos),
    }
}

/// Arguments beyond the reach of the short reduction are rare, so they are mended after the block rather than
/// branched on inside it.
#[inline(always)]
fn periodic_loop(values: &mut [f64], short: impl Fn(f64) -> f64, library: fn(f64) -> f64) {
    let mut arguments = [0.0; BLOCK];
    for block in values.chunks_mut(BLOCK) {
        let arguments = &mut arguments[..block.len()];
        arguments.copy_from_slice(block);
        block.iter_mut().for_each(|v| *v = short(*v));
        if arguments.iter().any(|x| !elementary::is_in_short_reduction(*x)) {
            for (v, &x) in block.iter_mut().zip(arguments.iter()) {
                *v = settle(*v, x, library);
            }
        }
    }
}

#[inline(always)]
fn settle(short: f64, x: f64, library: fn(f64) -> f64) -> f64 {
    if elementary::is_in_short_reduction(x) { short } else { library(x) }
}

/// The arguments of a function that kernels import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `f64 → f64`
    One,
    /// `(f64, f64) → f64`
    Two,
    /// `(pointer to f64, count)`, in place.
    Slice,
}

/// A function that kernels import by name.
#[derive(Debug, Clone, Copy)]
pub struct Symbol {
    /// Name in the module.
    pub name: &'static str,
    /// Arguments and result.
    pub shape: Shape,
    /// Where it is.
    pub address: *const u8,
}

macro_rules! one {
    ($list:ident, $($name:literal => $function:path),* $(,)?) => {$({
        extern "C" fn entry(x: f64) -> f64 {
            $function(x)
        }
        $list.push(Symbol { name: $name, shape: Shape::One, address: entry as *const u8 });
    })*};
}

macro_rules! slice {
    ($list:ident, $($name:literal, $single:literal => $function:expr),* $(,)?) => {$({
        extern "C" fn entry(values: *mut f64, count: usize) {
            // SAFETY: only kernels call this, with a block of scratch slots that the plan placed below `n_slots`;
            // `Kernel::call` holds the scratch exclusively and checks that it has `n_slots` elements.
            let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
            $function.apply_slice(values);
        }
        extern "C" fn single(x: f64) -> f64 {
            $function.apply(x)
        }
        $list.push(Symbol { name: $name, shape: Shape::Slice, address: entry as *const u8 });
        $list.push(Symbol { name: $single, shape: Shape::One, address: single as *const u8 });
    })*};
}

impl Symbol {
    /// Every function that a kernel may import, in a fixed order: the library's own functions under their own names
    /// (the interpreter calls the same), `slice_*` over slices and `own_*` for one number of the slice algorithms.
    pub fn table() -> Vec<Symbol> {
        extern "C" fn pow(x: f64, y: f64) -> f64 {
            x.powf(y)
        }
        extern "C" fn atan2(x: f64, y: f64) -> f64 {
            x.atan2(y)
        }
        let mut list = Vec::with_capacity(32);
        one!(list,
            "exp" => f64::exp, "ln" => f64::ln, "log10" => f64::log10, "sin" => f64::sin, "cos" => f64::cos,
            "tan" => f64::tan, "asin" => f64::asin, "acos" => f64::acos, "atan" => f64::atan, "sinh" => f64::sinh,
            "cosh" => f64::cosh, "tanh" => f64::tanh, "floor" => f64::floor, "ceil" => f64::ceil,
        );
        slice!(list,
            "slice_exp", "own_exp" => SliceFunction::Exp,
            "slice_ln", "own_ln" => SliceFunction::Ln,
            "slice_tanh", "own_tanh" => SliceFunction::Tanh,
            "slice_sin", "own_sin" => SliceFunction::Sin,
            "slice_cos", "own_cos" => SliceFunction::Cos,
        );
        list.push(Symbol { name: "pow", shape: Shape::Two, address: pow as *const u8 });
        list.push(Symbol { name: "atan2", shape: Shape::Two, address: atan2 as *const u8 });
        list
    }
}
