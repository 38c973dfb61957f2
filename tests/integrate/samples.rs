//! No result depends on how many output points are asked for: steps do not know of them.

use super::{assert_success, run};
use twinc::integrate::{Direction, Forcing, Method, Options, Problem, Signal, Start};
use twinc::system::closure::ClosureSystem;
use twinc::system::{Event, Trigger};

/// Van der Pol's equation with a force, a kick at t = 2 and a threshold, so that breakpoints of all kinds occur.
fn driven() -> ClosureSystem {
    ClosureSystem::new(2, 1, |at, dx| {
        dx[0] = at.x[1];
        dx[1] = at.p[0] * (1.0 - at.x[0] * at.x[0]) * at.x[1] - at.x[0] + at.u[0];
    })
    .forcing(1, 0)
    .times(1, |_, times| times[0] = 2.0)
    .roots(1, |at, g| g[0] = at.x[0] - 1.5)
    .event(Event { trigger: Trigger::At { time_idx: 0 }, has_reset: true })
    .event(Event { trigger: Trigger::Rising { root_idx: 0 }, has_reset: true })
    .reset(|which, at, x| {
        x.copy_from_slice(at.x);
        x[1] += if which == [0] { 0.5 } else { -0.25 };
        Ok(())
    })
}

#[test]
fn no_solver_result_depends_on_the_number_of_output_points() {
    let system = driven();
    let held = Signal::Held { times: vec![0.0, 1.0, 4.5], values: vec![0.2, -0.3, 0.1] };
    let forcing = Forcing { inputs: vec![held], disturbances: Vec::new() };
    let directions = [Direction::parameter(0), Direction::start_value(1)];
    let few = [0.0, 3.3, 7.0];
    // All of `few` are among them.
    let mut many: Vec<f64> = (0..2000).map(|k| 0.0035 * k as f64).chain(few).collect();
    many.sort_by(f64::total_cmp);
    many.dedup();
    for method in Method::ALL {
        for n_directions in [0, 2] {
            let problem = Problem {
                t0: 0.0,
                t1: 7.0,
                start: Start::Given(&[1.0, 0.0]),
                p: &[3.0],
                forcing: &forcing,
                directions: &directions[..n_directions],
                resumes: false,
            };
            let fixed_step = method.is_grid().then_some(0.01);
            let options = || Options { method, fixed_step, rtol: 1e-5, ..Options::default() };
            let (outcome, x, s) = run(&system, options(), &problem, &few);
            let (same, x_many, s_many) = run(&system, options(), &problem, &many);
            let (alone, ..) = run(&system, options(), &problem, &[]);
            assert_success(&outcome);
            let name = method.name();
            assert_eq!((outcome, outcome), (same, alone), "{name}: the work is the same");
            for (k, t) in few.iter().enumerate() {
                let place = many.iter().position(|time| time == t).expect("among them");
                assert_eq!((&x[k], &s[k]), (&x_many[place], &s_many[place]), "{name} at {t}");
            }
        }
    }
}
