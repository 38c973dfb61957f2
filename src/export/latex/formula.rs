//! Expressions in LaTeX. Quotients are fractions, named parts (`let`, rates) stand under their names, and what several
//! equations share gets a name of its own.
//!
//! Texts are put together from operands to results without recursion, as in [`crate::expr::print`].

use super::names;
use crate::expr::{BinaryOp, Compare, Dag, Leaf, Node, NodeId, UnaryOp};
use std::collections::HashMap;

/// Characters that a part may have before it gets a name, shared or not.
const MAX_CHARS: usize = 900;
/// Operations of the smallest shared part that gets a name.
const MIN_SHARED_SIZE: usize = 6;
/// Characters of a line of a sum, about the width of a page.
const LINE_CHARS: usize = 150;

/// How tightly a text binds; a looser operand needs parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Choice,
    Or,
    And,
    Comparison,
    Sum,
    Product,
    /// A fraction or power: it takes no exponent.
    Closed,
    Atom,
}

/// A text with what its surroundings must know of it.
#[derive(Debug, Clone)]
struct Form {
    text: String,
    binding: Binding,
    /// Begins with a minus sign that can be taken off.
    is_negative: bool,
    /// Where a sum may be broken into lines: byte positions of the signs.
    breaks: Vec<usize>,
}

impl Form {
    fn new(text: String, binding: Binding) -> Form {
        Form { text, binding, is_negative: false, breaks: Vec::new() }
    }

    fn operand(&self, least: Binding) -> String {
        if self.binding < least || (self.is_negative && least > Binding::Sum) {
            format!("\\left({}\\right)", self.text)
        } else {
            self.text.clone()
        }
    }

    /// The text with sums broken into lines of an `align`.
    fn lines(&self) -> String {
        let mut out = String::new();
        let mut from = 0;
        let mut last = 0;
        for &at in self.breaks.iter().chain([&self.text.len()]) {
            if at - from > LINE_CHARS && last > from {
                out.push_str(self.text[from..last].trim_end());
                out.push_str(" \\\\\n  &\\quad ");
                from = last;
            }
            last = at;
        }
        out.push_str(&self.text[from..]);
        out
    }
}

/// The formulas of several nodes.
pub struct Formulas {
    /// `(name, formula)` of shared parts, in order of use.
    pub temporaries: Vec<(String, String)>,
    /// The formula of each root.
    pub roots: Vec<String>,
}

/// Writes `roots`; a node in `named` stands under its name wherever it is an operand. Names of shared parts go on from
/// number `n_shared`.
pub fn formulas(
    dag: &Dag,
    roots: &[NodeId],
    named: &HashMap<NodeId, String>,
    leaf: &dyn Fn(Leaf) -> String,
    n_shared: &mut usize,
) -> Formulas {
    let order = dag.reachable(roots);
    let n = order.last().map_or(0, |last| last.0 as usize + 1);
    let mut uses = vec![0_u32; n];
    for &id in &order {
        dag.for_each_operand(id, |operand| uses[operand.0 as usize] += 1);
    }
    let mut writer = Writer { dag, leaf, forms: vec![None; n] };
    let mut sizes = vec![0_usize; n];
    let mut definitions: HashMap<NodeId, String> = HashMap::new();
    let mut temporaries = Vec::new();
    for &id in &order {
        let k = id.0 as usize;
        let form = writer.form(id);
        if roots.contains(&id) {
            definitions.insert(id, form.lines());
        }
        let mut size = usize::from(!matches!(dag.node(id), Node::Const(_) | Node::Leaf(_)));
        dag.for_each_operand(id, |operand| size = size.saturating_add(sizes[operand.0 as usize]));
        let is_long = form.text.len() > MAX_CHARS;
        writer.forms[k] = Some(if let Some(name) = named.get(&id) {
            Form::new(name.clone(), Binding::Atom)
        } else if uses[k] > 0 && (is_long || (uses[k] > 1 && size >= MIN_SHARED_SIZE)) {
            *n_shared += 1;
            let name = format!("w_{{{n_shared}}}");
            temporaries.push((name.clone(), form.lines()));
            Form::new(name, Binding::Atom)
        } else {
            sizes[k] = size;
            form
        });
    }
    let roots = roots.iter().map(|id| definitions.get(id).cloned().unwrap_or_default()).collect();
    Formulas { temporaries, roots }
}

