//! Events at known times in plans: the planned course is the plant's, and derivatives pass through the jumps.

use twinc::control::assemble::Assembly;
use twinc::control::plant::Plant;
use twinc::random::stream;
use twinc::system::Curvature;
use twinc::system::stages::{Instant, Stages};

use super::baselines::compile;

/// Doses on sampling instants (every 0.2 s), off them (every 0.17 s from 0.03 s, several in some steps), and at the start.
fn text(via: &str) -> String {
    format!(
        "model Dosed {{
  time [s]
  input u [1] = 0.3 in -1 .. 1
  param k [1/s] = 0.8
  state {{ x [1] = 0.7; y [1] = 0.2 }}
  x' = (-x^2 + u*y)/1 [s]
  y' = -k*y + sin(time/1 [s])*x/1 [s]
  every 0.2 [s] until 0.6 [s] {{ x += 0.5 }}
  every 0.17 [s] from 0.03 [s] {{ y += 0.1; x *= 0.9 }}
  at 0 [s] {{ y += 0.25 }}
}}
task T of Dosed {{
  step 0.1 [s] via {via}
  episode 1 [s]
  cost x^2 + y^2 + u^2
}}
study S of T {{ algorithm sqp }}"
    )
}

fn followed(assembly: &Assembly, tolerance: f64) {
    let functions = assembly.plant_functions().expect("machine code");
    let mut plant = Plant::new(assembly.task(), assembly.kernels(), &functions, Vec::new()).expect("a step");
    plant.begin(&mut stream(1, 0));
    let mut stages = assembly.stages(10, Curvature::Exact).expect("a problem");
    let mut x = plant.state().to_vec();
    let mut root = x.clone();
    let start = Instant { step: 0, time: 0.0, state: &x, previous: &[0.0], forecast: &[] };
    stages.arrive(&start, &mut root);
    let mut next = root.clone();
    for k in 1..=10 {
        let u = [(k as f64).sin()];
        stages.step(k, &x, &u, &mut next).expect("a step");
        plant.act(&u);
        for (planned, actual) in next.iter().zip(plant.state()) {
            assert!((planned - actual).abs() < tolerance, "step {k}: {next:?} {:?}", plant.state());
        }
        x.copy_from_slice(&next);
    }
    // A plan from the middle of an episode knows what has happened.
    let before = Instant { step: 4, time: 0.4, state: &[0.1, 0.2], previous: &[0.0], forecast: &[] };
    stages.arrive(&before, &mut root);
    stages.step(1, &[0.1, 0.2], &[0.0], &mut next).expect("a step");
    let mut late = assembly.stages(10, Curvature::Exact).expect("a problem");
    let mut later = [0.0; 2];
    late.step(5, &[0.1, 0.2], &[0.0], &mut later).expect("a step");
    assert!(next.iter().zip(later).all(|(a, b)| (a - b).abs() < 1e-14), "{next:?} {later:?}");
}

#[test]
fn the_planned_course_is_the_plants() {
    // Off the grid of the substeps, what happens waits for the next of them in the plan and in the plant.
    followed(&compile(&text("rk4 times 3")).0, 1e-13);
    followed(&compile(&text("radau5 times 8")).0, 1e-11);
    // By error control both are cut where it happens.
    followed(&compile(&text("tsit5")).0, 2e-6);
}

/// First derivatives against central differences of the step, second ones against those of the first.
#[test]
fn derivatives_pass_through_events() {
    for via in ["rk4 times 2", "radau3", "euler times 3", "tsit5"] {
        let (assembly, _) = compile(&text(via));
        let mut stages = assembly.stages(10, Curvature::Exact).expect("a problem");
        assert!(stages.has_curvature());
        let z = [0.6, 0.4, -0.3];
        let (mut next, mut unused) = ([0.0; 2], [0.0; 2]);
        for node in 1..=10 {
            let mut jacobian = [0.0; 6];
            stages.step_derivatives(node, &z[..2], &z[2..], &mut next, &mut jacobian).expect("a step");
            let costate = [0.7, -1.3];
            let mut hessian = [0.0; 9];
            stages.add_step_curvature(node, &z[..2], &z[2..], &costate, &mut hessian).expect("a step");
            for j in 0..3 {
                let h = 1e-5;
                let (mut up, mut down) = (z, z);
                up[j] += h;
                down[j] -= h;
                let (mut high, mut low) = ([0.0; 2], [0.0; 2]);
                stages.step(node, &up[..2], &up[2..], &mut high).expect("a step");
                stages.step(node, &down[..2], &down[2..], &mut low).expect("a step");
                for i in 0..2 {
                    let difference = (high[i] - low[i]) / (2.0 * h);
                    assert!((jacobian[j * 2 + i] - difference).abs() < 1e-8, "{via} {node}: {jacobian:?}");
                }
                let (mut of_up, mut of_down) = ([0.0; 6], [0.0; 6]);
                stages.step_derivatives(node, &up[..2], &up[2..], &mut unused, &mut of_up).expect("a step");
                stages.step_derivatives(node, &down[..2], &down[2..], &mut unused, &mut of_down).expect("a step");
                for i in 0..3 {
                    let along = |of: &[f64; 6]| costate[0] * of[i * 2] + costate[1] * of[i * 2 + 1];
                    let difference = (along(&of_up) - along(&of_down)) / (2.0 * h);
                    assert!(
                        (hessian[j * 3 + i] - difference).abs() < 1e-8,
                        "{via} {node}: {hessian:?} {i} {j} {difference}"
                    );
                }
            }
        }
    }
}
