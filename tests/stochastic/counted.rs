//! The exact simulation against exact distributions, by each way of finding the next reaction.

use super::*;

const SELECTIONS: [Selection; 3] = [Selection::Direct, Selection::NextReaction, Selection::Composition];

fn exactly(selection: Selection) -> StochasticOptions {
    StochasticOptions { selection, ..StochasticOptions::new(StochasticMethod::Ssa) }
}

/// Immigration and death from n0: the survivors are binomial, those that came and stayed Poisson.
#[test]
fn birth_and_death_has_its_transient_moments() {
    let model = counted(
        "model M { time [s]; species A [items] = 40; param { k [items/s] = 5; d [1/s] = 0.2 }
         reaction { 0 -> A @ k; A -> 0 @ d } }",
    );
    let samples = [1.0, 4.0, 20.0];
    for selection in SELECTIONS {
        let paths = model.paths(exactly(selection), "A", &samples, 4000);
        for (row, t) in samples.iter().enumerate() {
            let stays = (-0.2 * t).exp();
            let (mean, variance) =
                (40.0 * stays + 25.0 * (1.0 - stays), 40.0 * stays * (1.0 - stays) + 25.0 * (1.0 - stays));
            let values: Vec<f64> = paths.iter().map(|path| path[row]).collect();
            assert_moments(&values, mean, variance, &format!("{selection:?} at {t}"));
        }
    }
}

#[test]
fn birth_and_death_ends_with_a_poisson_distribution() {
    let model = counted("model M { species A = 0; param { k = 6; d = 1 }; reaction { 0 -> A @ k; A -> 0 @ d } }");
    for selection in SELECTIONS {
        let values: Vec<f64> = model.paths(exactly(selection), "A", &[25.0], 6000).iter().map(|p| p[0]).collect();
        let poisson = |k: usize| (1..=k).fold((-6.0_f64).exp(), |p, j| p * 6.0 / j as f64);
        assert_distribution(&values, poisson, 60, &format!("{selection:?}"));
    }
}

/// Each of N molecules is in B with probability kf/(kf + kr) (1 − exp(−(kf + kr) t)), on its own.
#[test]
fn reversible_isomerisation_is_binomial() {
    let model = counted(
        "model M { species { A = 20; B = 0 }; param { f = 1; b = 0.5 }; reaction A <-> B @ f, b; conserved A + B }",
    );
    for selection in SELECTIONS {
        let values: Vec<f64> = model.paths(exactly(selection), "B", &[0.7], 6000).iter().map(|p| p[0]).collect();
        let q = 1.0 / 1.5 * (1.0 - (-1.5_f64 * 0.7).exp());
        let binomial = |k: usize| {
            let choose = (0..k).fold(1.0, |c, j| c * (20 - j) as f64 / (j + 1) as f64);
            choose * f64::powi(q, k as i32) * f64::powi(1.0 - q, 20 - k as i32)
        };
        assert_distribution(&values, binomial, 21, &format!("{selection:?}"));
    }
}

/// `2 A -> B @ k` has the propensity k n (n − 1); the master equation over the number of B is a chain, and its solution an
/// exponential of a small matrix.
#[test]
fn dimerisation_follows_the_master_equation() {
    let (n, k, t) = (13_usize, 0.05, 0.8);
    let rate = |b: usize| {
        let a = (n - 2 * b) as f64;
        k * a * (a - 1.0)
    };
    let size = n / 2 + 1;
    let mut generator = nalgebra::DMatrix::<f64>::zeros(size, size);
    for b in 0..size {
        generator[(b, b)] -= rate(b);
        if b + 1 < size {
            generator[(b + 1, b)] += rate(b);
        }
    }
    let exact = (generator * t).exp().column(0).into_owned();
    let model = counted("model M { species { A = 13; B = 0 }; param k = 0.05; reaction 2 A -> B @ k }");
    for selection in SELECTIONS {
        let values: Vec<f64> = model.paths(exactly(selection), "B", &[t], 8000).iter().map(|p| p[0]).collect();
        assert_distribution(&values, |b| exact[b], size, &format!("{selection:?}"));
    }
    // A hidden half would be seen.
    let values: Vec<f64> = model.paths(exactly(Selection::Direct), "B", &[t], 8000).iter().map(|p| p[0]).collect();
    let mean: f64 = (0..size).map(|b| b as f64 * exact[b]).sum();
    assert!((moments(&values).0 - mean).abs() < 0.05, "{mean}");
}

