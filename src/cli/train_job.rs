//! One training: a method with a seed, from its beginning or its checkpoint to its end, and what came of it.
//!
//! **Invariant.** A training depends on its seed, the task and its settings alone; neither on the others that run beside it
//! nor on when checkpoints were kept. Wall-clock facts go to the live line, to `timing.jsonl` and to event files.

use super::failure::Failure;
use super::interrupt;
use super::train_files::{Checkpoint, JobFolder};
use super::train_ground::{CONTROLLER, Grounds};
use super::train_live::Live;
use super::train_methods::Method;
use super::train_policy::{self, Origin};
use crate::learn::album::{Album, Observed, Shared};
use crate::learn::learner::{LearnError, Learner};
use crate::learn::play::{Course, Played};
use crate::learn::train::{Ending, Limits, Record, Tally, Watch, Wish, train};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Between two checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// States at which the weight of the controller is kept, at most.
const MOST_WEIGHTS: usize = 2000;

/// What all trainings of a run have in common.
pub struct Training {
    /// The study, or the task where there is none.
    pub name: String,
    /// What is acted on.
    pub grounds: Grounds,
    /// What learns, the study's own method first.
    pub methods: Vec<Method>,
    /// One training each.
    pub seeds: Vec<u64>,
    /// How long.
    pub limits: Limits,
    /// Episodes by which a policy is judged.
    pub n_judged: u64,
    /// Their seed, apart from those of training.
    pub judged_from: u64,
    /// Event files of TensorBoard are written.
    pub has_events: bool,
}

/// One of them.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// All of them.
    pub training: &'a Training,
    /// Its method.
    pub method: &'a Method,
    /// Its seed.
    pub seed: u64,
    /// Its place among the others.
    pub index: usize,
    /// Steps on the believed model instead, whose policy is what the method's trainings begin from.
    pub pretraining: Option<u64>,
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The budget is spent.
    Done,
    /// The study's rule stopped it.
    Unsafe,
    /// Ctrl-C; a checkpoint is there.
    Interrupted,
    /// Learning could not go on.
    Broken,
}

/// How good a policy, or a controller, is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Judged {
    /// Episodes that were played.
    pub n_episodes: u64,
    /// Those that failed.
    pub n_failed: u64,
    /// Mean over all steps, the failing ones left out.
    pub reward_per_step: f64,
    /// Mean over the episodes of the sum of rewards.
    pub mean_return: f64,
    /// Its standard deviation over the episodes.
    pub sd_return: f64,
}

/// What came of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub ended: Ended,
    /// Why, where it broke off; one sentence without a full stop.
    pub why: String,
    /// What was counted.
    pub tally: Tally,
    /// The best and the worst episode.
    pub album: Album,
    /// The policy's own episodes; `None` where there was no time for them.
    pub judged: Option<Judged>,
    /// The first of them.
    pub course: Course,
    /// Observations of them with the controller's weights there.
    pub weights: Vec<(Vec<f64>, Vec<f64>)>,
}

impl Judged {
    /// Of these episodes.
    pub fn of(played: &[Played]) -> Judged {
        let episodes = || played.iter().map(|one| &one.episode);
        let n = played.len().max(1) as f64;
        let mean_return = episodes().map(|e| e.total).sum::<f64>() / n;
        let spread = episodes().map(|e| (e.total - mean_return).powi(2)).sum::<f64>();
        let steps = episodes().map(|e| e.length - u64::from(e.failed && e.length > 1)).sum::<u64>();
        let counted =
            episodes().map(|e| if e.failed && e.length > 1 { e.total - e.last_reward } else { e.total }).sum::<f64>();
        Judged {
            n_episodes: played.len() as u64,
            n_failed: episodes().filter(|e| e.failed).count() as u64,
            reward_per_step: counted / steps.max(1) as f64,
            mean_return,
            sd_return: if played.len() > 1 { (spread / (n - 1.0)).sqrt() } else { 0.0 },
        }
    }
}

