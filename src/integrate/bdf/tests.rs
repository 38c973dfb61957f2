//! Orders of the single formulas, which no caller can choose.

use super::*;
use crate::integrate::forcing::Forcing;
use crate::system::closure::ClosureSystem;

/// The error at t = 1 of x' = -x², x(0) = 1 by a formula of one order in about `count` steps of lengths in the given
/// ratios, from an exact history.
fn error(order: usize, count: usize, ratios: [f64; 2]) -> f64 {
    let system = ClosureSystem::new(1, 0, |at, dx| dx[0] = -at.x[0] * at.x[0]).autonomous();
    let mut field = Field::new(&system);
    field.start(0.0, &[], &Forcing::default(), &[]);
    let mut lu = ShiftedLu::new(field.system.jacobian_pattern());
    let norm = Norm { rtol: 1e-14, atol: vec![1e-14], with_sensitivities: true, meeting: None };
    let mut bdf = Bdf::new(&field);
    bdf.start(&norm, 0);
    let unit = 1.0 / (count as f64 * (ratios[0] + ratios[1]));
    let first = unit * ratios[1];
    bdf.start_from(&norm, &[], first, &[1.0], |_| std::array::from_fn(|j| (-first).powi(j as i32 + 1)));
    bdf.order = order;
    let (mut t, mut x, mut room) = (0.0, [0.0], [0.0]);
    for k in 0..2 * count {
        bdf.next = Choice { order, factor: 1.0 };
        let h = unit * ratios[k % 2];
        assert_eq!(bdf.attempt(&mut lu, &mut field, &norm, false, (t, h), &mut x, &mut room), 0.0);
        t += h;
    }
    (x[0] - 1.0 / (1.0 + t)).abs()
}

#[test]
fn each_formula_has_its_order_on_equal_and_unequal_steps() {
    for ratios in [[1.0, 1.0], [1.0, 1.2]] {
        for order in 1..=MAX_ORDER {
            // With more steps the corrector's own tolerance would show at order 5.
            let slope = (error(order, 20, ratios) / error(order, 40, ratios)).log2();
            assert!((slope - order as f64).abs() < 0.3, "order {order}, steps in {ratios:?}: {slope}");
        }
    }
}

/// A polynomial of the degree of the formula is its own solution: x' = 4 t³ by order 4.
#[test]
fn a_polynomial_is_exact_through_changes_of_order() {
    let system = ClosureSystem::new(1, 0, |at, dx| dx[0] = 4.0 * at.t.powi(3));
    let mut field = Field::new(&system);
    field.start(0.0, &[], &Forcing::default(), &[]);
    let mut lu = ShiftedLu::new(field.system.jacobian_pattern());
    let norm = Norm { rtol: 1e-12, atol: vec![1e-12], with_sensitivities: true, meeting: None };
    let mut bdf = Bdf::new(&field);
    bdf.start(&norm, 0);
    let h: f64 = 0.1;
    let at_one = [4.0 * h, 6.0 * h * h, 4.0 * h.powi(3), h.powi(4)];
    bdf.start_from(&norm, &[], h, &[1.0], |_| at_one);
    let (mut t, mut x, mut room) = (1.0, [0.0], [0.0]);
    for (order, h) in [(4, 0.1), (4, 0.15), (4, 0.1), (5, 0.1), (5, 0.2), (5, 0.1), (4, 0.1), (4, 0.3)] {
        bdf.next = Choice { order, factor: 1.0 };
        bdf.attempt(&mut lu, &mut field, &norm, false, (t, h), &mut x, &mut room);
        t += h;
        let scale = t.powi(4);
        assert!((x[0] - scale).abs() < 1e-10 * scale, "order {order} at {t}: {} {scale}", x[0]);
    }
}
