//! Episodes that are finished, kept in the run folder so that an interrupted run goes on where it was.
//!
//! `checkpoint/PLANNER.episodes` grows by a record for each episode, in their order: how many bytes, the bytes, their hash.
//! A process that is killed loses the record it was writing: whoever goes on cuts the file off behind the last sound
//! record. The seconds of planning are not in it (they stand in `timing.jsonl`), so its bytes depend on nothing but the
//! run's recipe.

use super::control_run::Episode;
use super::failure::Failure;
use super::files::cannot_write;
use super::run_folder::RunFolder;
use crate::control::closed_loop::{Broken, Ending, Moment, Trace};
use crate::decide::PlanStatus;
use serde_json::Value;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;

/// Begins the file, and names the form of its records.
const HEAD: &[u8] = b"twinc episodes 1\n";
/// All endings, by their number in a record.
const ENDINGS: [Ending; 5] = [Ending::Completed, Ending::Done, Ending::Failed, Ending::Interrupted, Ending::Stopped];
/// All outcomes of a plan, likewise.
const STATUSES: [PlanStatus; 7] = [
    PlanStatus::Optimal,
    PlanStatus::Improved,
    PlanStatus::IterationLimit,
    PlanStatus::Stagnated,
    PlanStatus::Infeasible,
    PlanStatus::Deadline,
    PlanStatus::Failed,
];

/// The open file of one planner.
pub struct Kept<'a> {
    folder: &'a RunFolder,
    path: PathBuf,
    file: File,
}

impl<'a> Kept<'a> {
    /// Opens the file of `planner` and reads the episodes that are there: of the numbers 0, 1, 2, ... from the seeds
    /// `first_seed`, `first_seed + 1`, ..., `most` at most. What is behind them is cut off.
    ///
    /// # Errors
    /// E0802 with the path.
    pub fn open(
        folder: &'a RunFolder,
        planner: &str,
        first_seed: u64,
        most: usize,
    ) -> Result<(Kept<'a>, Vec<Episode>), Failure> {
        let path = folder.path().join("checkpoint").join(format!("{planner}.episodes"));
        let failed = |error: &std::io::Error| folder.no_room(cannot_write(&path, error));
        let bytes = std::fs::read(&path).unwrap_or_default();
        let mut found = Vec::new();
        let mut sound = 0;
        if let Some(mut rest) = bytes.strip_prefix(HEAD) {
            sound = HEAD.len();
            let seconds = seconds(folder, planner);
            while let Some((record, n_bytes)) = record(rest).filter(|_| found.len() < most) {
                let number = found.len();
                let seed = first_seed.wrapping_add(number as u64);
                let Some(mut trace) = read(record, number as u64, seed) else { break };
                let known = seconds.get(&number).map_or(&[][..], Vec::as_slice);
                for (k, moment) in trace.moments.iter_mut().enumerate() {
                    moment.seconds = known.get(k).copied().unwrap_or(f64::NAN);
                }
                found.push(Episode { number, seed, trace });
                rest = &rest[n_bytes..];
                sound += n_bytes;
            }
        }
        let open = || {
            std::fs::create_dir_all(folder.path().join("checkpoint"))?;
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.set_len(sound as u64)?;
            file.seek(SeekFrom::End(0))?;
            if sound == 0 {
                file.write_all(HEAD)?;
            }
            Ok(file)
        };
        let file = open().map_err(|error| failed(&error))?;
        Ok((Kept { folder, path: path.clone(), file }, found))
    }

    /// Adds the next episode.
    ///
    /// # Errors
    /// E0802 with the path.
    pub fn add(&mut self, episode: &Episode) -> Result<(), Failure> {
        let bytes = written(episode);
        let mut record = (bytes.len() as u64).to_le_bytes().to_vec();
        record.extend_from_slice(&bytes);
        record.extend_from_slice(&hash(&bytes).to_le_bytes());
        self.file.write_all(&record).map_err(|error| self.folder.no_room(cannot_write(&self.path, &error)))
    }

    /// Sees to it that everything is on the disk.
    ///
    /// # Errors
    /// E0802 with the path.
    pub fn end(self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| self.folder.no_room(cannot_write(&self.path, &error)))
    }
}

