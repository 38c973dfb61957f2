//! Random texts and trees: nothing panics, every place is real, and printing loses nothing.

use proptest::prelude::*;
use twinc::source::SourceId;
use twinc::syntax::{self, ast::*};

use super::{explain, generate, read};

const MODEL: &str = r#"# a model
model Enzyme "E + S" {   # trailing
  time [s]; species { E [uM] = 0.5; S [uM] = 10 fixed }
  param { kon [1/(uM*s)] = 1.0 in 1e-3 .. 1e3 ~ LogNormal(median = 1, gsd = 10); `in` = 1 }
  state h(i) [m] = 1 for i in 1 .. N

  reaction { bind: E + 2 S <-> ES @ kon, koff }   # law
  0 -> S rate D*(S_in - S)
  h(i)' = (h(i - 1) - h(i))/tau for i in 2 .. N "doc"
  let y = if a < b and not c then -x^2 else sum(k(j) for j in 1 .. 3 if j != i)
  observe P_obs [uM] = P + # inside
     1 ~ Normal(sd = 0.2 [uM] + 0.05*P)
  safe hot: T <= 140 [degC]
  every 6 [h] from 1 [h] { x += 1; y := 2*y }
}
study Fit of Enzyme {
  data "d.csv" by run { time <- t [min]; F <- "f.csv" }
  fit trust_region { starts = 24; seeds = [0, 1] }
}
"#;

/// Reads, and checks what holds for every text.
fn check(text: &str) {
    let (file, found) = read(text);
    for one in found.iter() {
        let places =
            one.labels.iter().map(|l| l.span).chain(one.fix.iter().flat_map(|f| f.edits.iter().map(|e| e.span)));
        for span in places {
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "no such place in {text:?}: {one:?}");
        }
    }
    explain(text, &found);
    for name in &file.unread {
        assert!(text.get(name.span.start as usize..name.span.end as usize).is_some());
    }
    let printed = syntax::print(&file);
    if !found.has_errors() {
        let (again, found) = read(&printed);
        assert!(found.is_empty(), "{text:?} printed as\n{printed}\n{}", explain(&printed, &found));
        assert!(syntax::same(&file, &again), "{text:?} printed as\n{printed}");
        assert_eq!(syntax::format(SourceId(0), &printed).ok().as_ref(), Some(&printed), "{text:?}");
        assert_eq!(file.comments.len(), again.comments.len(), "{text:?} printed as\n{printed}");
    }
}