struct Writer<'a> {
    dag: &'a Dag,
    leaf: &'a dyn Fn(Leaf) -> String,
    forms: Vec<Option<Form>>,
}

impl Writer<'_> {
    fn get(&self, id: NodeId) -> &Form {
        const UNKNOWN: &Form =
            &Form { text: String::new(), binding: Binding::Atom, is_negative: false, breaks: Vec::new() };
        self.forms[id.0 as usize].as_ref().unwrap_or(UNKNOWN)
    }

    fn operand(&self, id: NodeId, least: Binding) -> String {
        self.get(id).operand(least)
    }

    fn form(&self, id: NodeId) -> Form {
        match self.dag.node(id) {
            Node::Const(bits) => constant(f64::from_bits(bits)),
            Node::Leaf(leaf) => Form::new((self.leaf)(leaf), Binding::Atom),
            Node::Unary(op, a) => self.unary(op, a),
            Node::PowI(a, n) => self.power(a, &n.to_string()),
            Node::Binary(op, a, b) => self.binary(op, a, b),
            Node::Sum(sum) => self.sum(sum),
            Node::Compare(op, a, b) => {
                let sign = match op {
                    Compare::Lt => "<",
                    Compare::Le => "\\le",
                    Compare::Eq => "=",
                    Compare::Ne => "\\ne",
                };
                self.infix(sign, a, b, Binding::Sum, Binding::Comparison)
            }
            Node::Select { condition, then, otherwise } => {
                let (then, otherwise) = (&self.get(then).text, &self.get(otherwise).text);
                let condition = &self.get(condition).text;
                let cases = format!(
                    "\\begin{{cases}} {then} & \\text{{if }} {condition} \\\\ {otherwise} & \\text{{otherwise}} \\end{{cases}}"
                );
                Form::new(cases, Binding::Choice)
            }
        }
    }

    fn unary(&self, op: UnaryOp, a: NodeId) -> Form {
        let inside = &self.get(a).text;
        let function = |name: &str| Form::new(format!("{name}\\left({inside}\\right)"), Binding::Closed);
        match op {
            UnaryOp::Exp => function("\\exp"),
            UnaryOp::Ln => function("\\ln"),
            UnaryOp::Log10 => function("\\log_{10}"),
            UnaryOp::Sqrt => Form::new(format!("\\sqrt{{{inside}}}"), Binding::Closed),
            UnaryOp::Sin => function("\\sin"),
            UnaryOp::Cos => function("\\cos"),
            UnaryOp::Tan => function("\\tan"),
            UnaryOp::Asin => function("\\arcsin"),
            UnaryOp::Acos => function("\\arccos"),
            UnaryOp::Atan => function("\\arctan"),
            UnaryOp::Sinh => function("\\sinh"),
            UnaryOp::Cosh => function("\\cosh"),
            UnaryOp::Tanh => function("\\tanh"),
            UnaryOp::Abs => Form::new(format!("\\left|{inside}\\right|"), Binding::Closed),
            UnaryOp::Sign => function("\\operatorname{sign}"),
            UnaryOp::Floor => Form::new(format!("\\left\\lfloor {inside}\\right\\rfloor"), Binding::Closed),
            UnaryOp::Ceil => Form::new(format!("\\left\\lceil {inside}\\right\\rceil"), Binding::Closed),
            UnaryOp::Not => Form::new(format!("\\lnot {}", self.operand(a, Binding::Closed)), Binding::Comparison),
        }
    }

    fn binary(&self, op: BinaryOp, a: NodeId, b: NodeId) -> Form {
        let function = |name: &str| {
            let text = format!("{name}\\left({}, {}\\right)", self.get(a).text, self.get(b).text);
            Form::new(text, Binding::Closed)
        };
        match op {
            BinaryOp::Mul => {
                let (left, right) = (self.get(a), self.get(b));
                // Two numbers side by side would read as one.
                let sign = if right.text.starts_with(|c: char| c.is_ascii_digit()) { "\\cdot" } else { "\\," };
                let (left, right) = (left.operand(Binding::Product), right.operand(Binding::Product));
                Form::new(format!("{left} {sign} {right}"), Binding::Product)
            }
            BinaryOp::Div => {
                let text = format!("\\frac{{{}}}{{{}}}", self.get(a).text, self.get(b).text);
                Form::new(text, Binding::Closed)
            }
            BinaryOp::Pow => self.power(a, &self.get(b).text),
            BinaryOp::Min => function("\\min"),
            BinaryOp::Max => function("\\max"),
            BinaryOp::Mod => function("\\operatorname{mod}"),
            BinaryOp::Atan2 => function("\\operatorname{atan2}"),
            BinaryOp::And => self.infix("\\land", a, b, Binding::And, Binding::And),
            BinaryOp::Or => self.infix("\\lor", a, b, Binding::Or, Binding::Or),
        }
    }

    fn infix(&self, sign: &str, a: NodeId, b: NodeId, least: Binding, binding: Binding) -> Form {
        let (a, b) = (self.operand(a, least), self.operand(b, least));
        Form::new(format!("{a} {sign} {b}"), binding)
    }

    fn power(&self, base: NodeId, exponent: &str) -> Form {
        // An index and an exponent can stand together; braces keep them from being read as two indices.
        let text = format!("{{{}}}^{{{exponent}}}", self.operand(base, Binding::Atom));
        Form::new(text, Binding::Closed)
    }

    fn sum(&self, sum: crate::expr::SumId) -> Form {
        let mut text = String::new();
        let mut breaks = Vec::new();
        let terms = self.dag.terms(sum);
        let is_one = terms.len() == 1;
        for term in terms {
            let form = self.get(term.node);
            let is_constant = term.node == Dag::ONE;
            let size = term.coefficient.abs();
            // A minus sign of the term itself joins that of its coefficient.
            let positive = form.text.strip_prefix('-').filter(|_| form.is_negative && form.breaks.is_empty());
            let is_negative = (term.coefficient < 0.0) != positive.is_some();
            let body = match positive {
                Some(positive) => positive.trim_start().to_string(),
                None => form.operand(Binding::Product),
            };
            let part = if is_constant {
                names::number(size)
            } else if size == 1.0 {
                body
            } else {
                let sign = if body.starts_with(|c: char| c.is_ascii_digit()) { "\\cdot" } else { "\\," };
                format!("{} {sign} {body}", names::number(size))
            };
            match (text.is_empty(), is_negative) {
                (true, true) => text.push('-'),
                (true, false) => {}
                (false, negative) => {
                    text.push(' ');
                    breaks.push(text.len());
                    text.push_str(if negative { "- " } else { "+ " });
                }
            }
            text.push_str(&part);
        }
        let is_negative = text.starts_with('-');
        Form { text, binding: if is_one { Binding::Product } else { Binding::Sum }, is_negative, breaks }
    }
}