impl Job<'_> {
    /// The name of its folder, and of it in checkpoints.
    pub fn name(&self) -> String {
        match self.pretraining {
            Some(_) => format!("{}-pretraining", self.method.label),
            None => format!("{}-{}", self.method.label, self.seed),
        }
    }

    fn limits(&self) -> Limits {
        let limits = &self.training.limits;
        match (self.pretraining, self.method.is_own) {
            (Some(steps), _) => Limits { steps: Some(steps), ..Limits::default() },
            (None, true) => limits.clone(),
            // What a method beside it does is no danger to anyone.
            (None, false) => Limits { stops: Vec::new(), ..limits.clone() },
        }
    }

    /// Trains, or goes on. A training that ended before is only read.
    ///
    /// # Errors
    /// A task that the method cannot learn; a checkpoint that does not fit; E0802.
    pub fn run(&self, mut files: JobFolder, live: &Live) -> Result<Outcome, Failure> {
        let name = self.name();
        if let Some(outcome) = finished(&files) {
            live.ended_before(self.index, &outcome.tally);
            return Ok(outcome);
        }
        let no_room = |why: String| {
            let on = "make room, and go on with `twinc train --resume` and the run's folder";
            Failure::new("E0802", why).help(on)
        };
        let album = Shared::default();
        let mut learner = self.learner(&album)?;
        let mut tally = Tally::default();
        let kept = files.checkpoint(&name)?;
        if self.training.has_events {
            files.mirror(kept.as_ref().map(|kept| kept.tally.n_steps)).map_err(no_room)?;
        }
        if let Some(Checkpoint { learner: saved, tally: counted, album: seen }) = kept {
            learner.load(&saved).map_err(|error| {
                let title = format!("the checkpoint of `{name}` does not fit this training: {error}");
                Failure::new("E0806", title).help("it was made of another task or with other settings; train anew")
            })?;
            tally = counted;
            *album.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        }
        live.begins(self.index, &tally);
        let limits = self.limits();
        let mut follow = Follow { job: *self, files: &files, album: &album, live, kept: Instant::now(), trouble: None };
        let ending = train(learner.as_mut(), &limits, &mut tally, &mut follow).map_err(no_room)?;
        if let Some(why) = follow.trouble.take() {
            return Err(no_room(why));
        }
        let (ended, why) = match &ending {
            Ending::Done => (Ended::Done, String::new()),
            Ending::Unsafe => (Ended::Unsafe, String::new()),
            Ending::Interrupted => (Ended::Interrupted, String::new()),
            Ending::Broken(error) => (Ended::Broken, error.to_string()),
        };
        let album = album.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut outcome =
            Outcome { ended, why, tally, album, judged: None, course: Course::default(), weights: Vec::new() };
        if ended != Ended::Interrupted {
            if self.pretraining.is_none() {
                self.judge(learner.as_ref(), &mut outcome)?;
            }
            self.write_policy(learner.as_ref(), &outcome, &files).map_err(no_room)?;
            let text = serde_json::to_string(&outcome).map_err(|error| no_room(error.to_string()))?;
            files.write("outcome.json", format!("{text}\n").as_bytes()).map_err(no_room)?;
        }
        live.ends(self.index);
        Ok(outcome)
    }

    fn learner(&self, album: &Shared) -> Result<Box<dyn Learner>, Failure> {
        let Training { grounds, .. } = self.training;
        let (method, n_copies, limits) = (self.method, self.method.n_copies, self.limits());
        if method.is_advised() {
            let environments = Observed::new(grounds.advised(method)?, album.clone());
            return method.make_advised(Box::new(environments), self.seed, &limits);
        }
        let environments = match self.pretraining {
            Some(_) => grounds.believed(n_copies)?,
            None => grounds.plain(n_copies)?,
        };
        method.make(Box::new(Observed::new(environments, album.clone())), self.seed, &limits)
    }

    /// Plays the policy's own episodes.
    fn judge(&self, learner: &dyn Learner, outcome: &mut Outcome) -> Result<(), Failure> {
        match self.played(learner, self.training.n_judged) {
            Ok(played) => {
                let judged = Judged::of(&played);
                let is_judged = judged.mean_return.is_finite();
                outcome.judged = is_judged.then_some(judged);
                outcome.weights = self.method.weights(&learner.save_policy(), &played, &self.training.grounds);
                let stride = outcome.weights.len().div_ceil(MOST_WEIGHTS).max(1);
                let thinned = std::mem::take(&mut outcome.weights).into_iter().step_by(stride);
                outcome.weights = thinned.collect();
                outcome.course = played.into_iter().next().map(|one| one.course).unwrap_or_default();
            }
            // Why a training ended before goes first.
            Err(PlayError::Learn(error)) if outcome.ended == Ended::Done => {
                outcome.ended = Ended::Broken;
                outcome.why = format!("the policy could not be judged: {error}");
            }
            Err(PlayError::Learn(_)) => {}
            Err(PlayError::Failure(failure)) => return Err(failure),
        }
        Ok(())
    }

    fn played(&self, learner: &dyn Learner, n_episodes: u64) -> Result<Vec<Played>, PlayError> {
        let mut policy = learner.policy();
        let mut ground = self.training.grounds.judging(self.method).map_err(PlayError::Failure)?;
        ground.play(policy.as_mut(), self.training.judged_from, n_episodes).map_err(PlayError::Learn)
    }

    fn write_policy(&self, learner: &dyn Learner, outcome: &Outcome, files: &JobFolder) -> Result<(), String> {
        let Training { grounds, .. } = self.training;
        let origin = Origin {
            algorithm: self.method.kind_name().into(),
            study: self.training.name.clone(),
            task: grounds.task_name().into(),
            plant: grounds.plant_name().into(),
            seed: self.seed,
            observation_space: grounds.observation_space().clone(),
            action_space: grounds.action_space().clone(),
        };
        let tally = &outcome.tally;
        let trained = json!({
            "episodes": tally.n_episodes, "steps": tally.n_steps, "failures": tally.n_failed,
            "ended": outcome.ended, "judged": outcome.judged,
        });
        train_policy::write(files, &origin, &learner.save_policy(), trained)
    }
}

