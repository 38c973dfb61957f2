//! Directions divided among threads: the same bits as on one, whatever the method, the division and the events.

use super::adjoint::{dosed, thermostat};
use super::{assert_success, run};
use crate::models::subject;
use twinc::integrate::{
    Blocks, Direction, Forcing, Integrator, Method, Observer, Options, Outcome, Problem, ProblemError, Sample, Start,
    Status,
};
use twinc::system::System;
use twinc::system::closure::ClosureSystem;

/// What one block is told.
#[derive(Default)]
struct Notes {
    states: Vec<Vec<f64>>,
    sensitivities: Vec<Vec<f64>>,
    events: Vec<(f64, Vec<usize>)>,
}

impl Observer for Notes {
    fn sample(&mut self, sample: Sample<'_>) {
        assert_eq!(sample.idx, self.states.len(), "samples come in order");
        self.states.push(sample.at.x.to_vec());
        self.sensitivities.push(sample.sensitivities.to_vec());
    }

    fn event(&mut self, t: f64, which: &[usize]) {
        self.events.push((t, which.to_vec()));
    }
}

/// Solves in at most `n_blocks` blocks; also the number of them.
fn in_blocks(
    system: &dyn System,
    options: &Options,
    n_blocks: usize,
    problem: &Problem<'_>,
    samples: &[f64],
) -> (Outcome, Vec<Notes>) {
    let mut blocks = Blocks::new(system, options, n_blocks).expect("valid options");
    let mut notes: Vec<Notes> = blocks.ranges(problem.directions.len()).iter().map(|_| Notes::default()).collect();
    let outcome = blocks.solve(problem, samples, &mut notes).expect("a valid problem");
    (outcome, notes)
}

/// Asserts that blocks give the bits of an undivided solve, in the same number of steps.
fn assert_same_bits(system: &dyn System, options: &Options, problem: &Problem<'_>, samples: &[f64], counts: &[usize]) {
    let mut whole = Notes::default();
    let mut integrator = Integrator::new(system, options.clone()).expect("valid options");
    let outcome = integrator.solve(problem, samples, &mut whole).expect("a valid problem");
    assert_success(&outcome);
    assert!(outcome.statistics.steps > 10);
    for &n_blocks in counts {
        let (found, notes) = in_blocks(system, options, n_blocks, problem, samples);
        assert_success(&found);
        assert_eq!(notes.len(), n_blocks, "all blocks are used");
        let (a, b) = (outcome.statistics, found.statistics);
        assert_eq!((a.steps, a.rejected, a.events), (b.steps, b.rejected, b.events));
        for note in &notes {
            assert_eq!(note.states, whole.states, "{:?}, {n_blocks} blocks", options.method);
            assert_eq!(note.events, whole.events);
        }
        for (k, truth) in whole.sensitivities.iter().enumerate() {
            let joined: Vec<f64> = notes.iter().flat_map(|note| note.sensitivities[k].iter().copied()).collect();
            assert_eq!(&joined, truth, "{:?}, {n_blocks} blocks, sample {k}", options.method);
        }
    }
}

#[test]
fn every_method_gives_the_same_bits_in_any_number_of_blocks() {
    let kernels = subject::shipped_kernels("pollution", "Pollution");
    let p: Vec<f64> = kernels.model().params.iter().map(|p| p.value).collect();
    let n_states = kernels.dims().n_states;
    let mut directions: Vec<Direction> = (0..p.len()).map(Direction::parameter).collect();
    directions.extend((0..n_states).map(Direction::start_value));
    directions.iter_mut().zip(&p).for_each(|(direction, p)| direction.scale = p.abs().max(1e-3));
    let forcing = Forcing::default();
    for (method, t1) in [(Method::Tsit5, 1e-7), (Method::Rodas5p, 60.0), (Method::Bdf, 60.0), (Method::Auto, 60.0)] {
        let directions = &directions;
        let problem =
            Problem { t0: 0.0, t1, start: Start::Model, p: &p, forcing: &forcing, directions, resumes: false };
        let samples: Vec<f64> = (1..=7).map(|k| t1 * f64::from(k) / 7.0).collect();
        assert_same_bits(&kernels, &Options { method, ..Options::default() }, &problem, &samples, &[1, 2, 3, 4]);
    }
}

/// Twenty directions in the space of parameters and the one start value.
fn combined(n_params: usize) -> Vec<Direction> {
    let direction = |j: usize| Direction {
        params: vec![(j % n_params, 1.0 + 0.1 * j as f64), ((3 * j + 1) % n_params, -0.7)],
        start: vec![(0, 0.05 * j as f64)],
        scale: 1.0,
    };
    (0..20).map(direction).collect()
}

