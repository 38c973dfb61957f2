//! Trees made at random, for the round trip through text.

use proptest::prelude::*;
use twinc::source::{SourceId, Span};
use twinc::syntax::ast::*;

const AT: Span = Span { source: SourceId(0), start: 0, end: 0 };

/// Plain names, words of clauses, reserved words, and what only backticks can hold.
const NAMES: &[&str] = &[
    "x",
    "k1",
    "S_in",
    "Km",
    "\u{3b1}",
    "rate",
    "to",
    "fixed",
    "log",
    "for",
    "when",
    "in",
    "if",
    "not",
    "two words",
    "1st",
    "reaction",
    "param",
    "state",
    "time",
    "dt",
    "e5",
    "_",
];
const UNITS: &[&str] = &["1", "mM", "1/(uM*s)", "kJ/(mol*K)", "m^2", "s^-1", "bar^(1/2)", "%"];

fn name() -> impl Strategy<Value = Name> {
    prop::sample::select(NAMES).prop_map(|text| Name { text: text.to_string(), span: AT })
}

fn path() -> impl Strategy<Value = Path> {
    prop::collection::vec(name(), 1..3).prop_map(|segments| Path { segments, span: AT })
}

fn unit() -> impl Strategy<Value = UnitText> {
    prop::sample::select(UNITS).prop_map(|text| UnitText { text: text.to_string(), span: AT })
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), (0u32..100).prop_map(f64::from), (0.0..1e6f64), any::<f64>().prop_map(f64::abs)]
        .prop_filter("finite", |x| x.is_finite())
}

fn at(kind: ExprKind) -> Expr {
    Expr { kind, span: AT }
}

/// Expressions without parentheses: printing must add those that are needed.
pub fn expr() -> BoxedStrategy<Expr> {
    let leaf = prop_oneof![
        (number(), prop::option::of(unit())).prop_map(|(value, unit)| at(ExprKind::Quantity { value, unit })),
        path().prop_map(|p| at(ExprKind::Path(p))),
        path().prop_map(|p| at(ExprKind::Derivative { target: p, indices: vec![] })),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let arg = (prop::option::of(name()), inner.clone(), prop::option::of(family(inner.clone())))
            .prop_map(|(name, value, family)| Arg { name, value: Value::Expr(value), family, condition: None });
        prop_oneof![
            4 => (infix(), inner.clone(), inner.clone()).prop_map(|(op, l, r)| {
                at(ExprKind::Infix { op, op_span: AT, left: Box::new(l), right: Box::new(r) })
            }),
            1 => (prop::sample::select(&[PrefixOp::Neg, PrefixOp::Not][..]), inner.clone())
                .prop_map(|(op, e)| at(ExprKind::Prefix { op, operand: Box::new(e) })),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(c, a, b)| {
                at(ExprKind::If { condition: Box::new(c), then: Box::new(a), otherwise: Box::new(b) })
            }),
            1 => (path(), prop::collection::vec(arg, 0..3))
                .prop_map(|(function, args)| at(ExprKind::Call { function, args })),
        ]
    })
    .boxed()
}

fn infix() -> impl Strategy<Value = InfixOp> {
    use InfixOp::*;
    prop::sample::select(&[Or, And, Lt, Le, Gt, Ge, Eq, Ne, Add, Sub, Mul, Div, Pow][..])
}

fn family(bound: impl Strategy<Value = Expr> + Clone + 'static) -> impl Strategy<Value = Family> {
    (name(), bound.clone(), bound).prop_map(|(index, from, to)| Family { index, from, to, span: AT })
}

fn value() -> impl Strategy<Value = Value> {
    let list = prop::collection::vec(expr().prop_map(Value::Expr), 0..3).prop_map(|items| Value::List(items, AT));
    prop_oneof![4 => expr().prop_map(Value::Expr), 1 => list]
}

