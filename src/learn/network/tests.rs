//! Networks against dual numbers, published formulas and the definitions of their initial weights.

use num_dual::{Dual64, DualNum};

use super::{Activation, Adam, Init, Mlp, clip_norm};
use crate::learn::tensors::Tensors;
use crate::random::draw::normals;
use crate::random::stream;

fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let mut list = vec![0.0; n];
    normals(&mut stream(seed, 9), 1.0, &mut list);
    list.iter().map(|v| *v as f32).collect()
}

/// The network as its definition says.
fn defined(sizes: &[usize], activation: Activation, params: &[Dual64], input: &[Dual64]) -> Vec<Dual64> {
    let (mut x, mut at) = (input.to_vec(), 0);
    for (l, pair) in sizes.windows(2).enumerate() {
        let (n_in, n_out) = (pair[0], pair[1]);
        let bias = at + n_in * n_out;
        let y = (0..n_out).map(|j| {
            let sum = (0..n_in).fold(params[bias + j], |sum, i| sum + x[i] * params[at + i * n_out + j]);
            match activation {
                _ if l + 2 == sizes.len() => sum,
                Activation::Relu if sum.re < 0.0 => sum * 0.0,
                Activation::Relu | Activation::Identity => sum,
                Activation::Tanh => sum.tanh(),
            }
        });
        x = y.collect();
        at = bias + n_out;
    }
    x
}

fn duals(list: &[f32]) -> Vec<Dual64> {
    list.iter().map(|v| Dual64::from_re(f64::from(*v))).collect()
}

#[test]
fn gradients_are_those_of_dual_numbers() {
    for (activation, sizes) in [
        (Activation::Relu, vec![3, 7, 5, 2]),
        (Activation::Tanh, vec![2, 9, 3]),
        (Activation::Identity, vec![4, 4, 1]),
        (Activation::Relu, vec![3, 2]),
    ] {
        let batch = 5;
        let net = Mlp::new(&sizes, activation, Init::Torch, &mut stream(1, 0));
        let (input, d_output) = (numbers(1, batch * net.n_in()), numbers(2, batch * net.n_out()));
        let mut tape = net.tape(batch);
        let output = net.forward(&input, &mut tape).to_vec();
        let mut gradient = vec![9.0; net.params().len()];
        let mut d_input = vec![9.0; input.len()];
        net.backward(&d_output, &mut tape, &mut gradient, Some(&mut d_input));
        let mut d_input_alone = vec![9.0; input.len()];
        net.backward_input(&d_output, &mut tape, &mut d_input_alone);
        assert_eq!(d_input, d_input_alone);

        let scalar = |params: &[Dual64], input: &[Dual64]| -> Dual64 {
            let mut sum = Dual64::from_re(0.0);
            for (row, d) in input.chunks_exact(net.n_in()).zip(d_output.chunks_exact(net.n_out())) {
                for (y, d) in defined(&sizes, activation, params, row).iter().zip(d) {
                    sum += *y * f64::from(*d);
                }
            }
            sum
        };
        let (params, inputs) = (duals(net.params()), duals(&input));
        for (row, ours) in inputs.chunks_exact(net.n_in()).zip(output.chunks_exact(net.n_out())) {
            for (y, ours) in defined(&sizes, activation, &params, row).iter().zip(ours) {
                assert!((y.re - f64::from(*ours)).abs() < 1e-5, "{activation:?} output");
            }
        }
        let check = |ours: &[f32], of: &dyn Fn(usize) -> Dual64| {
            for (k, ours) in ours.iter().enumerate() {
                let exact = of(k).eps;
                // Sums of some ten products in f32.
                assert!((exact - f64::from(*ours)).abs() < 1e-5 * (1.0 + exact.abs()), "{activation:?} {k}");
            }
        };
        check(&gradient, &|k| {
            let mut params = params.clone();
            params[k].eps = 1.0;
            scalar(&params, &inputs)
        });
        check(&d_input, &|k| {
            let mut inputs = inputs.clone();
            inputs[k].eps = 1.0;
            scalar(&params, &inputs)
        });
    }
}