/// Seconds of planning of each episode, from `timing.jsonl`.
fn seconds(folder: &RunFolder, planner: &str) -> HashMap<usize, Vec<f64>> {
    let text = std::fs::read_to_string(folder.path().join("timing.jsonl")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_planner = lines.filter(|line| line["what"] == "plans" && line["planner"] == planner);
    let each = of_planner.filter_map(|line| {
        let list = line["seconds"].as_array()?.iter().map(|s| s.as_f64().unwrap_or(f64::NAN)).collect();
        Some((usize::try_from(line["episode"].as_u64()?).ok()?, list))
    });
    each.collect()
}

/// FNV-1a with 64 bits (Fowler, Noll and Vo 1991): it tells torn writes, not intruders.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// The record that `bytes` begins with, where it is whole, and the length of it with what is around it.
fn record(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let content = rest.get(..length)?;
    let sum = rest.get(length..)?.first_chunk::<8>()?;
    (hash(content) == u64::from_le_bytes(*sum)).then_some((content, length + 16))
}

fn written(Episode { number, seed, trace }: &Episode) -> Vec<u8> {
    let mut out = Vec::new();
    let Trace { states, believed, estimated, inputs, measured, moments, parameters, ending, message, broken, plans } =
        trace;
    put(&mut out, *number as u64);
    put(&mut out, *seed);
    put(&mut out, place(&ENDINGS, ending));
    for text in [message, &broken.name] {
        put(&mut out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
    put(&mut out, broken.amount.to_bits());
    put(&mut out, broken.step as u64);
    for list in [states, believed, estimated, inputs, measured, parameters] {
        put_all(&mut out, list);
    }
    put(&mut out, moments.len() as u64);
    for moment in moments {
        let numbers = [moment.time, moment.cost, moment.reward, moment.violation, moment.nis];
        numbers.iter().for_each(|number| put(&mut out, number.to_bits()));
        let counts = [moment.step, moment.keep, moment.iterations];
        counts.iter().for_each(|count| put(&mut out, *count as u64));
        put(&mut out, place(&STATUSES, &moment.status));
        put(&mut out, u64::from(moment.is_fallback) + 2 * u64::from(moment.is_lost));
    }
    put(&mut out, plans.len() as u64);
    for (step, states, inputs) in plans {
        put(&mut out, *step as u64);
        put_all(&mut out, states);
        put_all(&mut out, inputs);
    }
    out
}

fn put(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_all(out: &mut Vec<u8>, values: &[f64]) {
    put(out, values.len() as u64);
    values.iter().for_each(|value| put(out, value.to_bits()));
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u64 {
    all.iter().position(|known| known == one).unwrap_or(all.len()) as u64
}

/// Reads one value after another; `None` at the first that is not there.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn whole(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.whole()?).ok()
    }

    fn number(&mut self) -> Option<f64> {
        self.whole().map(f64::from_bits)
    }

    fn numbers(&mut self) -> Option<Vec<f64>> {
        let n = self.count().filter(|n| *n <= self.0.len() / 8)?;
        (0..n).map(|_| self.number()).collect()
    }

    fn text(&mut self) -> Option<String> {
        let n = self.count()?;
        let text = self.0.get(..n)?;
        self.0 = &self.0[n..];
        String::from_utf8(text.to_vec()).ok()
    }

    fn moment(&mut self) -> Option<Moment> {
        let [time, cost, reward, violation, nis] =
            [self.number()?, self.number()?, self.number()?, self.number()?, self.number()?];
        let [step, keep, iterations] = [self.count()?, self.count()?, self.count()?];
        let status = *STATUSES.get(self.count()?)?;
        let flags = self.whole()?;
        let (is_fallback, is_lost) = (flags & 1 != 0, flags & 2 != 0);
        let seconds = f64::NAN;
        Some(Moment {
            step,
            time,
            cost,
            reward,
            violation,
            keep,
            status,
            iterations,
            seconds,
            is_fallback,
            is_lost,
            nis,
        })
    }
}

/// The trace of episode `number` of this seed; `None` where the record is of another.
fn read(bytes: &[u8], number: u64, seed: u64) -> Option<Trace> {
    let mut reader = Reader(bytes);
    if (reader.whole()?, reader.whole()?) != (number, seed) {
        return None;
    }
    let ending = *ENDINGS.get(reader.count()?)?;
    let (message, name) = (reader.text()?, reader.text()?);
    let broken = Broken { amount: reader.number()?, step: reader.count()?, name };
    let (states, believed, estimated) = (reader.numbers()?, reader.numbers()?, reader.numbers()?);
    let (inputs, measured, parameters) = (reader.numbers()?, reader.numbers()?, reader.numbers()?);
    let moments = (0..reader.count()?).map(|_| reader.moment()).collect::<Option<Vec<Moment>>>()?;
    let plan = |reader: &mut Reader<'_>| Some((reader.count()?, reader.numbers()?, reader.numbers()?));
    let plans = (0..reader.count()?).map(|_| plan(&mut reader)).collect::<Option<Vec<_>>>()?;
    Some(Trace { states, believed, estimated, inputs, measured, moments, parameters, ending, message, broken, plans })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episode() -> Episode {
        let moment = Moment {
            step: 0,
            time: 0.0,
            cost: 1.0 / 3.0,
            reward: f64::NEG_INFINITY,
            violation: 0.0,
            keep: 2,
            status: PlanStatus::Infeasible,
            iterations: 7,
            seconds: 0.5,
            is_fallback: false,
            is_lost: true,
            nis: f64::NAN,
        };
        let trace = Trace {
            states: vec![0.1, -0.0],
            believed: vec![0.1],
            estimated: vec![0.2],
            inputs: vec![f64::MIN_POSITIVE],
            measured: Vec::new(),
            moments: vec![moment],
            parameters: vec![9.81],
            ending: Ending::Failed,
            message: "x ≥ 2".into(),
            broken: Broken { amount: 0.25, step: 0, name: "x".into() },
            plans: vec![(0, vec![1.0, 2.0], vec![3.0])],
        };
        Episode { number: 3, seed: 11, trace }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let bytes = written(&episode());
        let trace = read(&bytes, 3, 11).expect("whole");
        // Nothing but the seconds is lost; a number that is none is not equal to itself.
        assert_eq!(written(&Episode { number: 3, seed: 11, trace }), bytes);
        assert!(read(&bytes, 3, 12).is_none() && read(&bytes, 4, 11).is_none());
        for n in 0..bytes.len() {
            assert!(read(&bytes[..n], 3, 11).is_none(), "{n}");
        }
    }

    #[test]
    fn a_torn_record_is_none() {
        let bytes = written(&episode());
        let mut whole = (bytes.len() as u64).to_le_bytes().to_vec();
        whole.extend_from_slice(&bytes);
        whole.extend_from_slice(&hash(&bytes).to_le_bytes());
        assert_eq!(record(&whole).map(|(content, n)| (content.len(), n)), Some((bytes.len(), whole.len())));
        assert!(record(&whole[..whole.len() - 1]).is_none());
        let mut torn = whole.clone();
        torn[20] ^= 1;
        assert!(record(&torn).is_none());
    }
}