/// A two-dimensional chain: enzyme and substrate, against the exponential of its whole generator.
#[test]
fn michaelis_menten_follows_the_master_equation() {
    let (e0, s0, t) = (3_usize, 6_usize, 1.5);
    let (kon, koff, kcat) = (0.4, 0.6, 0.9);
    // States: complexes c in 0 ..= e0, products p in 0 ..= s0, with c + p <= s0.
    let states: Vec<(usize, usize)> =
        (0..=e0).flat_map(|c| (0..=s0).map(move |p| (c, p))).filter(|(c, p)| c + p <= s0).collect();
    let place = |state: (usize, usize)| states.iter().position(|s| *s == state);
    let mut generator = nalgebra::DMatrix::<f64>::zeros(states.len(), states.len());
    for (from, &(c, p)) in states.iter().enumerate() {
        let substrate = (s0 - c - p) as f64;
        let moves = [
            (Some((c + 1, p)), kon * (e0 - c) as f64 * substrate),
            (c.checked_sub(1).map(|c| (c, p)), koff * c as f64),
            (c.checked_sub(1).map(|c| (c, p + 1)), kcat * c as f64),
        ];
        for (to, rate) in moves {
            if rate > 0.0 {
                let to = to.and_then(place).expect("a state");
                generator[(to, from)] += rate;
                generator[(from, from)] -= rate;
            }
        }
    }
    let start = place((0, 0)).expect("the start");
    let exact = (generator * t).exp().column(start).into_owned();
    let product = |p: usize| states.iter().zip(exact.iter()).filter(|(s, _)| s.1 == p).map(|(_, q)| q).sum::<f64>();
    let model = counted(
        "model M { species { E = 3; S = 6; ES = 0; P = 0 }; param { kon = 0.4; koff = 0.6; kcat = 0.9 }
         reaction { E + S <-> ES @ kon, koff; ES -> E + P @ kcat }; conserved E + ES }",
    );
    for selection in SELECTIONS {
        let values: Vec<f64> = model.paths(exactly(selection), "P", &[t], 6000).iter().map(|p| p[0]).collect();
        assert_distribution(&values, product, s0 + 1, &format!("{selection:?}"));
    }
}

/// A ring of many species, with rates over two orders: all are the same Markov chain.
#[test]
fn all_selections_follow_a_large_network() {
    let mut text = String::from("model M { species { ");
    for k in 0..120 {
        text.push_str(&format!("S{k} = {}; ", if k == 0 { 300 } else { 0 }));
    }
    text.push_str("}\n reaction {\n");
    for k in 0..120 {
        let rate = 10.0_f64.powi(k % 3);
        text.push_str(&format!("S{k} -> S{} @ {rate}\n S{} -> S{k} @ {}\n", (k + 1) % 120, (k + 1) % 120, 0.5 * rate));
    }
    text.push_str("} }");
    let model = counted(&text);
    // First order: each molecule moves on its own, so a count is binomial with the solution of the rate equations.
    let mut generator = nalgebra::DMatrix::<f64>::zeros(120, 120);
    for k in 0..120 {
        let (rate, next) = (10.0_f64.powi((k % 3) as i32), (k + 1) % 120);
        generator[(next, k)] += rate;
        generator[(k, k)] -= rate;
        generator[(k, next)] += 0.5 * rate;
        generator[(next, next)] -= 0.5 * rate;
    }
    let exact = (generator * 0.4).exp();
    let q = exact[(1, 0)];
    for selection in SELECTIONS {
        let values: Vec<f64> = model.paths(exactly(selection), "S1", &[0.4], 150).iter().map(|p| p[0]).collect();
        assert_moments(&values, 300.0 * q, 300.0 * q * (1.0 - q), &format!("{selection:?}"));
    }
}

#[test]
fn the_same_seed_gives_the_same_path_however_often_it_is_looked_at() {
    let model = counted(
        "model M { species { A = 400; B = 0 }; param { k = 0.01; d = 1; g = 100 }
         reaction { 2 A -> B @ k; B -> 0 @ d; 0 -> A @ g } }",
    );
    let few = [5.0, 10.0];
    let many: Vec<f64> = (0..=1000).map(|k| f64::from(k) * 0.01).collect();
    for method in [StochasticMethod::Ssa, StochasticMethod::TauLeap, StochasticMethod::Cle] {
        for selection in SELECTIONS {
            let options = StochasticOptions { selection, step: Some(0.013), ..StochasticOptions::new(method) };
            let (mut a, mut b) = (model.solver_with(options.clone()), model.solver_with(options));
            let (_, short) = path(&mut a, model.kernels.model(), &few, 3, 5);
            path(&mut b, model.kernels.model(), &few, 99, 0);
            let (_, long) = path(&mut b, model.kernels.model(), &many, 3, 5);
            assert_eq!(short[1], long[1000], "{method:?} {selection:?}");
            if method == StochasticMethod::Ssa {
                assert_eq!(short[0], long[500], "{selection:?}");
            }
            let (_, other) = path(&mut a, model.kernels.model(), &few, 3, 6);
            assert_ne!(short, other, "{method:?} {selection:?}");
        }
    }
}

#[test]
fn a_path_of_nothing_left_goes_to_its_end() {
    let model = counted("model M { species { A = 5; B = 0 }; param k = 10; reaction A -> B @ k }");
    for selection in SELECTIONS {
        let (outcome, seen) =
            path(&mut model.solver(StochasticMethod::Ssa, selection), model.kernels.model(), &[0.0, 100.0, 1e6], 1, 0);
        assert!(outcome.status.is_success());
        assert_eq!((outcome.statistics.steps, &seen[0][..], &seen[2][..]), (5, &[5.0, 0.0][..], &[0.0, 5.0][..]));
    }
}
