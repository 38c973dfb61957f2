//! The gradients of PPO beside dual numbers.

use super::*;
use crate::decide::Space;
use crate::learn::network::{Activation, Init, Mlp};
use crate::learn::rollout::End;
use crate::random::stream;
use num_dual::{Dual64, DualNum};

const N_IN: usize = 3;
const N_HIDDEN: usize = 5;
const N_ROWS: usize = 7;

fn settings() -> PpoSettings {
    PpoSettings { batch: N_ROWS, entropy: 0.07, value_weight: 0.6, value_clip: 0.3, ..PpoSettings::default() }
}

fn head(levels: usize) -> Head {
    let space = Space { names: vec![String::new(); 2], low: vec![-1.0; 2], high: vec![1.0; 2] };
    Head::new(&space, levels).expect("bounded")
}

fn networks(head: &Head) -> Networks {
    let mut rng = stream(5, 0);
    let init = Init::Orthogonal { hidden_gain: 1.0, output_gain: 0.8 };
    let mut network = |n| Mlp::new(&[N_IN, N_HIDDEN, n], Activation::Tanh, init, &mut rng);
    Networks {
        policy: network(head.n_outputs()),
        log_spreads: (0..head.n_spreads()).map(|k| -0.3 + 0.2 * k as f32).collect(),
        value: network(1),
        cost_value: Some(network(1)),
    }
}

/// A rollout of a policy that has changed since, so that some ratios are clipped.
fn rollout(head: &Head, networks: &Networks) -> (Rollout, Judged, Judged) {
    let mut rng = stream(6, 0);
    let mut numbers = |n: usize| -> Vec<f64> { (0..n).map(|_| rng.random_range(-1.0..1.0)).collect() };
    let inputs: Vec<f32> = numbers(N_IN * N_ROWS).iter().map(|v| *v as f32).collect();
    let mut tape = networks.policy.tape(N_ROWS);
    let outputs = networks.policy.forward(&inputs, &mut tape).to_vec();
    let (mut drawn, mut log_probs) = (vec![0.0; head.n_drawn() * N_ROWS], Vec::new());
    let rows = outputs.chunks_exact(head.n_outputs()).zip(drawn.chunks_exact_mut(head.n_drawn()));
    let offsets = numbers(N_ROWS);
    for ((outputs, drawn), offset) in rows.zip(&offsets) {
        log_probs.push(
            head.draw(outputs, &networks.log_spreads, &mut stream(7, log_probs.len() as u64), drawn) + 0.6 * offset,
        );
    }
    let mut judged = || {
        let mut judged = Judged::default();
        (judged.said, judged.targets, judged.advantages) = (numbers(N_ROWS), numbers(N_ROWS), numbers(N_ROWS));
        judged
    };
    let (by_reward, by_cost) = (judged(), judged());
    let rollout = Rollout {
        inputs,
        drawn,
        log_probs,
        rewards: vec![0.0; N_ROWS],
        ends: vec![End::GoesOn; N_ROWS],
        ..Rollout::new(1)
    };
    (rollout, by_reward, by_cost)
}

/// Outputs of a network of one hidden layer, whose parameters are any numbers.
fn outputs<D: DualNum<Primitive = f64> + Copy>(params: &[D], input: &[f32], n_out: usize) -> Vec<D> {
    let layer = |params: &[D], input: &[D], n_out: usize| -> Vec<D> {
        let (weights, bias) = params.split_at(input.len() * n_out);
        (0..n_out)
            .map(|j| input.iter().enumerate().fold(bias[j], |sum, (i, x)| sum + *x * weights[i * n_out + j]))
            .collect()
    };
    let input: Vec<D> = input.iter().map(|x| D::from(f64::from(*x))).collect();
    let (first, second) = params.split_at((N_IN + 1) * N_HIDDEN);
    let hidden: Vec<D> = layer(first, &input, N_HIDDEN).iter().map(DualNum::tanh).collect();
    layer(second, &hidden, n_out)
}

fn lesser<D: DualNum<Primitive = f64> + Copy>(a: D, b: D) -> D {
    if a.re() < b.re() { a } else { b }
}