/// Why a policy could not be played.
enum PlayError {
    Learn(LearnError),
    Failure(Failure),
}

impl Training {
    /// The study's controller by itself, where it is compared.
    ///
    /// # Errors
    /// A controller that cannot be made or played.
    pub fn controllers(&self) -> Result<Vec<(String, Judged, Course)>, Failure> {
        let found = self.grounds.controller(self.judged_from, self.n_judged)?;
        Ok(found.into_iter().map(|(judged, course)| (CONTROLLER.to_string(), judged, course)).collect())
    }
}

/// A training that ended before and is whole.
fn finished(files: &JobFolder) -> Option<Outcome> {
    serde_json::from_value(files.document("outcome.json")?).ok()
}

/// Follows one training: a line of metrics an episode, checkpoints now and then, the live line.
struct Follow<'a> {
    job: Job<'a>,
    files: &'a JobFolder,
    album: &'a Shared,
    live: &'a Live,
    kept: Instant,
    trouble: Option<String>,
}

impl Follow<'_> {
    fn write(&mut self, line: Map<String, Value>) {
        if let Err(why) = self.files.record(&Value::Object(line)) {
            self.trouble.get_or_insert(why);
        }
    }
}

impl Watch for Follow<'_> {
    fn recorded(&mut self, record: &Record) {
        let episode = &record.episode;
        let mut line = Map::new();
        for (name, value) in [
            ("episode", json!(episode.index)),
            ("step", json!(episode.at_step)),
            ("train/return", json!(episode.total)),
            ("train/reward_per_step", json!(episode.reward_per_step())),
            ("train/length", json!(episode.length)),
            ("train/failed", json!(u64::from(episode.failed))),
            ("safety/failures", json!(record.n_failed)),
        ] {
            line.insert(name.into(), value);
        }
        line.extend(record.measured.iter().map(|(name, value)| (name.clone(), json!(value))));
        self.write(line);
        self.live.episode(self.job.index, record);
    }

    fn evaluate(&mut self, learner: &dyn Learner, tally: &Tally) -> Result<(), LearnError> {
        match self.job.played(learner, self.job.training.n_judged) {
            Ok(played) => {
                let judged = Judged::of(&played);
                let mut line = Map::new();
                line.insert("step".into(), json!(tally.n_steps));
                line.insert("evaluated_after".into(), json!(tally.n_episodes));
                line.insert("evaluate/return".into(), json!(judged.mean_return));
                line.insert("evaluate/reward_per_step".into(), json!(judged.reward_per_step));
                line.insert("evaluate/failures".into(), json!(judged.n_failed));
                self.write(line);
                Ok(())
            }
            Err(PlayError::Learn(error)) => Err(error),
            Err(PlayError::Failure(failure)) => {
                self.trouble = failure.diagnostics.iter().next().map(|d| d.title.clone());
                Ok(())
            }
        }
    }

    fn wish(&mut self, tally: &Tally) -> Wish {
        self.live.steps(self.job.index, tally.n_steps);
        if interrupt::is_asked() || self.trouble.is_some() {
            return Wish::Stop;
        }
        match self.kept.elapsed() >= CHECKPOINT_EVERY {
            true => Wish::Keep,
            false => Wish::GoOn,
        }
    }

    fn keep(&mut self, learner: &dyn Learner, tally: &Tally) -> Result<(), String> {
        let album = self.album.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.files.keep(&self.job.name(), &learner.save(), tally, &album)?;
        self.kept = Instant::now();
        Ok(())
    }
}
