//! The functions that kernels call: exp, ln, tanh, sin, cos and powers over slices, the others one by one.
//!
//! [`elementary`] and [`power`] have the algorithms, branch-free on one number. The slice routines here are plain loops
//! over them, compiled twice: for the baseline of the target, and (x86-64) with AVX2, where the compiler makes four-wide
//! code of the same operations in the same order. Only [`power`] uses fused multiply-adds, which it writes out, so that
//! both give the same bits, and so does the one-number form: a result depends on its argument only, never on what it was
//! grouped with.
//!
//! Kernels reach every function by the names in [`Symbol::table`].

pub mod elementary;
mod power;

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

/// What one call computes for all members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Routine {
    /// A function of one argument.
    One(SliceFunction),
    /// Powers: the bases, which the powers replace, and behind all of them the exponents.
    Pow,
}

impl Routine {
    /// As it is written in a plan.
    pub fn name(self) -> &'static str {
        match self {
            Routine::One(function) => function.name(),
            Routine::Pow => "pow",
        }
    }

    /// Arguments of one member.
    pub fn n_arguments(self) -> u32 {
        match self {
            Routine::One(_) => 1,
            Routine::Pow => 2,
        }
    }
}

/// x^y within one unit in the last place, bit for bit as [`pow_slice`]. Where x is negative, subnormal or not finite, or
/// the result is beyond e^±700, it is the library's.
pub fn pow(x: f64, y: f64) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if has_fused() {
        // SAFETY: the machine has AVX2 and FMA, as just detected; the function is safe otherwise.
        return unsafe { pow_fused(x, y) };
    }
    power::pow(x, y)
}

/// Replaces every base by its power; AVX2 where the machine has it. Elements without a partner are left as they are.
pub fn pow_slice(bases: &mut [f64], exponents: &[f64]) {
    #[cfg(target_arch = "x86_64")]
    if has_fused() {
        // SAFETY: the machine has AVX2 and FMA, as just detected; the function is safe otherwise.
        return unsafe { pow_slice_fused(bases, exponents) };
    }
    pow_portable(bases, exponents);
}

/// [`pow_slice`] in the target's baseline instructions.
pub fn pow_portable(bases: &mut [f64], exponents: &[f64]) {
    let len = bases.len().min(exponents.len());
    power::pow_loop(&mut bases[..len], &exponents[..len]);
}

#[cfg(target_arch = "x86_64")]
fn has_fused() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn pow_fused(x: f64, y: f64) -> f64 {
    power::pow(x, y)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn pow_slice_fused(bases: &mut [f64], exponents: &[f64]) {
    let len = bases.len().min(exponents.len());
    power::pow_loop(&mut bases[..len], &exponents[..len]);
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
    /// `(pointer to f64, count)`, in place; for [`Routine::Pow`] as many exponents follow.
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
        extern "C" fn own_pow(x: f64, y: f64) -> f64 {
            self::pow(x, y)
        }
        extern "C" fn slice_pow(values: *mut f64, count: usize) {
            // SAFETY: as for the other slices; the plan reserves two slots for each member of a group of powers.
            let values = unsafe { std::slice::from_raw_parts_mut(values, 2 * count) };
            let (bases, exponents) = values.split_at_mut(count);
            pow_slice(bases, exponents);
        }
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
        list.push(Symbol { name: "slice_pow", shape: Shape::Slice, address: slice_pow as *const u8 });
        list.push(Symbol { name: "own_pow", shape: Shape::Two, address: own_pow as *const u8 });
        list.push(Symbol { name: "pow", shape: Shape::Two, address: pow as *const u8 });
        list.push(Symbol { name: "atan2", shape: Shape::Two, address: atan2 as *const u8 });
        list
    }
}
