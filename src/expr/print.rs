//! Expressions as infix text for people and snapshots: `k1*A*B - 2*k2*C`, `(a + b)/c`, `if x < y then a else b`.
//!
//! The text is canonical: products are flattened and their factors sorted (numbers, parameters, time, inputs,
//! disturbances, states, then the rest), numbers are the shortest that read back, sums keep their order of evaluation.
//! It reads as the language does, but it shows the mathematics: `(a*b)*c` and `a*(b*c)` print alike.
//!
//! Texts are put together from operands to results without recursion, so deep graphs are safe. [`print()`] cuts what
//! grows too long; [`print_shared`] gives large shared parts a name and cuts nothing.

use super::dag::{Dag, Leaf, Node, NodeId};
use super::ops::{BinaryOp, UnaryOp};

/// Characters that a subexpression may have in [`print()`] before it becomes `...`.
const MAX_CHARS: usize = 20_000;
/// Characters that a subexpression may have in [`print_shared`] before it gets a name, shared or not.
const MAX_SHARED_CHARS: usize = 2_000;
/// Operations of the smallest shared subexpression that gets a name.
const MIN_SHARED_SIZE: usize = 4;

/// How tightly an operator binds; a looser operand needs parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Choice,
    Or,
    And,
    Not,
    Comparison,
    Sum,
    Product,
    Sign,
    Power,
    Atom,
}

/// The order of factors: kind, index, text.
type Key = (u8, u32, String);

#[derive(Debug, Clone)]
struct Factor {
    key: Key,
    /// In parentheses already where it needs them.
    text: String,
}

/// The text of a node, products still in parts.
#[derive(Debug, Clone)]
enum Form {
    Text { text: String, binding: Binding, key: (u8, u32) },
    Product { coefficient: f64, above: Vec<Factor>, below: Vec<Factor> },
}

/// The texts of [`print_shared`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    /// `(name, text)` in order of use: a text names only earlier ones. Names are `%1`, `%2`, ...
    pub temporaries: Vec<(String, String)>,
    /// The text of each root.
    pub roots: Vec<String>,
}

/// The text of one node; parts longer than 20,000 characters are cut to `...`.
pub fn print(dag: &Dag, root: NodeId, names: impl Fn(Leaf) -> String) -> String {
    let mut printer = Printer::new(dag, &[root], names);
    for id in printer.order.clone() {
        let form = printer.form(id);
        let is_long = id != root && form.len() > MAX_CHARS;
        printer.put(id, if is_long { Form::name("...".to_owned(), 0) } else { form });
    }
    printer.take(root).into_text().0
}

/// The texts of several nodes, with names for what several of them share (four operations or more) and for parts
/// longer than 2,000 characters. The whole length is linear in the number of reachable nodes and terms.
pub fn print_shared(dag: &Dag, roots: &[NodeId], names: impl Fn(Leaf) -> String) -> Shared {
    let mut printer = Printer::new(dag, roots, names);
    let mut temporaries = Vec::new();
    // Operations of the text, named parts not counted.
    let mut sizes = vec![0usize; printer.uses.len()];
    for id in printer.order.clone() {
        let mut size = usize::from(!matches!(dag.node(id), Node::Const(_) | Node::Leaf(_)));
        dag.for_each_operand(id, |operand| size = size.saturating_add(sizes[operand.0 as usize]));
        let form = printer.form(id);
        let is_shared = printer.uses[id.0 as usize] > 1 && size >= MIN_SHARED_SIZE;
        let is_operand = printer.operand_uses[id.0 as usize] > 0;
        if is_operand && (is_shared || form.len() > MAX_SHARED_CHARS) {
            let name = format!("%{}", temporaries.len() + 1);
            temporaries.push((name.clone(), form.into_text().0));
            printer.put(id, Form::name(name, temporaries.len() as u32));
        } else {
            sizes[id.0 as usize] = size;
            printer.put(id, form);
        }
    }
    let roots = roots.iter().map(|&root| printer.take(root).into_text().0).collect();
    Shared { temporaries, roots }
}

/// The shortest text that reads back as this number: `0.1`, `2`, `6.022e23`, `1e-5`.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        "nan".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "inf".to_owned() } else { "-inf".to_owned() }
    } else if value == 0.0 || (1e-4..1e15).contains(&value.abs()) {
        format!("{value}")
    } else {
        format!("{value:e}")
    }
}

struct Printer<'a, F> {
    dag: &'a Dag,
    names: F,
    order: Vec<NodeId>,
    /// How often each node's form is still to be taken, and how often it is an operand.
    uses: Vec<u32>,
    operand_uses: Vec<u32>,
    forms: Vec<Option<Form>>,
}

impl<'a, F: Fn(Leaf) -> String> Printer<'a, F> {
    fn new(dag: &'a Dag, roots: &[NodeId], names: F) -> Self {
        let order = dag.reachable(roots);
        let n = order.last().map_or(0, |last| last.0 as usize + 1);
        let mut operand_uses = vec![0; n];
        for &id in &order {
            dag.for_each_operand(id, |operand| operand_uses[operand.0 as usize] += 1);
        }
        let mut uses = operand_uses.clone();
        roots.iter().for_each(|root| uses[root.0 as usize] += 1);
        Printer { dag, names, order, uses, operand_uses, forms: vec![None; n] }
    }