fn constant(value: f64) -> Form {
    let text = names::number(value);
    let binding = if text.contains(['^', ' ']) { Binding::Product } else { Binding::Atom };
    Form { is_negative: text.starts_with('-'), ..Form::new(text, binding) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(build: impl Fn(&mut Dag, NodeId, NodeId) -> NodeId) -> String {
        let mut dag = Dag::new();
        let (x, y) = (dag.leaf(Leaf::State(0)), dag.leaf(Leaf::State(1)));
        let root = build(&mut dag, x, y);
        let leaf = |leaf: Leaf| if leaf == Leaf::State(0) { "x".to_string() } else { "y_{1}".to_string() };
        let found = formulas(&dag, &[root], &HashMap::new(), &leaf, &mut 0);
        assert!(found.temporaries.is_empty());
        found.roots[0].clone()
    }

    #[test]
    fn operands_keep_their_parentheses() {
        assert_eq!(
            written(|d, x, y| {
                let s = d.add(x, y);
                d.mul(s, x)
            }),
            "x \\, \\left(x + y_{1}\\right)"
        );
        assert_eq!(
            written(|d, x, y| {
                let s = d.add(x, y);
                d.div(x, s)
            }),
            "\\frac{x}{x + y_{1}}"
        );
        assert_eq!(written(|d, _, y| d.powi(y, 2)), "{y_{1}}^{2}");
        assert_eq!(
            written(|d, x, y| {
                let q = d.div(x, y);
                d.powi(q, 2)
            }),
            "{\\left(\\frac{x}{y_{1}}\\right)}^{2}"
        );
        assert_eq!(
            written(|d, x, y| {
                let p = d.mul(x, y);
                let n = d.neg(p);
                d.sub(n, x)
            }),
            "-x \\, y_{1} - x"
        );
    }
}