#[test]
fn rows_do_not_depend_on_the_batch_they_are_in() {
    let net = Mlp::new(&[3, 64, 64, 2], Activation::Relu, Init::Torch, &mut stream(4, 0));
    let input = numbers(3, 40 * 3);
    let (mut small, mut large) = (net.tape(1), net.tape(40));
    let all = net.forward(&input, &mut large).to_vec();
    for (row, expected) in input.chunks_exact(3).zip(all.chunks_exact(2)) {
        for (one, expected) in net.forward(row, &mut small).iter().zip(expected) {
            // The order of a sum may depend on the size of a product.
            assert!((one - expected).abs() < 1e-5, "{one} {expected}");
        }
    }
    assert_eq!(net.forward(&input, &mut small), &all[..], "a tape grows");
    assert_eq!(net.forward(&input, &mut large), &all[..], "the same numbers in give the same bits out");
}

#[test]
fn orthogonal_weights_are_orthogonal() {
    for (n_in, n_out, gain) in [(5, 12, 2.0f32), (12, 5, 0.5), (8, 8, 1.0)] {
        let init = Init::Orthogonal { hidden_gain: 9.0, output_gain: gain };
        let net = Mlp::new(&[n_in, n_out], Activation::Tanh, init, &mut stream(2, 0));
        let (weights, bias) = net.params().split_at(n_in * n_out);
        assert!(bias.iter().all(|b| *b == 0.0));
        let vector = |k: usize, i: usize| if n_in <= n_out { weights[k * n_out + i] } else { weights[i * n_out + k] };
        for a in 0..n_in.min(n_out) {
            for b in 0..=a {
                let product: f32 = (0..n_in.max(n_out)).map(|i| vector(a, i) * vector(b, i)).sum();
                let expected = if a == b { gain * gain } else { 0.0 };
                assert!((product - expected).abs() < 1e-5 * gain * gain, "{a} {b}: {product}");
            }
        }
    }
    let init = Init::Orthogonal { hidden_gain: 3.0, output_gain: 0.01 };
    let net = Mlp::new(&[4, 4, 4], Activation::Tanh, init, &mut stream(2, 0));
    let norm = |list: &[f32]| list.iter().map(|v| v * v).sum::<f32>().sqrt();
    assert!((norm(&net.params()[..4]) - 3.0).abs() < 1e-5);
    assert!((norm(&net.params()[20..24]) - 0.01).abs() < 1e-7);
}

#[test]
fn uniform_weights_fill_their_ranges() {
    let largest = |list: &[f32]| list.iter().fold(0.0f32, |a, v| a.max(v.abs()));
    let variance = |list: &[f32]| list.iter().map(|v| v * v).sum::<f32>() / list.len() as f32;
    let net = Mlp::new(&[50, 200], Activation::Relu, Init::He, &mut stream(3, 0));
    let (weights, bias) = net.params().split_at(50 * 200);
    let end = (6.0f32 / 50.0).sqrt();
    assert!(largest(weights) <= end && largest(weights) > 0.99 * end);
    assert!((variance(weights) / (2.0 / 50.0) - 1.0).abs() < 0.04);
    assert_eq!(largest(bias), 0.0);
    let net = Mlp::new(&[50, 200], Activation::Relu, Init::Torch, &mut stream(3, 0));
    let (weights, bias) = net.params().split_at(50 * 200);
    let end = 1.0 / 50.0f32.sqrt();
    for list in [weights, bias] {
        assert!(largest(list) <= end && largest(list) > 0.95 * end);
        assert!((variance(list) / (end * end / 3.0) - 1.0).abs() < 0.2);
    }
}

