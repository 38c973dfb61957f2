//! Texts of expressions.

use super::programs::Program;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use twinc::expr::print::{number, print, print_shared};
use twinc::expr::{BinaryOp, Compare, Dag, Leaf, NodeId, UnaryOp};

fn name(leaf: Leaf) -> String {
    let letter = |letters: &str, k: u32| letters.chars().nth(k as usize).map_or(format!("v{k}"), String::from);
    match leaf {
        Leaf::Time => "time".to_owned(),
        Leaf::State(k) => letter("ABCDEFGH", k),
        Leaf::Param(k) => format!("k{}", k + 1),
        Leaf::Input(k) => format!("u{}", k + 1),
        Leaf::Disturbance(k) => format!("d{}", k + 1),
        Leaf::Direction(k) => format!("dx{}", k + 1),
        Leaf::DirectionTime => "dt".to_owned(),
    }
}

struct Text {
    dag: Dag,
    a: NodeId,
    b: NodeId,
    c: NodeId,
    k1: NodeId,
    k2: NodeId,
}

fn text() -> Text {
    let mut dag = Dag::new();
    let [a, b, c] = [0, 1, 2].map(|k| dag.leaf(Leaf::State(k)));
    let [k1, k2] = [0, 1].map(|k| dag.leaf(Leaf::Param(k)));
    Text { dag, a, b, c, k1, k2 }
}

impl Text {
    fn of(&self, id: NodeId) -> String {
        print(&self.dag, id, name)
    }
}

#[test]
fn sums_and_products_read_as_written() {
    let mut t = text();
    let kab = t.dag.mul(t.k1, t.a);
    let kab = t.dag.mul(kab, t.b);
    let k2c = t.dag.mul(t.c, t.k2);
    let rate = t.dag.sum(&[(1.0, kab), (-2.0, k2c)]);
    assert_eq!(t.of(rate), "k1*A*B - 2*k2*C");
    let sum = t.dag.add(t.a, t.b);
    let quotient = t.dag.div(sum, t.c);
    assert_eq!(t.of(quotient), "(A + B)/C");
    let over = t.dag.div(t.c, sum);
    let twice = t.dag.mul(over, sum);
    assert_eq!(t.of(twice), "C*(A + B)/(A + B)");
    let double = t.dag.mul(t.k1, sum);
    let nested = t.dag.div(quotient, double);
    assert_eq!(t.of(nested), "(A + B)/(k1*C*(A + B))");
    let inverse = t.dag.div(Dag::ONE, t.a);
    assert_eq!(t.of(inverse), "1/A");
    let ratio = t.dag.div(t.a, t.b);
    let over_ratio = t.dag.div(t.c, ratio);
    assert_eq!(t.of(over_ratio), "C/(A/B)");
    let minus = t.dag.neg(quotient);
    assert_eq!(t.of(minus), "-(A + B)/C");
    let grouped = t.dag.sub(t.c, sum);
    assert_eq!(t.of(grouped), "C - (A + B)");
    let first = t.dag.sub(sum, t.c);
    assert_eq!(t.of(first), "A + B - C");
    let shifted = t.dag.sum(&[(1.0, t.a), (-273.15, Dag::ONE)]);
    assert_eq!(t.of(shifted), "A - 273.15");
    let from_one = t.dag.sum(&[(1.0, Dag::ONE), (-1.0, t.a)]);
    assert_eq!(t.of(from_one), "1 - A");
}

#[test]
fn powers_take_parentheses_only_where_needed() {
    let mut t = text();
    let square = t.dag.powi(t.a, 2);
    assert_eq!(t.of(square), "A^2");
    let inverse = t.dag.powi(t.a, -2);
    assert_eq!(t.of(inverse), "A^-2");
    let sum = t.dag.add(t.a, t.b);
    let cube = t.dag.powi(sum, 3);
    assert_eq!(t.of(cube), "(A + B)^3");
    let less = t.dag.sub(t.k1, Dag::ONE);
    let power = t.dag.pow(t.a, less);
    let scaled = t.dag.mul(t.k1, power);
    assert_eq!(t.of(scaled), "k1*A^(k1 - 1)");
    let tower = t.dag.pow(power, t.b);
    assert_eq!(t.of(tower), "(A^(k1 - 1))^B");
    let negative = t.dag.constant(-2.0);
    let base = t.dag.pow(negative, t.b);
    assert_eq!(t.of(base), "(-2)^B");
    let minus = t.dag.neg(square);
    assert_eq!(t.of(minus), "-A^2");
}