fn doc() -> impl Strategy<Value = Text> {
    Just(Text { text: "what it is".to_string(), span: AT })
}

/// Each kind at most once, in any order.
fn clauses(has_unit: bool) -> impl Strategy<Value = Vec<Clause>> {
    let words = ClauseWord::ALL.iter().map(|(_, w)| *w).collect::<Vec<_>>();
    let flags = Flag::ALL.iter().map(|(_, f)| *f).collect::<Vec<_>>();
    let one = prop_oneof![
        unit().prop_map(ClauseKind::Unit),
        value().prop_map(ClauseKind::Init),
        (prop::option::of(expr()), prop::option::of(expr())).prop_map(|(low, high)| ClauseKind::Range { low, high }),
        prop::collection::vec(expr().prop_map(Value::Expr), 0..3).prop_map(ClauseKind::Choices),
        expr().prop_map(ClauseKind::Dist),
        prop::collection::vec(expr(), 1..3).prop_map(ClauseKind::Rates),
        (prop::sample::select(words), prop::collection::vec(expr(), 1..3)).prop_map(|(w, e)| ClauseKind::Word(w, e)),
        prop::sample::select(flags).prop_map(ClauseKind::Flag),
        family(expr()).prop_map(ClauseKind::Family),
        doc().prop_map(ClauseKind::Doc),
    ];
    prop::collection::vec(one, 0..5).prop_map(move |kinds| {
        let mut list: Vec<Clause> = Vec::new();
        for kind in kinds {
            let shape = twinc::syntax::words::Shape::of(&kind);
            let is_new = list.iter().all(|c| twinc::syntax::words::Shape::of(&c.kind) != shape);
            let is_unit = matches!(kind, ClauseKind::Unit(_));
            // `when a = b` is a mistake for `==`.
            let is_condition = matches!(kind, ClauseKind::Word(ClauseWord::When, _));
            if is_new && !is_condition && (has_unit || !is_unit) {
                list.push(Clause { kind, span: AT });
            }
        }
        list
    })
}

fn term() -> impl Strategy<Value = Term> {
    let coefficient = prop_oneof![Just(1.0), Just(2.0), number().prop_filter("not zero", |x| *x > 0.0)];
    (coefficient, path(), prop::collection::vec(expr(), 0..2)).prop_map(|(coefficient, species, indices)| Term {
        coefficient,
        species,
        indices,
        span: AT,
    })
}

fn subject() -> impl Strategy<Value = Expr> {
    prop_oneof![
        3 => name().prop_map(|n| at(ExprKind::Path(Path { segments: vec![n], span: AT }))),
        1 => expr(),
    ]
}

fn directive(block: impl Strategy<Value = Option<Block>>) -> impl Strategy<Value = StatementKind> {
    let word = prop::sample::select(&["param", "foo", "observe", "expect", "to", "rate"][..]);
    let subjects = prop::collection::vec(subject(), 1..3);
    let plain = (prop::option::of(name()), subjects, clauses(false));
    (word, plain, unit(), any::<bool>(), block).prop_map(|(word, (label, subjects, clauses), unit, has_unit, block)| {
        let mut clauses = clauses;
        // A unit directly behind a name is the clause's; behind a number it would be the number's.
        let ends_in_name = matches!(subjects.last().map(|s| &s.kind), Some(ExprKind::Path(_)));
        if has_unit && ends_in_name {
            clauses.insert(0, Clause { kind: ClauseKind::Unit(unit), span: AT });
        }
        // Words that declare take a name, and their blocks hold entries.
        let is_name = matches!(subjects.first().map(|s| &s.kind), Some(ExprKind::Path(_)));
        let word = Name { text: if is_name && block.is_none() { word } else { "foo" }.to_string(), span: AT };
        StatementKind::Directive(Directive { word, indices: vec![], label, subjects, clauses, block })
    })
}

