//! Operations on one number, or on those of two iterations of a loop at once: the same instructions either way.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64X2, I8};
use cranelift_codegen::ir::{Endianness, InstBuilder, MemFlagsData, Value};

use super::{Emitter, Local};
use crate::expr::{BinaryOp, Compare, UnaryOp};
use crate::jit::plan::{Operand, PlanTerm};

impl Emitter<'_> {
    pub(super) fn unary(&mut self, op: UnaryOp, a: &Operand) -> Local {
        if op == UnaryOp::Not {
            let a = self.truth(a);
            if self.is_paired() {
                return Local::Truth(self.builder.ins().bnot(a));
            }
            let zero = self.builder.ins().iconst(I8, 0);
            return Local::Truth(self.builder.ins().icmp(IntCC::Equal, a, zero));
        }
        let x = self.number(a);
        let number = match op {
            UnaryOp::Sqrt => self.builder.ins().sqrt(x),
            UnaryOp::Abs => self.builder.ins().fabs(x),
            UnaryOp::Floor => self.builder.ins().floor(x),
            UnaryOp::Ceil => self.builder.ins().ceil(x),
            UnaryOp::Sign => {
                let zero = self.number(&Operand::Const(0.0));
                let (one, minus_one) = (self.number(&Operand::Const(1.0)), self.number(&Operand::Const(-1.0)));
                let is_negative = self.builder.ins().fcmp(FloatCC::LessThan, x, zero);
                let below = self.choose(is_negative, minus_one, zero);
                let is_positive = self.builder.ins().fcmp(FloatCC::GreaterThan, x, zero);
                self.choose(is_positive, one, below)
            }
            UnaryOp::Exp => self.elementary(x, "exp", "own_exp"),
            UnaryOp::Ln => self.elementary(x, "ln", "own_ln"),
            UnaryOp::Sin => self.elementary(x, "sin", "own_sin"),
            UnaryOp::Cos => self.elementary(x, "cos", "own_cos"),
            UnaryOp::Tanh => self.elementary(x, "tanh", "own_tanh"),
            UnaryOp::Log10 => self.call_one("log10", x),
            UnaryOp::Tan => self.call_one("tan", x),
            UnaryOp::Asin => self.call_one("asin", x),
            UnaryOp::Acos => self.call_one("acos", x),
            UnaryOp::Atan => self.call_one("atan", x),
            UnaryOp::Sinh => self.call_one("sinh", x),
            UnaryOp::Cosh => self.call_one("cosh", x),
            UnaryOp::Not => x,
        };
        Local::Number(number)
    }

    pub(super) fn binary(&mut self, op: BinaryOp, a: &Operand, b: &Operand) -> Local {
        if let BinaryOp::And | BinaryOp::Or = op {
            let (a, b) = (self.truth(a), self.truth(b));
            let ins = self.builder.ins();
            return Local::Truth(if op == BinaryOp::And { ins.band(a, b) } else { ins.bor(a, b) });
        }
        let (x, y) = (self.number(a), self.number(b));
        let number = match op {
            BinaryOp::Mul => self.builder.ins().fmul(x, y),
            BinaryOp::Div => self.builder.ins().fdiv(x, y),
            BinaryOp::Min | BinaryOp::Max => {
                // Not `fmin`, whose result for ties and not-a-number is another one.
                let condition = if op == BinaryOp::Min { FloatCC::LessThan } else { FloatCC::GreaterThan };
                let takes_first = self.builder.ins().fcmp(condition, x, y);
                self.choose(takes_first, x, y)
            }
            BinaryOp::Mod => {
                let quotient = self.builder.ins().fdiv(x, y);
                let whole = self.builder.ins().floor(quotient);
                let product = self.builder.ins().fmul(y, whole);
                self.builder.ins().fsub(x, product)
            }
            BinaryOp::Pow => self.call_two(if self.plan.strict_math { "pow" } else { "own_pow" }, x, y),
            BinaryOp::Atan2 => self.call_two("atan2", x, y),
            BinaryOp::And | BinaryOp::Or => x,
        };
        Local::Number(number)
    }

    /// The order of [`crate::expr::ops::powi`].
    pub(super) fn power(&mut self, a: &Operand, n: i32) -> Value {
        let mut bits = n.unsigned_abs();
        let mut square = self.number(a);
        let mut product = None;
        while bits != 0 {
            if bits & 1 == 1 {
                product = Some(match product {
                    Some(p) => self.builder.ins().fmul(p, square),
                    None => square,
                });
            }
            bits >>= 1;
            if bits != 0 {
                square = self.builder.ins().fmul(square, square);
            }
        }
        let one = Operand::Const(1.0);
        let product = match product {
            Some(p) => p,
            None => self.number(&one),
        };
        if n < 0 {
            let one = self.number(&one);
            return self.builder.ins().fdiv(one, product);
        }
        product
    }

    /// Left to right. Where the leading terms are negative, their magnitudes are added and subtracted from the first
    /// positive term, which spares the negation. This gives the same bits, except that an exact cancellation of the
    /// leading terms may turn a 0 into a −0; so strict math does it with a single leading term only, where it cannot.
    pub(super) fn sum(&mut self, start: Option<&Operand>, terms: &[PlanTerm]) -> Value {
        let mut total = start.map(|operand| self.number(operand));
        let n_leading = terms.iter().take_while(|t| is_negative(t)).count();
        let owes_sign =
            total.is_none() && (1..terms.len()).contains(&n_leading) && (n_leading == 1 || !self.plan.strict_math);
        for (idx, term) in terms.iter().enumerate() {
            let (magnitude, operand) = magnitude(term);
            let value = self.number(&operand);
            let value = self.scaled(value, magnitude);
            let is_leading = owes_sign && idx < n_leading;
            total = Some(match total {
                None if is_negative(term) && !owes_sign => self.scaled(value, -1.0),
                None => value,
                Some(sum) if is_leading => self.builder.ins().fadd(sum, value),
                Some(sum) if owes_sign && idx == n_leading => self.builder.ins().fsub(value, sum),
                Some(sum) if is_negative(term) => self.builder.ins().fsub(sum, value),
                Some(sum) => self.builder.ins().fadd(sum, value),
            });
        }
        match total {
            Some(total) => total,
            None => self.number(&Operand::Const(0.0)),
        }
    }

    /// `factor · value`; a negation too is a product, which takes one instruction where flipping the sign takes three.
    fn scaled(&mut self, value: Value, factor: f64) -> Value {
        if factor == 1.0 {
            return value;
        }
        let factor = self.number(&Operand::Const(factor));
        self.builder.ins().fmul(value, factor)
    }

    /// An operand as a truth value: different from zero.
    pub(super) fn truth(&mut self, operand: &Operand) -> Value {
        if let Operand::Value(value) = operand
            && let Some(Local::Truth(truth)) = self.local(*value)
        {
            return truth;
        }
        let number = self.number(operand);
        let zero = self.number(&Operand::Const(0.0));
        self.builder.ins().fcmp(FloatCC::NotEqual, number, zero)
    }

    pub(super) fn compare(&mut self, op: Compare, a: &Operand, b: &Operand) -> Local {
        let (a, b) = (self.number(a), self.number(b));
        let condition = match op {
            Compare::Lt => FloatCC::LessThan,
            Compare::Le => FloatCC::LessThanOrEqual,
            Compare::Eq => FloatCC::Equal,
            Compare::Ne => FloatCC::NotEqual,
        };
        Local::Truth(self.builder.ins().fcmp(condition, a, b))
    }

    /// `then` where the condition holds. A condition of two iterations is a mask of all bits.
    pub(super) fn choose(&mut self, condition: Value, then: Value, otherwise: Value) -> Value {
        if !self.is_paired() {
            return self.builder.ins().select(condition, then, otherwise);
        }
        let flags = MemFlagsData::new().with_endianness(Endianness::Little);
        let mask = self.builder.ins().bitcast(F64X2, flags, condition);
        self.builder.ins().bitselect(mask, then, otherwise)
    }

    /// 1 or 0.
    pub(super) fn truth_as_number(&mut self, truth: Value) -> Value {
        let (one, zero) = (self.number(&Operand::Const(1.0)), self.number(&Operand::Const(0.0)));
        self.choose(truth, one, zero)
    }

    fn elementary(&mut self, x: Value, library: &str, own: &str) -> Value {
        let name = if self.plan.strict_math { library } else { own };
        self.call_one(name, x)
    }

    fn call_one(&mut self, name: &str, x: Value) -> Value {
        if self.has_lanes() {
            return self.call_each(name, &[x]);
        }
        self.call(name, &[x]).unwrap_or(x)
    }

    fn call_two(&mut self, name: &str, x: Value, y: Value) -> Value {
        if self.has_lanes() {
            return self.call_each(name, &[x, y]);
        }
        self.call(name, &[x, y]).unwrap_or(x)
    }
}

/// A term without its sign: a factor and what it multiplies.
pub(super) fn magnitude(term: &PlanTerm) -> (f64, Operand) {
    let PlanTerm { coefficient, operand } = *term;
    match operand {
        Operand::Const(c) => (1.0, Operand::Const((coefficient * c).abs())),
        Operand::Leaf(_) | Operand::Value(_) | Operand::Slot(_) | Operand::Each(_) => (coefficient.abs(), operand),
    }
}

/// True where a term is subtracted.
pub(super) fn is_negative(term: &PlanTerm) -> bool {
    let sign = match term.operand {
        Operand::Const(c) => c,
        Operand::Leaf(_) | Operand::Value(_) | Operand::Slot(_) | Operand::Each(_) => 1.0,
    };
    term.coefficient * sign < 0.0
}
