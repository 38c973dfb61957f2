//! Distributions beside dual numbers, quadrature and counts.

use super::*;
use crate::random::stream;
use num_dual::{Dual64, DualNum};

fn space(n: usize) -> Space {
    Space { names: vec![String::new(); n], low: vec![-3.0; n], high: vec![5.0; n] }
}

fn heads() -> [Head; 2] {
    [Head::new(&space(2), 0).expect("bounded"), Head::new(&space(1), 4).expect("few")]
}

/// Outputs, logarithms of spreads, and a draw.
fn point(head: &Head) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    match head {
        Head::Normal(_) => (vec![0.3, -1.1], vec![-0.5, 0.25], vec![0.9, -1.6]),
        Head::Choice(_) => (vec![0.3, -1.1, 2.0, 0.4], vec![], vec![3.0]),
    }
}

/// The logarithm of the density or probability and the entropy, over any numbers.
fn by_definition<D: DualNum<Primitive = f64> + Copy>(
    head: &Head,
    outputs: &[D],
    log_spreads: &[D],
    drawn: &[f32],
) -> (D, D) {
    let zero = D::from(0.0);
    match head {
        Head::Normal(_) => {
            let terms = outputs.iter().zip(log_spreads).zip(drawn).map(|((mean, log_spread), drawn)| {
                let z = (D::from(f64::from(*drawn)) - *mean) / log_spread.exp();
                -z * z * 0.5 - *log_spread - 0.5 * std::f64::consts::TAU.ln()
            });
            let entropy = log_spreads.iter().fold(zero, |sum, s| sum + *s + 0.5 * std::f64::consts::TAU.ln() + 0.5);
            (terms.fold(zero, |sum, term| sum + term), entropy)
        }
        Head::Choice(_) => {
            let total = outputs.iter().fold(zero, |sum, z| sum + z.exp());
            let p: Vec<D> = outputs.iter().map(|z| z.exp() / total).collect();
            (p[drawn[0] as usize].ln(), p.iter().fold(zero, |sum, p| sum - *p * p.ln()))
        }
    }
}

#[test]
fn values_and_gradients_are_those_of_dual_numbers() {
    for head in heads() {
        let (outputs, log_spreads, drawn) = point(&head);
        let (mut d_log_prob, mut d_entropy) = (vec![0.0f32; outputs.len()], vec![0.0f32; outputs.len()]);
        let (mut s_log_prob, mut s_entropy) = (vec![0.0; log_spreads.len()], vec![0.0; log_spreads.len()]);
        head.add_log_prob_gradient((&outputs, &log_spreads, &drawn), 2.0, &mut d_log_prob, &mut s_log_prob);
        head.add_entropy_gradient(&outputs, 2.0, &mut d_entropy, &mut s_entropy);
        let own_log_prob: Vec<f64> = d_log_prob.iter().map(|d| f64::from(*d)).chain(s_log_prob).collect();
        let own_entropy: Vec<f64> = d_entropy.iter().map(|d| f64::from(*d)).chain(s_entropy).collect();
        for k in 0..outputs.len() + log_spreads.len() {
            let dual = |(j, v): (usize, &f32)| Dual64::new(f64::from(*v), if j == k { 1.0 } else { 0.0 });
            let n = outputs.len();
            let o: Vec<Dual64> = outputs.iter().enumerate().map(dual).collect();
            let s: Vec<Dual64> = log_spreads.iter().enumerate().map(|(j, v)| dual((j + n, v))).collect();
            let (log_prob, entropy) = by_definition(&head, &o, &s, &drawn);
            assert!((head.log_prob(&outputs, &log_spreads, &drawn) - log_prob.re).abs() < 1e-12);
            assert!((head.entropy(&outputs, &log_spreads) - entropy.re).abs() < 1e-12);
            assert!((own_log_prob[k] - 2.0 * log_prob.eps).abs() < 1e-6, "{k}");
            assert!((own_entropy[k] - 2.0 * entropy.eps).abs() < 1e-6, "{k}");
        }
    }
}

