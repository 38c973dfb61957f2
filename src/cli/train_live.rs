//! The live line of a training: return, failures, weight of the controller, steps a second, time left.

use super::console::Console;
use super::progress::Progress;
use crate::export::table::number;
use crate::learn::train::{Limits, Record, Tally};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks at the line.
const INTERVAL: Duration = Duration::from_millis(125);
/// The name under which learners tell the mean weight of the controller.
pub const WEIGHT: &str = "focus";

/// Shared by all trainings of a run.
pub struct Live {
    progress: Progress,
    says_time_left: bool,
    is_in_episodes: bool,
    n_pieces: u64,
    begun: Instant,
    state: Mutex<State>,
}

/// How it stands.
struct State {
    /// Of each training: episodes or steps, as the budget counts, now and when it was taken up.
    pieces: Vec<[u64; 2]>,
    /// Steps, likewise.
    steps: Vec<[u64; 2]>,
    n_failed: Vec<u64>,
    last: String,
    shown: Instant,
}

impl Live {
    /// For so many trainings of this length.
    pub fn new(console: &Console, limits: &Limits, n_jobs: usize) -> Live {
        let (is_in_episodes, each) = match (limits.episodes, limits.steps) {
            (Some(n), _) => (true, n),
            (None, n) => (false, n.unwrap_or(0)),
        };
        let n_pieces = each * n_jobs as u64;
        let noun = if is_in_episodes { "episodes" } else { "steps" };
        let state = State {
            pieces: vec![[0; 2]; n_jobs],
            steps: vec![[0; 2]; n_jobs],
            n_failed: vec![0; n_jobs],
            last: String::new(),
            shown: Instant::now(),
        };
        Live {
            progress: Progress::new(console, noun, n_pieces as usize),
            says_time_left: !console.is_live(),
            is_in_episodes,
            n_pieces,
            begun: Instant::now(),
            state: Mutex::new(state),
        }
    }

    fn with(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if state.shown.elapsed() < INTERVAL {
            return;
        }
        state.shown = Instant::now();
        let now = |list: &[[u64; 2]]| list.iter().map(|one| one[0]).sum::<u64>();
        let gone = |list: &[[u64; 2]]| list.iter().map(|one| one[0].saturating_sub(one[1])).sum::<u64>();
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut words = vec![state.last.clone(), format!("{} failed", state.n_failed.iter().sum::<u64>())];
        words.push(format!("{:.0} steps/s", gone(&state.steps) as f64 / seconds.max(1e-9)));
        let (done, pieces) = (now(&state.pieces), gone(&state.pieces));
        if self.says_time_left && pieces > 0 {
            let left = seconds * self.n_pieces.saturating_sub(done) as f64 / pieces as f64;
            words.push(format!("{} left", span(left)));
        }
        words.retain(|word| !word.is_empty());
        self.progress.update(done as usize, &words.join(", "));
    }

    /// A training begins, or is taken up where it stood.
    pub fn begins(&self, job: usize, tally: &Tally) {
        self.with(|state| {
            let pieces = if self.is_in_episodes { tally.n_episodes } else { tally.n_steps };
            state.pieces[job] = [pieces; 2];
            state.steps[job] = [tally.n_steps; 2];
            state.n_failed[job] = tally.n_failed;
        });
    }

    /// A training that ended before.
    pub fn ended_before(&self, job: usize, tally: &Tally) {
        self.begins(job, tally);
        self.ends(job);
    }

    /// Nothing more will come of it.
    pub fn ends(&self, job: usize) {
        self.with(|state| {
            let each = self.n_pieces / state.pieces.len().max(1) as u64;
            state.pieces[job][0] = each;
        });
    }

    /// An episode ended.
    pub fn episode(&self, job: usize, record: &Record) {
        self.with(|state| {
            if self.is_in_episodes {
                state.pieces[job][0] = record.episode.index + 1;
            }
            state.n_failed[job] = record.n_failed;
            let short = |value: f64| format!("{value:.3e}").parse::<f64>().map_or_else(|_| "-".to_string(), number);
            let weight = record.measured.iter().find(|(name, _)| name == WEIGHT);
            let weight = weight.map_or(String::new(), |(_, value)| format!(", focus {value:.3}"));
            state.last = format!("return {}{weight}", short(record.episode.total));
        });
    }

    /// So many steps were made.
    pub fn steps(&self, job: usize, n_steps: u64) {
        self.with(|state| {
            state.steps[job][0] = n_steps;
            if !self.is_in_episodes {
                state.pieces[job][0] = n_steps;
            }
        });
    }

    /// Takes the line away.
    pub fn end(&self) {
        self.progress.end();
    }
}

/// Seconds for people.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
