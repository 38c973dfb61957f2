//! The classic tasks against Gymnasium itself, where the Python of `TWINC_PYTHON` (else `python3`) has it.

use super::of_file;
use std::process::Command;

/// What `gym.py` prints: one line a step, behind a head line for each episode.
fn recorded(environment: &str) -> Option<Vec<Vec<Vec<f64>>>> {
    let python = std::env::var_os("TWINC_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python).arg("tests/environments/gym.py").arg(environment).output().ok();
    let output = output.filter(|output| output.status.success());
    let Some(output) = output else {
        eprintln!("skipped: no Python with gymnasium (set TWINC_PYTHON)");
        return None;
    };
    let text = String::from_utf8(output.stdout).expect("numbers");
    let mut episodes: Vec<Vec<Vec<f64>>> = Vec::new();
    for line in text.lines() {
        if line == "episode" {
            episodes.push(Vec::new());
        } else if let Some(episode) = episodes.last_mut() {
            episode.push(line.split_whitespace().map(|n| n.parse().expect("a number")).collect());
        }
    }
    assert!(episodes.len() >= 10, "{} episodes", episodes.len());
    Some(episodes)
}

/// Each line: state before, action, state after, observation, reward, terminated, truncated. Returns the largest distances of
/// states, observations and rewards, step by step or with the states carried on from the episode's first over so many steps: a
/// pole magnifies what is off by a factor of e in some 12 steps.
fn compared(file: &str, episodes: &[Vec<Vec<f64>>], carried: Option<usize>) -> (f64, f64, f64) {
    let prepared = of_file(file);
    let mut plant = prepared.plant().expect("a step");
    let (n, n_observed) = (plant.state().len(), plant.n_observed());
    let mut observation = vec![0.0; n_observed];
    let mut worst = (0.0_f64, 0.0_f64, 0.0_f64);
    for (e, episode) in episodes.iter().enumerate() {
        plant.begin(&mut twinc::random::stream(0, e as u64));
        for (k, line) in episode.iter().enumerate().take(carried.unwrap_or(usize::MAX)) {
            let (before, rest) = line.split_at(n);
            let (action, rest) = rest.split_at(1);
            let (after, rest) = rest.split_at(n);
            let (seen, rest) = rest.split_at(n_observed);
            if k == 0 || carried.is_none() {
                plant.set_state(before);
                assert_eq!(plant.index(), k);
            }
            let step = plant.act(action);
            plant.observe(&mut observation);
            let far = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            worst.0 = worst.0.max(far(plant.state(), after));
            worst.1 = worst.1.max(far(&observation, seen));
            worst.2 = worst.2.max((step.reward - rest[0]).abs());
            let flags = (f64::from(u8::from(step.terminated)), f64::from(u8::from(step.truncated)));
            assert_eq!(flags, (rest[1], rest[2]), "episode {e}, step {k}");
        }
    }
    println!(
        "{file} carried {carried:?}: states {:.1e}, observations {:.1e}, rewards {:.1e}",
        worst.0, worst.1, worst.2
    );
    worst
}

#[test]
fn cart_pole_is_that_of_gymnasium() {
    let Some(episodes) = recorded("CartPole-v1") else { return };
    assert!(episodes.iter().any(|episode| episode.len() == 500), "none is balanced to its end");
    // Gymnasium observes in single precision.
    let (states, observations, rewards) = compared("examples/gym/cartpole.twin", &episodes, None);
    assert!(states < 1e-13 && observations < 1e-6 && rewards == 0.0);
    let (states, observations, rewards) = compared("examples/gym/cartpole.twin", &episodes, Some(100));
    assert!(states < 1e-8 && observations < 1e-6 && rewards == 0.0);
}

#[test]
fn pendulum_is_that_of_gymnasium() {
    let Some(episodes) = recorded("Pendulum-v1") else { return };
    let (states, observations, rewards) = compared("examples/gym/pendulum.twin", &episodes, None);
    assert!(states < 1e-13 && observations < 1e-6 && rewards < 1e-12);
    let (states, observations, rewards) = compared("examples/gym/pendulum.twin", &episodes, Some(200));
    assert!(states < 1e-8 && observations < 1e-6 && rewards < 1e-7);
}