#[test]
fn functions_choices_and_logic_read_as_the_language() {
    let mut t = text();
    let less = t.dag.compare(Compare::Lt, t.a, t.b);
    let choice = t.dag.select(less, t.a, t.b);
    assert_eq!(t.of(choice), "if A < B then A else B");
    let other = t.dag.compare(Compare::Le, t.c, t.a);
    let outer = t.dag.select(other, t.c, choice);
    assert_eq!(t.of(outer), "if C <= A then C else if A < B then A else B");
    let scaled = t.dag.mul(t.k1, choice);
    assert_eq!(t.of(scaled), "k1*(if A < B then A else B)");
    let (both, either) = (t.dag.binary(BinaryOp::And, less, other), t.dag.binary(BinaryOp::Or, less, other));
    let mixed = t.dag.binary(BinaryOp::And, both, either);
    assert_eq!(t.of(mixed), "A < B and C <= A and (A < B or C <= A)");
    let not = t.dag.unary(UnaryOp::Not, less);
    assert_eq!(t.of(not), "not A < B");
    let modulo = t.dag.binary(BinaryOp::Mod, t.a, t.b);
    let exp = t.dag.unary(UnaryOp::Exp, modulo);
    assert_eq!(t.of(exp), "exp(mod(A, B))");
}

#[test]
fn numbers_are_the_shortest_that_read_back() {
    let texts = [
        (0.1, "0.1"),
        (2.0, "2"),
        (6.022e23, "6.022e23"),
        (1e-5, "1e-5"),
        (0.0001, "0.0001"),
        (-273.15, "-273.15"),
        (1.0 / 3.0, "0.3333333333333333"),
        (f64::INFINITY, "inf"),
    ];
    for (value, text) in texts {
        assert_eq!(number(value), text);
        assert_eq!(text.parse::<f64>(), Ok(value));
    }
}

#[test]
fn the_order_of_building_does_not_show_in_products() {
    let mut dag = Dag::new();
    let (b, k, a) = (dag.leaf(Leaf::State(1)), dag.leaf(Leaf::Param(0)), dag.leaf(Leaf::State(0)));
    let ba = dag.mul(b, a);
    let root = dag.mul(ba, k);
    assert_eq!(print(&dag, root, name), "k1*A*B");
}

#[test]
fn shared_parts_get_names() {
    let mut t = text();
    let (above, below) = (t.dag.mul(t.k1, t.a), t.dag.add(t.k2, t.a));
    let rate = t.dag.div(above, below);
    let factor = t.dag.unary(UnaryOp::Exp, rate);
    let first = t.dag.sum(&[(-1.0, factor), (1.0, t.b)]);
    let second = t.dag.sum(&[(2.0, factor), (1.0, below)]);
    let shared = print_shared(&t.dag, &[first, second], name);
    assert_eq!(shared.temporaries, [("%1".to_owned(), "exp(k1*A/(k2 + A))".to_owned())]);
    assert_eq!(shared.roots, ["-%1 + B", "2*%1 + (k2 + A)"]);
}

#[test]
fn shared_doubling_does_not_blow_up() {
    let mut t = text();
    let mut root = t.a;
    for _ in 0..200 {
        let sine = t.dag.unary(UnaryOp::Sin, root);
        root = t.dag.mul(sine, root);
    }
    assert!(t.of(root).len() < 100_000);
    let shared = print_shared(&t.dag, &[root], name);
    let total: usize = shared.temporaries.iter().map(|(name, text)| name.len() + text.len()).sum();
    assert!(total < 20_000, "{total}");
}

#[test]
fn deep_chains_print_without_recursion() {
    let mut t = text();
    let mut root = t.a;
    for _ in 0..50_000 {
        let sine = t.dag.unary(UnaryOp::Sin, root);
        root = t.dag.add(sine, t.b);
    }
    assert!(t.of(root).len() < 50_000);
    let shared = print_shared(&t.dag, &[root], name);
    assert!(shared.temporaries.len() > 100);
}

/// Printing twice, and printing a graph built twice, gives the same text.
pub fn is_stable(program: &Program) -> Result<(), TestCaseError> {
    let (mut dag, mut other) = (Dag::new(), Dag::new());
    // The other graph has its leaves in another order.
    for k in (0..4).rev() {
        other.leaf(Leaf::State(k));
    }
    let (root, other_root) = (program.build(&mut dag), program.build(&mut other));
    let text = print(&dag, root, name);
    prop_assert_eq!(&text, &print(&dag, root, name));
    prop_assert_eq!(&text, &print(&other, other_root, name));
    prop_assert_eq!(text.matches('(').count(), text.matches(')').count());
    let shared = print_shared(&dag, &[root, root], name);
    prop_assert_eq!(&shared.roots[0], &shared.roots[1]);
    Ok(())
}
