//! What CPO sees of a policy beside its differences.

use super::super::move_policy;
use super::*;
use crate::decide::Space;
use crate::learn::network::{Activation, Init};
use crate::learn::rollout::End;
use crate::random::stream;
use rand::Rng as _;

const N_ROWS: usize = 40;

#[test]
fn gradients_and_information_are_slopes_and_curvatures() {
    for levels in [0, 3] {
        let space = Space { names: vec![String::new(); 2], low: vec![-1.0; 2], high: vec![1.0; 2] };
        let head = Head::new(&space, levels).expect("bounded");
        let mut rng = stream(9, 0);
        let init = Init::Orthogonal { hidden_gain: 1.0, output_gain: 0.7 };
        let networks = Networks {
            policy: Mlp::new(&[3, 6, 6, head.n_outputs()], Activation::Tanh, init, &mut rng),
            log_spreads: vec![-0.4; head.n_spreads()],
            value: Mlp::new(&[3, 1], Activation::Tanh, init, &mut rng),
            cost_value: None,
        };
        let inputs: Vec<f32> = (0..3 * N_ROWS).map(|_| rng.random_range(-1.0..1.0)).collect();
        let outputs = networks.policy.forward(&inputs, &mut networks.policy.tape(N_ROWS)).to_vec();
        let mut drawn = vec![0.0; head.n_drawn() * N_ROWS];
        let rows = outputs.chunks_exact(head.n_outputs()).zip(drawn.chunks_exact_mut(head.n_drawn()));
        let log_probs = rows.map(|(o, d)| head.draw(o, &networks.log_spreads, &mut rng, d)).collect();
        let advantages: [Vec<f64>; 2] = [0, 1].map(|_| (0..N_ROWS).map(|_| rng.random_range(-1.0..1.0)).collect());
        let rewards = vec![0.0; N_ROWS];
        let rollout = Rollout { inputs, drawn, log_probs, rewards, ends: vec![End::GoesOn; N_ROWS], ..Rollout::new(1) };
        let mut surrogate = Surrogate::new(&networks, (&head, &rollout), [&advantages[0], &advantages[1]]);
        let gradients = surrogate.gradients(&networks.policy);

        let n = networks.policy.params().len() + networks.log_spreads.len();
        let direction: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut product = vec![0.0; n];
        surrogate.fisher(&networks.policy, &direction, 0.3, &mut product);

        let mut tape = surrogate.tape(&networks.policy);
        let h = 0.01;
        let mut at = |part: f64| {
            let mut moved = networks.clone();
            move_policy(&mut moved, &direction, part);
            surrogate.compare(&moved, &mut tape)
        };
        let (ahead, behind) = (at(h), at(-h));
        assert!(at(0.0).kl.abs() < 1e-9);
        let dot = |a: &[f64]| -> f64 { a.iter().zip(&direction).map(|(a, d)| a * d).sum() };
        let gain = (ahead.gain - behind.gain) / (2.0 * h);
        let cost = (ahead.cost - behind.cost) / (2.0 * h);
        assert!((dot(&gradients[0]) - gain).abs() < 2e-3 * gain.abs().max(0.1), "{} {gain}", dot(&gradients[0]));
        assert!((dot(&gradients[1]) - cost).abs() < 2e-3 * cost.abs().max(0.1), "{} {cost}", dot(&gradients[1]));
        let damped: f64 = 0.3 * dot(&direction);
        let curvature = (ahead.kl + behind.kl) / (h * h);
        assert!(((dot(&product) - damped) / curvature - 1.0).abs() < 5e-3, "{} {curvature}", dot(&product) - damped);

        // It is symmetric: u·Hv = v·Hu.
        let other: Vec<f64> = (0..n).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut product_of_other = vec![0.0; n];
        surrogate.fisher(&networks.policy, &other, 0.3, &mut product_of_other);
        let crossed: f64 = product.iter().zip(&other).map(|(a, b)| a * b).sum();
        assert!((dot(&product_of_other) - crossed).abs() < 1e-4 * dot(&product), "not symmetric");
    }
}