#[test]
fn adam_steps_as_its_formula_says() {
    // By hand, α = 0.1, g = 2 then −1: m = 0.2, 0.08; v = 0.004, 0.004996; m̂ = 2, 0.421052...; v̂ = 4, 2.499249...
    let mut adam = Adam::new(1, 0.1);
    let mut params = [1.0f32];
    adam.step(&mut params, &[2.0]);
    assert!((params[0] - 0.9).abs() < 1e-6, "{params:?}");
    adam.step(&mut params, &[-1.0]);
    let expected = 0.9 - 0.1 * (0.08 / 0.19) / (0.004996f64 / 0.001999).sqrt();
    assert!((f64::from(params[0]) - expected).abs() < 1e-6, "{params:?}, {expected}");

    // Many parameters, many steps, against the algorithm in f64.
    let n = 37;
    let (mut adam, mut params) = (Adam::new(n, 3e-3), numbers(5, n));
    let mut exact: Vec<f64> = params.iter().map(|p| f64::from(*p)).collect();
    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
    for t in 1..=50 {
        let gradient = numbers(100 + t, n);
        adam.step(&mut params, &gradient);
        for k in 0..n {
            let g = f64::from(gradient[k]);
            m[k] = 0.9 * m[k] + 0.1 * g;
            v[k] = 0.999 * v[k] + 0.001 * g * g;
            let (mean, square) = (m[k] / (1.0 - 0.9f64.powi(t as i32)), v[k] / (1.0 - 0.999f64.powi(t as i32)));
            exact[k] -= 3e-3 * mean / (square.sqrt() + 1e-8);
        }
    }
    for (ours, exact) in params.iter().zip(&exact) {
        assert!((f64::from(*ours) - exact).abs() < 2e-6, "{ours} {exact}");
    }

    let mut kept = Tensors::default();
    adam.save("actor", &mut kept);
    let mut other = Adam::new(n, 3e-3);
    other.load("actor", &kept).expect("the same size");
    assert_eq!(other, adam);
    assert!(Adam::new(n + 1, 3e-3).load("actor", &kept).is_err());
}

#[test]
fn long_gradients_are_shortened() {
    let mut gradient = [3.0f32, 4.0];
    assert_eq!(clip_norm(&mut gradient, 10.0), 5.0);
    assert_eq!(gradient, [3.0, 4.0]);
    assert_eq!(clip_norm(&mut gradient, 1.0), 5.0);
    assert!((gradient[0] - 0.6).abs() < 1e-6 && (gradient[1] - 0.8).abs() < 1e-6);
}

#[test]
fn networks_come_back_from_their_tensors() {
    let net = Mlp::new(&[3, 8, 2], Activation::Relu, Init::He, &mut stream(1, 0));
    let mut kept = Tensors::default();
    net.save("actor", &mut kept);
    let mut other = Mlp::new(&[3, 8, 2], Activation::Relu, Init::He, &mut stream(2, 0));
    other.load("actor", &kept).expect("the same sizes");
    assert_eq!(other, net);
    let mut smaller = Mlp::new(&[3, 7, 2], Activation::Relu, Init::He, &mut stream(2, 0));
    let error = smaller.load("actor", &kept).expect_err("other sizes").to_string();
    assert_eq!(error, "`actor/0/weight` has F32 [3, 8], expected F32 [3, 7]");
}

#[test]
fn tanh_is_right_to_its_last_bits() {
    for k in -4000..=4000 {
        let x = 0.003 * k as f32;
        let exact = f64::from(x).tanh();
        // 5e-7 is eight half units in the last place.
        assert!((f64::from(super::tanh(x)) - exact).abs() <= 5e-7 * exact.abs(), "{x}");
    }
    for (x, y) in [(f32::INFINITY, 1.0), (f32::NEG_INFINITY, -1.0), (100.0, 1.0), (0.0, 0.0)] {
        assert!((super::tanh(x) - y).abs() < 2e-7);
    }
    assert!(super::tanh(f32::NAN).is_nan());
}

#[test]
fn followers_follow_each_step() {
    let n = 3000;
    let (mut adam, mut other) = (Adam::new(n, 1e-2), Adam::new(n, 1e-2));
    let (mut params, mut followers) = (numbers(1, n), numbers(2, n));
    let (mut params_alone, mut followers_alone) = (params.clone(), followers.clone());
    for t in 0..3 {
        let gradient = numbers(10 + t, n);
        adam.step_followed(&mut params, &gradient, &mut followers, 0.25);
        other.step(&mut params_alone, &gradient);
        for (f, p) in followers_alone.iter_mut().zip(&params_alone) {
            *f += 0.25 * (p - *f);
        }
    }
    assert_eq!((params, followers), (params_alone, followers_alone));
}

#[test]
fn gradients_that_are_not_finite_are_told() {
    let mut gradient = numbers(1, 37);
    assert!(super::is_steppable(&gradient));
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        for k in [0, 20, 36] {
            let before = std::mem::replace(&mut gradient[k], bad);
            assert!(!super::is_steppable(&gradient), "{bad} at {k}");
            gradient[k] = before;
        }
    }
}