/// Removes parentheses, which printing adds where a tree needs them.
fn without_parentheses(file: &mut File) {
    fn expr(e: &mut Expr) {
        while let ExprKind::Paren(inner) = &mut e.kind {
            *e = std::mem::replace(inner, Expr { kind: ExprKind::Text(String::new()), span: inner.span });
        }
        match &mut e.kind {
            ExprKind::Prefix { operand, .. } => expr(operand),
            ExprKind::Infix { left, right, .. } => {
                expr(left);
                expr(right);
            }
            ExprKind::If { condition, then, otherwise } => {
                [condition, then, otherwise].into_iter().for_each(|e| expr(e))
            }
            ExprKind::Call { args, .. } => {
                for arg in args {
                    value(&mut arg.value);
                    arg.family.iter_mut().for_each(family);
                    arg.condition.iter_mut().for_each(expr);
                }
            }
            ExprKind::Derivative { indices, .. } => indices.iter_mut().for_each(expr),
            ExprKind::Quantity { .. } | ExprKind::Text(_) | ExprKind::Path(_) | ExprKind::Paren(_) => {}
        }
    }
    fn value(v: &mut Value) {
        match v {
            Value::Expr(e) => expr(e),
            Value::List(items, _) => items.iter_mut().for_each(value),
        }
    }
    fn family(f: &mut Family) {
        expr(&mut f.from);
        expr(&mut f.to);
    }
    fn clauses(list: &mut [Clause]) {
        for clause in list {
            match &mut clause.kind {
                ClauseKind::Rates(e) | ClauseKind::Word(_, e) => e.iter_mut().for_each(expr),
                ClauseKind::Init(v) => value(v),
                ClauseKind::Range { low, high } => low.iter_mut().chain(high).for_each(expr),
                ClauseKind::Choices(v) => v.iter_mut().for_each(value),
                ClauseKind::Dist(e) => expr(e),
                ClauseKind::Family(f) => family(f),
                ClauseKind::Unit(_) | ClauseKind::Flag(_) | ClauseKind::Doc(_) => {}
            }
        }
    }
    fn statement(s: &mut Statement) {
        match &mut s.kind {
            StatementKind::Ode(o) => {
                o.indices.iter_mut().for_each(expr);
                expr(&mut o.rhs);
                o.families.iter_mut().for_each(family);
            }
            StatementKind::Assign(a) => {
                a.indices.iter_mut().for_each(expr);
                expr(&mut a.value);
            }
            StatementKind::Bind(b) => clauses(&mut b.clauses),
            StatementKind::Reaction(r) => {
                r.reactants.iter_mut().chain(&mut r.products).for_each(|t| t.indices.iter_mut().for_each(expr));
                clauses(&mut r.clauses);
            }
            StatementKind::Setting(t) => {
                value(&mut t.value);
                clauses(&mut t.clauses);
            }
            StatementKind::Labelled(l) => {
                expr(&mut l.expr);
                clauses(&mut l.clauses);
            }
            StatementKind::Directive(d) => {
                d.indices.iter_mut().chain(&mut d.subjects).for_each(expr);
                clauses(&mut d.clauses);
                d.block.iter_mut().for_each(|b| b.statements.iter_mut().for_each(statement));
            }
        }
    }
    file.statements.iter_mut().for_each(statement);
}

const PIECES: &[&str] = &[
    " ",
    " ",
    "\n",
    ";",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "a",
    "x'",
    "=",
    "==",
    "->",
    "<->",
    "<-",
    ":=",
    "+",
    "-",
    "*",
    "/",
    "^",
    "@",
    "~",
    ":",
    ",",
    ".",
    "..",
    "'",
    "\"",
    "`",
    "#",
    "//",
    "/*",
    "*/",
    "1",
    ".5",
    "5mM",
    "2.",
    "1e3",
    "in",
    "if",
    "then",
    "else",
    "not",
    "for",
    "i",
    "rate",
    "fixed",
    "param",
    "model M {",
    "reaction",
    "state",
    "\"doc\"",
    "\u{b0}C",
    "\u{2264}",
    "\u{3b1}",
    "\0",
];

fn pieces(n: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..n).prop_map(|v| v.concat())
}

/// The model with some of its bytes cut out, doubled or replaced by pieces.
fn mutated() -> impl Strategy<Value = String> {
    let one = (0..MODEL.len(), 0..40usize, prop_oneof![2 => Just(String::new()), 3 => pieces(3)], any::<bool>());
    prop::collection::vec(one, 1..4).prop_map(|changes| {
        let mut text = MODEL.to_string();
        for (at, length, piece, is_copy) in changes {
            let start = text.floor_char_boundary(at.min(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            let new = if is_copy { format!("{}{piece}{}", &text[start..end], &text[start..end]) } else { piece };
            text.replace_range(start..end, &new);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in ".{0,200}") {
        check(&text);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_pieces_are_read(text in pieces(40)) {
        check(&text);
    }

    #[test]
    fn any_damage_to_a_model_is_read(text in mutated()) {
        check(&text);
    }

    #[test]
    fn a_tree_survives_printing(file in generate::file()) {
        let text = syntax::print(&file);
        let (mut again, found) = read(&text);
        prop_assert!(found.is_empty(), "{}\n{}", text, explain(&text, &found));
        without_parentheses(&mut again);
        prop_assert!(syntax::same(&file, &again), "{text}\n{:?}\n{:?}", file.statements, again.statements);
    }
}
