//! The operations of expression nodes and what they mean on plain numbers.
//!
//! These definitions are exact: the interpreter uses them, and strict kernels repeat them bit for bit.

/// Functions of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum UnaryOp {
    Exp,
    Ln,
    Log10,
    Sqrt,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Abs,
    Sign,
    Floor,
    Ceil,
    /// Logical negation of a truth value.
    Not,
}

/// Functions of two arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum BinaryOp {
    Mul,
    Div,
    /// `a^b` with a real exponent.
    Pow,
    Min,
    Max,
    /// Floored modulo: the result has the sign of the divisor.
    Mod,
    Atan2,
    /// Of truth values.
    And,
    /// Of truth values.
    Or,
}

/// Comparisons; their results are truth values (1 or 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Compare {
    Lt,
    Le,
    Eq,
    Ne,
}

impl UnaryOp {
    /// The value on a plain number.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            UnaryOp::Exp => x.exp(),
            UnaryOp::Ln => x.ln(),
            UnaryOp::Log10 => x.log10(),
            UnaryOp::Sqrt => x.sqrt(),
            UnaryOp::Sin => x.sin(),
            UnaryOp::Cos => x.cos(),
            UnaryOp::Tan => x.tan(),
            UnaryOp::Asin => x.asin(),
            UnaryOp::Acos => x.acos(),
            UnaryOp::Atan => x.atan(),
            UnaryOp::Sinh => x.sinh(),
            UnaryOp::Cosh => x.cosh(),
            UnaryOp::Tanh => x.tanh(),
            UnaryOp::Abs => x.abs(),
            UnaryOp::Sign => {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    0.0
                }
            }
            UnaryOp::Floor => x.floor(),
            UnaryOp::Ceil => x.ceil(),
            UnaryOp::Not => f64::from(x == 0.0),
        }
    }

    /// The function's name in the language.
    pub fn name(self) -> &'static str {
        match self {
            UnaryOp::Exp => "exp",
            UnaryOp::Ln => "ln",
            UnaryOp::Log10 => "log10",
            UnaryOp::Sqrt => "sqrt",
            UnaryOp::Sin => "sin",
            UnaryOp::Cos => "cos",
            UnaryOp::Tan => "tan",
            UnaryOp::Asin => "asin",
            UnaryOp::Acos => "acos",
            UnaryOp::Atan => "atan",
            UnaryOp::Sinh => "sinh",
            UnaryOp::Cosh => "cosh",
            UnaryOp::Tanh => "tanh",
            UnaryOp::Abs => "abs",
            UnaryOp::Sign => "sign",
            UnaryOp::Floor => "floor",
            UnaryOp::Ceil => "ceil",
            UnaryOp::Not => "not",
        }
    }
}

impl BinaryOp {
    /// The value on plain numbers.
    pub fn apply(self, x: f64, y: f64) -> f64 {
        match self {
            BinaryOp::Mul => x * y,
            BinaryOp::Div => x / y,
            BinaryOp::Pow => x.powf(y),
            // As written, so that the compiled select gives the same bits for ties and not-a-number.
            BinaryOp::Min => {
                if x < y {
                    x
                } else {
                    y
                }
            }
            BinaryOp::Max => {
                if x > y {
                    x
                } else {
                    y
                }
            }
            BinaryOp::Mod => x - y * (x / y).floor(),
            BinaryOp::Atan2 => x.atan2(y),
            BinaryOp::And => f64::from(x != 0.0 && y != 0.0),
            BinaryOp::Or => f64::from(x != 0.0 || y != 0.0),
        }
    }

    /// The operator's sign or the function's name in the language.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Pow => "^",
            BinaryOp::Min => "min",
            BinaryOp::Max => "max",
            BinaryOp::Mod => "mod",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
        }
    }
}

impl Compare {
    /// The truth value on plain numbers.
    pub fn apply(self, x: f64, y: f64) -> bool {
        match self {
            Compare::Lt => x < y,
            Compare::Le => x <= y,
            Compare::Eq => x == y,
            Compare::Ne => x != y,
        }
    }

    /// The operator's sign in the language.
    pub fn name(self) -> &'static str {
        match self {
            Compare::Lt => "<",
            Compare::Le => "<=",
            Compare::Eq => "==",
            Compare::Ne => "!=",
        }
    }
}

/// `x^n` by repeated squaring, the meaning of [`super::Node::PowI`]: with the binary digits of |n| from the lowest,
/// the result is multiplied by x^(2^i) for each digit that is 1; a negative n takes the reciprocal at the end.
///
/// So `x^2 = x*x`, `x^3 = x*(x*x)`, `x^4 = (x*x)*(x*x)`, `x^-2 = 1/(x*x)`, bit for bit. [`f64::powi`] promises no
/// particular order, which is why it is not used.
pub fn powi(x: f64, n: i32) -> f64 {
    let mut rest = n.unsigned_abs();
    let mut square = x;
    let mut result = 1.0;
    while rest != 0 {
        if rest & 1 == 1 {
            result *= square;
        }
        rest >>= 1;
        if rest != 0 {
            square *= square;
        }
    }
    if n < 0 { 1.0 / result } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_power_is_the_documented_product() {
        for x in [1.1, -0.3, 7.7e10, 3.3e-9] {
            assert_eq!(powi(x, 2).to_bits(), (x * x).to_bits());
            assert_eq!(powi(x, 3).to_bits(), (x * (x * x)).to_bits());
            assert_eq!(powi(x, 4).to_bits(), ((x * x) * (x * x)).to_bits());
            assert_eq!(powi(x, 5).to_bits(), (x * ((x * x) * (x * x))).to_bits());
            assert_eq!(powi(x, -3).to_bits(), (1.0 / (x * (x * x))).to_bits());
        }
        assert_eq!(powi(0.0, 0), 1.0);
        assert_eq!(powi(1.0, i32::MIN), 1.0);
    }

    #[test]
    fn integer_power_agrees_with_the_real_power() {
        for n in -64..=64 {
            for x in [0.7, 1.3, -1.9] {
                let want = f64::powf(x, f64::from(n));
                // At most |n| roundings of half an epsilon each, and the library's own.
                assert!((powi(x, n) - want).abs() <= (n.abs() as f64 + 2.0) * f64::EPSILON * want.abs());
            }
        }
    }

    #[test]
    fn modulo_has_the_sign_of_the_divisor() {
        assert_eq!(BinaryOp::Mod.apply(-1.0, 3.0), 2.0);
        assert_eq!(BinaryOp::Mod.apply(7.0, 3.0), 1.0);
        assert_eq!(BinaryOp::Mod.apply(1.0, -3.0), -2.0);
    }
}