#[test]
fn draws_are_as_probable_as_they_are_said_to_be() {
    const N: usize = 40_000;
    for head in heads() {
        let (outputs, log_spreads, mut drawn) = point(&head);
        let mut rng = stream(1, 0);
        let draws: Vec<Vec<f32>> = (0..N)
            .map(|_| {
                let log_prob = head.draw(&outputs, &log_spreads, &mut rng, &mut drawn);
                assert_eq!(log_prob, head.log_prob(&outputs, &log_spreads, &drawn));
                drawn.clone()
            })
            .collect();
        match &head {
            Head::Normal(_) => {
                for axis in 0..2 {
                    let (mean, spread) = (f64::from(outputs[axis]), f64::from(log_spreads[axis]).exp());
                    let z: Vec<f64> = draws.iter().map(|d| (f64::from(d[axis]) - mean) / spread).collect();
                    let moment = |k: i32| z.iter().map(|z| z.powi(k)).sum::<f64>() / N as f64;
                    assert!(moment(1).abs() < 4.0 / (N as f64).sqrt());
                    assert!((moment(2) - 1.0).abs() < 4.0 * (2.0 / N as f64).sqrt());
                }
            }
            Head::Choice(levels) => {
                for choice in 0..levels.len() {
                    let p = head.log_prob(&outputs, &[], &[choice as f32]).exp();
                    let part = draws.iter().filter(|d| d[0] as usize == choice).count() as f64 / N as f64;
                    assert!((part - p).abs() < 4.0 * (p * (1.0 - p) / N as f64).sqrt(), "{choice}: {part}, exact {p}");
                }
            }
        }
    }
}

#[test]
fn divergence_is_the_expected_difference_of_logarithms() {
    let head = Head::new(&space(1), 0).expect("bounded");
    let (old, new) = ((&[0.4f32][..], &[-0.3f32][..]), (&[-0.2f32][..], &[0.2f32][..]));
    // Simpson's rule over ±12 spreads, far beyond what matters.
    let n = 4000;
    let (low, high) = (-12.0, 12.0);
    let mut sum = 0.0;
    for k in 0..=n {
        let x = low + (high - low) * f64::from(k) / f64::from(n);
        let weight = if k == 0 || k == n {
            1.0
        } else if k % 2 == 1 {
            4.0
        } else {
            2.0
        };
        let (p, _) = by_definition(&head, &[0.4f32 as f64], &[f64::from(-0.3f32)], &[x as f32]);
        let (q, _) = by_definition(&head, &[f64::from(-0.2f32)], &[f64::from(0.2f32)], &[x as f32]);
        sum += weight * p.exp() * (p - q);
    }
    let exact = sum * (high - low) / f64::from(n) / 3.0;
    assert!((head.divergence(old, new) - exact).abs() < 1e-5, "{} {exact}", head.divergence(old, new));

    let head = Head::new(&space(1), 3).expect("few");
    let (old, new) = ([0.1f32, 0.9, -0.4], [1.0f32, 0.0, 0.3]);
    let exact: f64 = (0..3)
        .map(|k| {
            let at = |outputs: &[f32]| head.log_prob(outputs, &[], &[k as f32]);
            at(&old).exp() * (at(&old) - at(&new))
        })
        .sum();
    assert!((head.divergence((&old, &[]), (&new, &[])) - exact).abs() < 1e-12);
}

#[test]
fn information_is_the_curvature_of_divergence() {
    for head in heads() {
        let (outputs, log_spreads, _) = point(&head);
        let change: Vec<f32> = (0..outputs.len()).map(|k| [0.5, -1.0, 0.25, 2.0][k]).collect();
        let mut product = change.clone();
        head.apply_fisher(&outputs, &log_spreads, &mut product);
        let curvature: f64 = change.iter().zip(&product).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let h = 1.0 / 128.0;
        let at = |h: f32| {
            let moved: Vec<f32> = outputs.iter().zip(&change).map(|(o, c)| o + h * c).collect();
            head.divergence((&outputs, &log_spreads), (&moved, &log_spreads))
        };
        let difference = (at(h) + at(-h)) / f64::from(h * h);
        assert!((curvature / difference - 1.0).abs() < 2e-3, "{curvature} {difference}");
    }
}

#[test]
fn actions_lie_in_the_box_and_levels_reach_its_ends() {
    let [normal, choice] = heads();
    let mut action = [0.0; 2];
    normal.write_action(&[-1.0, 0.5], &mut action);
    assert_eq!(action, [-3.0, 3.0]);
    normal.write_action(&[7.0, f32::NEG_INFINITY], &mut action);
    assert_eq!(action, [5.0, -3.0]);
    let levels: Vec<f64> = (0..4)
        .map(|k| {
            choice.write_action(&[k as f32], &mut action[..1]);
            action[0]
        })
        .collect();
    let expected = [-3.0, -1.0 / 3.0, 7.0 / 3.0, 5.0];
    assert!(levels.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{levels:?}");
    let two = Levels::new(&space(2), 3).expect("nine");
    assert_eq!(two.len(), 9);
    two.write(5, &mut action);
    assert_eq!(action, [5.0, 1.0]);
}