#[test]
fn blocks_meet_events_at_the_same_instants() {
    let forcing = Forcing::default();
    for (system, p, t1) in
        [(dosed(), &[1.3, 0.7, 0.8, 0.4, 0.9][..], 4.0), (thermostat(), &[0.4, 2.0, 1.0, 1.5][..], 3.0)]
    {
        let directions = &combined(p.len());
        let start = Start::Given(&[0.1]);
        let problem = Problem { t0: 0.0, t1, start, p, forcing: &forcing, directions, resumes: false };
        for method in [Method::Tsit5, Method::Rodas5p, Method::Auto] {
            let options = Options { method, ..Options::default() };
            assert_same_bits(&system, &options, &problem, &[0.5, 0.8, 1.7, 2.9], &[2]);
        }
        let options = Options { method: Method::Rk4, fixed_step: Some(0.02), ..Options::default() };
        assert_same_bits(&system, &options, &problem, &[0.5, 0.8, 1.7, 2.9], &[2]);
    }
}

#[test]
fn a_direction_that_breaks_down_stops_all_blocks_and_names_its_state() {
    // x' = 0, y' = y², whose sensitivity grows with the square of y; in Euler steps without control it overflows first.
    let system = ClosureSystem::new(2, 1, |at, dx| dx.copy_from_slice(&[0.0, at.p[0] * at.x[1]]))
        .jacobian(twinc::linalg::CscPattern::from_entries(2, 2, [(1, 1)]), |at, values| values[0] = at.p[0])
        .autonomous();
    let forcing = Forcing::default();
    let mut directions = vec![Direction::start_value(0); 16];
    directions[13].start = vec![(1, 1e300)];
    let problem = Problem {
        t0: 0.0,
        t1: 40.0,
        start: Start::Given(&[1.0, 1.0]),
        p: &[1.0],
        forcing: &forcing,
        directions: &directions,
        resumes: false,
    };
    let options = Options { method: Method::Euler, fixed_step: Some(0.5), ..Options::default() };
    let (whole, _, _) = run(&system, options.clone(), &problem, &[]);
    assert!(matches!(whole.status, Status::NonFinite { state: 1, .. }), "{:?}", whole.status);
    for _ in 0..20 {
        let (found, _) = in_blocks(&system, &options, 2, &problem, &[]);
        assert_eq!((found.status, found.t), (whole.status, whole.t));
    }
    // And with control, where no step is short enough.
    let options = Options { method: Method::Tsit5, ..Options::default() };
    let mut endless = directions.clone();
    endless[13].start = vec![(1, f64::INFINITY)];
    let problem = Problem { directions: &endless, ..problem };
    let (whole, _, _) = run(&system, options.clone(), &problem, &[]);
    let (found, _) = in_blocks(&system, &options, 2, &problem, &[]);
    assert_eq!((found.status, found.t), (whole.status, whole.t));
}

#[test]
fn a_mistake_is_told_once() {
    let (system, forcing) = (dosed(), Forcing::default());
    let directions = combined(5);
    let start = Start::Given(&[0.1, 0.2]);
    let p = [1.3, 0.7, 0.8, 0.4, 0.9];
    let problem =
        Problem { t0: 0.0, t1: 1.0, start, p: &p, forcing: &forcing, directions: &directions, resumes: false };
    let mut blocks = Blocks::new(&system, &Options::default(), 2).expect("valid options");
    let mut two = [Notes::default(), Notes::default()];
    let error = blocks.solve(&problem, &[], &mut two).unwrap_err();
    assert!(matches!(error, ProblemError::Length { what: "the start vector", .. }), "{error}");
    let error = blocks.solve(&problem, &[], &mut two[..1]).unwrap_err();
    assert!(matches!(error, ProblemError::Length { what: "the list of observers", .. }), "{error}");
}

#[test]
fn few_directions_and_small_systems_stay_together() {
    assert_eq!(Blocks::advisable(10, 7, 4), 1);
    assert_eq!(Blocks::advisable(500, 8, 4), 1);
    assert_eq!(Blocks::advisable(500, 1000, 4), 4);
    let system = ClosureSystem::new(1, 1, |_, dx| dx[0] = 0.0);
    let blocks = Blocks::new(&system, &Options::default(), 4).expect("options");
    for m in [0, 1, 15, 16, 17, 34, 1001] {
        let ranges = blocks.ranges(m);
        assert_eq!((ranges[0].start, ranges.last().map(|r| r.end)), (0, Some(m)));
        assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start && pair[1].start % 4 == 0));
        assert!(ranges.len() == 1 || ranges.iter().all(|range| range.len() >= 5), "{ranges:?}");
    }
}