/// The loss of the policy as the paper has it: equation 7 and the entropy, with advantages of unit variance.
fn policy_loss<D: DualNum<Primitive = f64> + Copy>(
    head: &Head,
    params: &[D],
    rollout: &Rollout,
    advantages: &[f64],
    clip: f64,
) -> D {
    let n = N_ROWS as f64;
    let mean = advantages.iter().sum::<f64>() / n;
    let sd = (advantages.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let (params, log_spreads) = params.split_at(params.len() - head.n_spreads());
    let mut loss = D::from(0.0);
    for (row, advantage) in advantages.iter().enumerate() {
        let said = outputs(params, &rollout.inputs[row * N_IN..(row + 1) * N_IN], head.n_outputs());
        let drawn = &rollout.drawn[row * head.n_drawn()..(row + 1) * head.n_drawn()];
        let (log_prob, entropy) = match head {
            Head::Normal(_) => {
                let mut both = (D::from(0.0), D::from(0.0));
                for ((mean, log_spread), drawn) in said.iter().zip(log_spreads).zip(drawn) {
                    let z = (D::from(f64::from(*drawn)) - *mean) / log_spread.exp();
                    both.0 = both.0 - z * z * 0.5 - *log_spread - 0.5 * std::f64::consts::TAU.ln();
                    both.1 += *log_spread;
                }
                both
            }
            Head::Choice(_) => {
                let total = said.iter().fold(D::from(0.0), |sum, z| sum + z.exp());
                let p: Vec<D> = said.iter().map(|z| z.exp() / total).collect();
                (p[drawn[0] as usize].ln(), p.iter().fold(D::from(0.0), |sum, p| sum - *p * p.ln()))
            }
        };
        let ratio = (log_prob - rollout.log_probs[row]).exp();
        let held = D::from(ratio.re().clamp(1.0 - clip, 1.0 + clip));
        let held = if (ratio.re() - 1.0).abs() <= clip { ratio } else { held };
        let advantage = (advantage - mean) / (sd + 1e-8);
        loss -= (lesser(ratio * advantage, held * advantage) + entropy * settings().entropy) / n;
    }
    loss
}

/// Mean squared error of the worse of the value and the clipped one.
fn value_loss<D: DualNum<Primitive = f64> + Copy>(params: &[D], rollout: &Rollout, judged: &Judged, clip: f64) -> D {
    let mut loss = D::from(0.0);
    let rows = rollout.inputs.chunks_exact(N_IN).zip(judged.said.iter().zip(&judged.targets));
    for (input, (said, target)) in rows {
        let value = outputs(params, input, 1)[0];
        let (said, target) = (*said, *target);
        let moved = value - said;
        let held = if moved.re().abs() <= clip { moved } else { D::from(clip.copysign(moved.re())) };
        let errors = [value - target, held + said - target].map(|e| e * e);
        loss -= lesser(-errors[0], -errors[1]) / N_ROWS as f64;
    }
    loss
}

/// Derivatives along each parameter.
fn gradient(params: &[f32], loss: impl Fn(&[Dual64]) -> Dual64) -> Vec<f64> {
    (0..params.len())
        .map(|k| {
            let dual = |(j, p): (usize, &f32)| Dual64::new(f64::from(*p), if j == k { 1.0 } else { 0.0 });
            loss(&params.iter().enumerate().map(dual).collect::<Vec<_>>()).eps
        })
        .collect()
}

fn assert_close(own: &[f32], exact: &[f64], what: &str) {
    let size = exact.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    assert!(size > 1e-3, "{what} is flat");
    for (k, (own, exact)) in own.iter().zip(exact).enumerate() {
        assert!((f64::from(*own) - exact).abs() < 2e-5 * size, "{what} {k}: {own}, exact {exact}");
    }
}

#[test]
fn gradients_are_those_of_dual_numbers() {
    for levels in [0, 2] {
        let head = head(levels);
        let networks = networks(&head);
        let (rollout, by_reward, by_cost) = rollout(&head, &networks);
        let mut clipped = Clipped::new(&networks, &settings());
        let rows: Vec<usize> = (0..N_ROWS).collect();
        let mut measured = Measured::default();
        let lesson = Lesson { advantages: &by_reward.advantages, part_left: 0.9 };
        clipped.policy_gradient(&networks, (&head, &rollout), &lesson, &rows, &mut measured).expect("finite");
        clipped.value_gradients(&networks, [&by_reward, &by_cost], &rows, &mut measured).expect("finite");
        assert!(measured.clipped > 0.1 && measured.clipped < 0.9, "some ratios are clipped, some not");

        let clip = 0.9 * settings().clip;
        let params: Vec<f32> = networks.policy.params().iter().chain(&networks.log_spreads).copied().collect();
        let exact = gradient(&params, |p| policy_loss(&head, p, &rollout, &by_reward.advantages, clip));
        let own: Vec<f32> = clipped.gradients[0].iter().chain(&clipped.gradients[1]).copied().collect();
        assert_close(&own, &exact, "policy");
        let cost_value = networks.cost_value.as_ref().expect("is there");
        for (k, (network, judged)) in [(&networks.value, &by_reward), (cost_value, &by_cost)].into_iter().enumerate() {
            let exact = gradient(network.params(), |p| value_loss(p, &rollout, judged, 0.3) * settings().value_weight);
            assert_close(&clipped.gradients[2 + k], &exact, "value");
        }
    }
}

#[test]
fn long_gradients_are_cut_together() {
    let head = head(0);
    let mut networks = networks(&head);
    let mut clipped = Clipped::new(&networks, &settings());
    clipped.gradients.iter_mut().flatten().for_each(|g| *g = 0.1);
    clipped.descend(&mut networks, 1.0).expect("finite");
    let square: f64 = clipped.gradients.iter().flatten().map(|g| f64::from(*g).powi(2)).sum();
    assert!((square.sqrt() - 0.5).abs() < 1e-6);
    clipped.gradients[2][3] = f32::INFINITY;
    assert!(clipped.descend(&mut networks, 1.0).is_err());
}
