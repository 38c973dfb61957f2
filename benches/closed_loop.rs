//! Model predictive control in closed loop: what it earns, what a step costs, and whether plants that vary are kept safe.
//!
//! `cargo bench --bench closed_loop` runs the four benchmarks of H. Tian et al., arXiv 2404.15199 (2024): the published
//! episode, in which the controller believes the estimated model and meets the actual plant, and as many episodes as
//! `TWINC_EPISODES` says (100) with the plant's start and parameters drawn within ±10 %. It prints mean rewards, failures
//! with the episode and step, plans that are not optimal, and the median processor time of a plan.

mod clock;
#[path = "../tests/control/study.rs"]
mod study;

use clock::Stopwatch;
use study::{Study, run};
use twinc::control::closed_loop::{Ending, Trace};
use twinc::control::sqp::SqpSettings;
use twinc::decide::PlanStatus;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Plans that are not optimal, and the median milliseconds of a plan after the first.
fn plans(trace: &Trace) -> (usize, f64) {
    let others = trace.moments.iter().filter(|moment| moment.status != PlanStatus::Optimal).count();
    (others, 1e3 * median(trace.moments.iter().skip(1).map(|moment| moment.seconds).collect()))
}

/// What acted in the last step of an episode, on what, and what came of it.
fn last_step(trace: &Trace) -> String {
    let n_steps = trace.moments.len();
    let (n, m) = (trace.states.len() / (n_steps + 1), trace.inputs.len() / n_steps);
    let state = |step: usize| &trace.states[step * n..(step + 1) * n];
    let (before, after) = (state(n_steps - 1), state(n_steps));
    format!("{before:.4?} under {:.4?} becomes {after:.4?}", &trace.inputs[(n_steps - 1) * m..])
}

fn main() {
    let n_episodes = std::env::var("TWINC_EPISODES").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let watch = Stopwatch::start();
    let mut now = || watch.seconds();
    for (name, published) in [("glucose", -4.5497), ("biglucose", -7.6085), ("cartpole", -1.5414), ("cstr", -8.78)] {
        let study = Study::new(&format!("examples/rl_acr/{name}.twin"), "Mpc");
        let trace = run(&mut study.closed_loop(SqpSettings::default()), 0, &mut now);
        let (others, milliseconds) = plans(&trace);
        println!(
            "{name:10} {:?}: mean reward {:9.4} (published {published:7.4}), {others} of {} plans not optimal, {milliseconds:.3} ms a plan",
            trace.ending,
            trace.mean_reward(),
            trace.moments.len(),
        );
        let study = study.varied(0.1);
        let mut closed_loop = study.closed_loop(SqpSettings::default());
        let (mut failures, mut rewards, mut others, mut fallbacks, mut times) = (0, Vec::new(), 0, 0, Vec::new());
        for episode in 1..=n_episodes {
            let trace = run(&mut closed_loop, episode, &mut now);
            if trace.ending == Ending::Failed {
                failures += 1;
                println!("  episode {episode} fails at step {}: {}", trace.moments.len(), trace.message);
                println!("    {}", last_step(&trace));
            } else {
                rewards.push(trace.mean_reward());
            }
            let (other, milliseconds) = plans(&trace);
            others += other;
            fallbacks += trace.n_fallbacks();
            times.push(milliseconds);
        }
        let worst = rewards.iter().copied().fold(f64::INFINITY, f64::min);
        println!(
            "  {n_episodes} episodes within 10 %: {failures} failures; mean reward {:.4} in the median, {worst:.4} at worst; {others} plans not optimal, {fallbacks} not used; {:.3} ms a plan",
            median(rewards),
            median(times),
        );
    }
}