/// An entry of a group block.
fn entry() -> impl Strategy<Value = StatementKind> {
    (name(), prop::collection::vec(expr(), 0..3), unit(), clauses(false)).prop_map(
        |(word, indices, unit, mut clauses)| {
            clauses.insert(0, Clause { kind: ClauseKind::Unit(unit), span: AT });
            StatementKind::Directive(Directive { word, indices, label: None, subjects: vec![], clauses, block: None })
        },
    )
}

fn without_value(mut clauses: Vec<Clause>) -> Vec<Clause> {
    clauses.retain(|c| !matches!(c.kind, ClauseKind::Init(_)));
    clauses
}

fn setting() -> impl Strategy<Value = StatementKind> {
    (name(), value(), clauses(false)).prop_map(|(name, value, clauses)| {
        StatementKind::Setting(Setting { name, value, clauses: without_value(clauses) })
    })
}

fn simple() -> impl Strategy<Value = StatementKind> {
    let ode = (
        path(),
        prop::collection::vec(expr(), 0..2),
        expr(),
        prop::collection::vec(family(expr()), 0..2),
        prop::option::of(doc()),
    )
        .prop_map(|(target, indices, rhs, families, doc)| {
            StatementKind::Ode(Ode { target, indices, rhs, families, doc })
        });
    let ops = &[AssignOp::Set, AssignOp::Add, AssignOp::Subtract, AssignOp::Multiply][..];
    let assign = (path(), prop::collection::vec(expr(), 0..2), prop::sample::select(ops), expr())
        .prop_map(|(target, indices, op, value)| StatementKind::Assign(Assign { target, indices, op, value }));
    let source = prop_oneof![
        path().prop_map(BindSource::FromPath),
        doc().prop_map(BindSource::FromText),
        doc().prop_map(BindSource::ToText),
    ];
    let bind = (path(), source, clauses(true))
        .prop_map(|(target, source, clauses)| StatementKind::Bind(Bind { target, source, clauses }));
    let side = || prop::collection::vec(term(), 0..3);
    let reaction = (prop::option::of(name()), side(), side(), any::<bool>(), clauses(true)).prop_map(
        |(label, reactants, products, is_reversible, clauses)| {
            StatementKind::Reaction(Reaction { label, reactants, products, is_reversible, arrow: AT, clauses })
        },
    );
    let labelled = (name(), expr(), clauses(false)).prop_map(|(label, expr, clauses)| {
        StatementKind::Labelled(Labelled { label, expr, clauses: without_value(clauses) })
    });
    prop_oneof![ode, assign, bind, reaction, labelled, setting(), directive(Just(None))]
}

fn block(inside: impl Strategy<Value = StatementKind>) -> impl Strategy<Value = Option<Block>> {
    prop::collection::vec(inside, 0..4).prop_map(|kinds| {
        let statements = kinds.into_iter().map(|kind| Statement { kind, span: AT }).collect();
        Some(Block { statements, span: AT })
    })
}

/// A directive whose block holds entries or any statements.
fn with_block() -> impl Strategy<Value = StatementKind> {
    let open = |word: &'static str, block| {
        let word = Name { text: word.to_string(), span: AT };
        StatementKind::Directive(Directive {
            word,
            indices: vec![],
            label: None,
            subjects: vec![],
            clauses: vec![],
            block,
        })
    };
    prop_oneof![
        block(prop_oneof![entry(), setting()]).prop_map(move |b| open("param", b)),
        block(simple()).prop_map(move |b| open("foo", b)),
        directive(block(simple()).boxed()),
    ]
}

/// A whole tree, as if read from nowhere.
pub fn file() -> impl Strategy<Value = File> {
    prop::collection::vec(prop_oneof![3 => simple(), 1 => with_block()], 0..5).prop_map(|kinds| File {
        statements: kinds.into_iter().map(|kind| Statement { kind, span: AT }).collect(),
        comments: vec![],
        line_starts: vec![],
        unread: vec![],
        span: AT,
    })
}
