//! What a person sees while a run goes on: a moving line on a terminal, otherwise one plain line per interval.

use super::console::{Console, to_stderr};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Between two plain lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Progress over a known number of pieces; shared by threads.
pub struct Progress {
    bar: Option<ProgressBar>,
    plain: Option<Mutex<Instant>>,
    noun: &'static str,
    n_pieces: usize,
}

impl Progress {
    /// `noun`: what the pieces are, in the plural.
    pub fn new(console: &Console, noun: &'static str, n_pieces: usize) -> Progress {
        let bar = console.is_live().then(|| {
            let bar = ProgressBar::with_draw_target(Some(n_pieces as u64), ProgressDrawTarget::stderr_with_hz(8));
            let style = ProgressStyle::with_template("{bar:28} {pos}/{len} {prefix}  {elapsed} < {eta}  {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(noun);
            bar
        });
        let plain = (bar.is_none() && !console.is_quiet()).then(|| Mutex::new(Instant::now()));
        Progress { bar, plain, noun, n_pieces }
    }

    /// `n_done` pieces are finished; `message` says how it stands.
    pub fn update(&self, n_done: usize, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_position(n_done as u64);
            bar.set_message(message.to_string());
        }
        if let Some(Ok(mut last)) = self.plain.as_ref().map(Mutex::lock)
            && last.elapsed() >= INTERVAL
        {
            *last = Instant::now();
            to_stderr(&format!("{n_done} of {} {}: {message}", self.n_pieces, self.noun));
        }
    }

    /// Takes the moving line away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