    fn put(&mut self, id: NodeId, form: Form) {
        self.forms[id.0 as usize] = Some(form);
    }

    /// The form of an operand; its last use moves it out, so that chains are not copied again and again.
    fn take(&mut self, id: NodeId) -> Form {
        let k = id.0 as usize;
        self.uses[k] = self.uses[k].saturating_sub(1);
        let form = if self.uses[k] == 0 { self.forms[k].take() } else { self.forms[k].clone() };
        form.unwrap_or_else(|| Form::name("?".to_owned(), 0))
    }

    /// An operand's text, in parentheses where it binds more loosely than `least`.
    fn operand(&mut self, id: NodeId, least: Binding) -> String {
        self.take(id).into_operand(least)
    }

    fn form(&mut self, id: NodeId) -> Form {
        match self.dag.node(id) {
            Node::Const(bits) => {
                let value = f64::from_bits(bits);
                let binding = if value < 0.0 { Binding::Sign } else { Binding::Atom };
                Form::Text { text: number(value), binding, key: (0, 0) }
            }
            Node::Leaf(leaf) => Form::Text { text: (self.names)(leaf), binding: Binding::Atom, key: leaf_key(leaf) },
            Node::Unary(UnaryOp::Not, a) => Form::text(format!("not {}", self.operand(a, Binding::Not)), Binding::Not),
            Node::Unary(op, a) => self.call(op.name(), &[a]),
            Node::PowI(a, n) => self.power(a, n.to_string()),
            Node::Binary(op, a, b) => match op {
                BinaryOp::Mul => {
                    let (a, b) = (self.take(a), self.take(b));
                    a.times(b)
                }
                BinaryOp::Div => {
                    let (a, b) = (self.take(a), self.take(b));
                    a.over(b)
                }
                BinaryOp::Pow => {
                    let exponent = self.operand(b, Binding::Sign);
                    self.power(a, exponent)
                }
                BinaryOp::Min | BinaryOp::Max | BinaryOp::Mod | BinaryOp::Atan2 => self.call(op.name(), &[a, b]),
                BinaryOp::And => self.infix(op.name(), a, b, Binding::And),
                BinaryOp::Or => self.infix(op.name(), a, b, Binding::Or),
            },
            Node::Sum(sum) => {
                let dag = self.dag;
                let terms = dag.terms(sum);
                if let [term] = terms {
                    return self.take(term.node).scaled(term.coefficient);
                }
                let mut text = String::new();
                for term in terms {
                    let form = if term.node == Dag::ONE { Form::number(1.0) } else { self.take(term.node) };
                    // The first term may be a sum itself without a change of meaning.
                    let least = if text.is_empty() { Binding::Sum } else { Binding::Product };
                    let part = form.scaled(term.coefficient).into_operand(least);
                    match part.strip_prefix('-') {
                        _ if text.is_empty() => text = part,
                        Some(positive) => {
                            text.push_str(" - ");
                            text.push_str(positive);
                        }
                        None => {
                            text.push_str(" + ");
                            text.push_str(&part);
                        }
                    }
                }
                Form::text(text, Binding::Sum)
            }
            Node::Compare(op, a, b) => {
                let (a, b) = (self.operand(a, Binding::Sum), self.operand(b, Binding::Sum));
                Form::text(format!("{a} {} {b}", op.name()), Binding::Comparison)
            }
            Node::Select { condition, then, otherwise } => {
                let (c, a) = (self.operand(condition, Binding::Or), self.operand(then, Binding::Or));
                let b = self.operand(otherwise, Binding::Choice);
                Form::text(format!("if {c} then {a} else {b}"), Binding::Choice)
            }
        }
    }

    fn call(&mut self, name: &str, arguments: &[NodeId]) -> Form {
        let list: Vec<String> = arguments.iter().map(|&id| self.operand(id, Binding::Choice)).collect();
        Form::text(format!("{name}({})", list.join(", ")), Binding::Atom)
    }

    fn infix(&mut self, sign: &str, a: NodeId, b: NodeId, binding: Binding) -> Form {
        let (a, b) = (self.operand(a, binding), self.operand(b, binding));
        Form::text(format!("{a} {sign} {b}"), binding)
    }

    /// A power stands among the factors where its base would.
    fn power(&mut self, base: NodeId, exponent: String) -> Form {
        let form = self.take(base);
        let key = match &form {
            Form::Text { key, .. } => *key,
            Form::Product { .. } => OTHER,
        };
        Form::Text { text: format!("{}^{exponent}", form.into_operand(Binding::Atom)), binding: Binding::Power, key }
    }
}

const OTHER: (u8, u32) = (8, 0);

fn leaf_key(leaf: Leaf) -> (u8, u32) {
    match leaf {
        Leaf::Param(k) => (1, k),
        Leaf::Time => (2, 0),
        Leaf::Input(k) => (3, k),
        Leaf::Disturbance(k) => (4, k),
        Leaf::State(k) => (5, k),
        Leaf::DirectionTime => (6, 0),
        Leaf::Direction(k) => (7, k),
    }
}

impl Form {
    fn text(text: String, binding: Binding) -> Form {
        Form::Text { text, binding, key: OTHER }
    }

    /// A name for a part; names sort by their number, after everything else.
    fn name(text: String, idx: u32) -> Form {
        Form::Text { text, binding: Binding::Atom, key: (9, idx) }
    }

    fn number(value: f64) -> Form {
        Form::Product { coefficient: value, above: Vec::new(), below: Vec::new() }
    }

    /// About how long the text is.
    fn len(&self) -> usize {
        match self {
            Form::Text { text, .. } => text.len(),
            Form::Product { above, below, .. } => above.iter().chain(below).map(|f| f.text.len() + 1).sum(),
        }
    }

    fn into_text(self) -> (String, Binding) {
        match self {
            Form::Text { text, binding, .. } => (text, binding),
            Form::Product { coefficient, above, below } => product_text(coefficient, above, below),
        }
    }

    fn into_operand(self, least: Binding) -> String {
        let (text, binding) = self.into_text();
        if binding < least { format!("({text})") } else { text }
    }

    /// The parts of a product; a constant is a coefficient.
    fn into_parts(self) -> (f64, Vec<Factor>, Vec<Factor>) {
        match self {
            Form::Product { coefficient, above, below } => (coefficient, above, below),
            Form::Text { text, key: (0, _), .. } => match text.parse() {
                Ok(value) => (value, Vec::new(), Vec::new()),
                Err(_) => (1.0, vec![Factor { key: (0, 0, text.clone()), text }], Vec::new()),
            },
            Form::Text { text, binding, key: (kind, idx) } => {
                let text = if binding <= Binding::Sign { format!("({text})") } else { text };
                // Variables are sorted by index; a tie can only be between powers of one base.
                (1.0, vec![Factor { key: (kind, idx, text.clone()), text }], Vec::new())
            }
        }
    }

    /// `c · self`: coefficients join only where nothing is rounded.
    fn scaled(self, c: f64) -> Form {
        if c == 1.0 {
            return self;
        }
        let (coefficient, above, below) = self.into_parts();
        if coefficient.abs() == 1.0 || c.abs() == 1.0 {
            return Form::Product { coefficient: c * coefficient, above, below };
        }
        let text = format!("({})", product_text(coefficient, above, below).0);
        let factor = Factor { key: (OTHER.0, OTHER.1, text.clone()), text };
        Form::Product { coefficient: c, above: vec![factor], below: Vec::new() }
    }

    fn times(self, other: Form) -> Form {
        let (c, mut above, mut below) = self.into_parts();
        let (d, more_above, more_below) = other.into_parts();
        merge(&mut above, more_above);
        merge(&mut below, more_below);
        if c.abs() == 1.0 || d.abs() == 1.0 {
            return Form::Product { coefficient: c * d, above, below };
        }
        Form::Product { coefficient: d, above, below }.scaled(c)
    }

    fn over(self, other: Form) -> Form {
        let (c, above, mut below) = self.into_parts();
        let (d, others_above, others_below) = other.into_parts();
        if others_below.is_empty() {
            merge(&mut below, others_above);
            if d != 1.0 {
                below.insert(0, Factor { key: (0, 0, number(d)), text: bracketed(number(d), d < 0.0) });
            }
        } else {
            let text = format!("({})", product_text(d, others_above, others_below).0);
            merge(&mut below, vec![Factor { key: (OTHER.0, OTHER.1, text.clone()), text }]);
        }
        Form::Product { coefficient: c, above, below }
    }
}

fn bracketed(text: String, is_needed: bool) -> String {
    if is_needed { format!("({text})") } else { text }
}

/// Merges two sorted lists of factors.
fn merge(into: &mut Vec<Factor>, more: Vec<Factor>) {
    into.extend(more);
    into.sort_by(|a, b| a.key.cmp(&b.key));
}

fn product_text(coefficient: f64, above: Vec<Factor>, below: Vec<Factor>) -> (String, Binding) {
    let is_alone = above.is_empty() && below.is_empty();
    let mut text = String::new();
    if coefficient < 0.0 {
        text.push('-');
    }
    if coefficient.abs() != 1.0 || above.is_empty() {
        text.push_str(&number(coefficient.abs()));
        if !above.is_empty() {
            text.push('*');
        }
    }
    let join = |factors: &[Factor]| factors.iter().map(|f| f.text.as_str()).collect::<Vec<_>>().join("*");
    text.push_str(&join(&above));
    match below.as_slice() {
        [] => {}
        [one] => {
            text.push('/');
            text.push_str(&one.text);
        }
        several => text.push_str(&format!("/({})", join(several))),
    }
    let binding = match (coefficient < 0.0, is_alone) {
        (true, true) => Binding::Sign,
        (true, false) => Binding::Product,
        (false, true) => Binding::Atom,
        (false, false) => Binding::Product,
    };
    (text, binding)
}
