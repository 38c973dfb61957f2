//! What DQN remembers: steps in a ring, each with the sum of the rewards that followed, and from where a value stands for the
//! rest.
//!
//! A step of `n` inputs takes 8 n + 12 bytes. The ring grows as it fills.

use super::super::tensors::{TensorError, Tensors};

/// A step that waits for the rewards after it.
#[derive(Debug, Clone)]
struct Waiting {
    input: Vec<f32>,
    choice: u32,
    rewards: f64,
    /// Factor on the next reward.
    discount: f64,
}

/// Steps that are learnt from again and again.
#[derive(Debug, Clone)]
pub struct Memory {
    n_inputs: usize,
    capacity: usize,
    gamma: f64,
    returns_over: usize,
    /// Where the next one goes, once the ring is full.
    next: usize,
    inputs: Vec<f32>,
    later_inputs: Vec<f32>,
    choices: Vec<u32>,
    rewards: Vec<f32>,
    discounts: Vec<f32>,
    /// Per copy, from the oldest; at most `returns_over`.
    waiting: Vec<Vec<Waiting>>,
    /// Room for inputs that wait.
    spare: Vec<Vec<f32>>,
}

impl Memory {
    /// Of at most `capacity` steps of `n_copies`, with sums over `returns_over` rewards discounted by `gamma`.
    pub fn new(n_inputs: usize, capacity: usize, n_copies: usize, gamma: f64, returns_over: usize) -> Memory {
        Memory {
            n_inputs,
            capacity: capacity.max(1),
            gamma,
            returns_over: returns_over.max(1),
            next: 0,
            inputs: Vec::new(),
            later_inputs: Vec::new(),
            choices: Vec::new(),
            rewards: Vec::new(),
            discounts: Vec::new(),
            waiting: vec![Vec::new(); n_copies],
            spare: Vec::new(),
        }
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.choices.len()
    }

    /// True before the first.
    pub fn is_empty(&self) -> bool {
        self.choices.is_empty()
    }

    /// Takes in a step of a copy: its input and choice, the reward, the input after it, whether the episode ended, and
    /// whether it did so by itself, so that nothing is worth anything afterwards.
    pub fn meet(&mut self, copy: usize, (input, choice): (&[f32], u32), reward: f64, later: &[f32], end: (bool, bool)) {
        let (has_ended, is_terminal) = end;
        let mut waiting = std::mem::take(&mut self.waiting[copy]);
        let mut own = self.spare.pop().unwrap_or_default();
        own.clear();
        own.extend_from_slice(input);
        waiting.push(Waiting { input: own, choice, rewards: 0.0, discount: 1.0 });
        for step in &mut waiting {
            step.rewards += step.discount * reward;
            step.discount *= self.gamma;
        }
        let n_ready = if has_ended { waiting.len() } else { waiting.len() / self.returns_over };
        for step in waiting.drain(..n_ready) {
            let discount = if is_terminal { 0.0 } else { step.discount };
            self.put(&step, discount, later);
            self.spare.push(step.input);
        }
        self.waiting[copy] = waiting;
    }

    fn put(&mut self, step: &Waiting, discount: f64, later: &[f32]) {
        if self.len() < self.capacity {
            self.inputs.extend_from_slice(&step.input);
            self.later_inputs.extend_from_slice(later);
            self.choices.push(step.choice);
            self.rewards.push(step.rewards as f32);
            self.discounts.push(discount as f32);
            return;
        }
        let (at, n) = (self.next, self.n_inputs);
        self.inputs[at * n..(at + 1) * n].copy_from_slice(&step.input);
        self.later_inputs[at * n..(at + 1) * n].copy_from_slice(later);
        self.choices[at] = step.choice;
        self.rewards[at] = step.rewards as f32;
        self.discounts[at] = discount as f32;
        self.next = (at + 1) % self.capacity;
    }

    /// Input of a step.
    pub fn input(&self, at: usize) -> &[f32] {
        &self.inputs[at * self.n_inputs..(at + 1) * self.n_inputs]
    }

    /// Input from where a value stands for the rest.
    pub fn later_input(&self, at: usize) -> &[f32] {
        &self.later_inputs[at * self.n_inputs..(at + 1) * self.n_inputs]
    }

    /// What was chosen.
    pub fn choice(&self, at: usize) -> usize {
        self.choices[at] as usize
    }

    /// Sum of rewards, and the factor on the value of the later input.
    pub fn worth(&self, at: usize) -> (f32, f32) {
        (self.rewards[at], self.discounts[at])
    }

    /// Puts everything.
    pub fn save(&self, to: &mut Tensors) {
        let (n, n_inputs) = (self.len(), self.n_inputs);
        to.put("memory/inputs", &[n, n_inputs], &self.inputs);
        to.put("memory/later_inputs", &[n, n_inputs], &self.later_inputs);
        let choices: Vec<u64> = self.choices.iter().map(|c| u64::from(*c)).collect();
        to.put("memory/choices", &[n], &choices);
        to.put("memory/rewards", &[n], &self.rewards);
        to.put("memory/discounts", &[n], &self.discounts);
        to.put_one("memory/next", self.next as u64);
        let all = || self.waiting.iter().flatten();
        let counts: Vec<u64> = self.waiting.iter().map(|list| list.len() as u64).collect();
        to.put("memory/waiting/counts", &[counts.len()], &counts);
        let inputs: Vec<f32> = all().flat_map(|step| step.input.iter().copied()).collect();
        to.put("memory/waiting/inputs", &[inputs.len()], &inputs);
        let choices: Vec<u64> = all().map(|step| u64::from(step.choice)).collect();
        to.put("memory/waiting/choices", &[choices.len()], &choices);
        let worth: Vec<f64> = all().flat_map(|step| [step.rewards, step.discount]).collect();
        to.put("memory/waiting/worth", &[choices.len(), 2], &worth);
    }

    /// Goes back to what was put.
    ///
    /// # Errors
    /// Where it is of other sizes; nothing has changed then.
    pub fn load(&mut self, from: &Tensors) -> Result<(), TensorError> {
        let n_inputs = self.n_inputs;
        let n = from.shaped::<f32>("memory/rewards")?.0.len();
        if n > self.capacity {
            return Err(TensorError::Format(format!("{n} steps do not fit a memory of {}", self.capacity)));
        }
        let counts = from.get::<u64>("memory/waiting/counts", &[self.waiting.len()])?;
        let n_waiting = counts.iter().sum::<u64>() as usize;
        let waiting_inputs = from.get::<f32>("memory/waiting/inputs", &[n_waiting * n_inputs])?;
        let waiting_choices = from.get::<u64>("memory/waiting/choices", &[n_waiting])?;
        let worth = from.get::<f64>("memory/waiting/worth", &[n_waiting, 2])?;
        let inputs = from.get::<f32>("memory/inputs", &[n, n_inputs])?.to_vec();
        let later_inputs = from.get::<f32>("memory/later_inputs", &[n, n_inputs])?.to_vec();
        let choices = from.get::<u64>("memory/choices", &[n])?.iter().map(|c| *c as u32).collect();
        let rewards = from.get::<f32>("memory/rewards", &[n])?.to_vec();
        let discounts = from.get::<f32>("memory/discounts", &[n])?.to_vec();
        let next = from.get_one::<u64>("memory/next")? as usize;
        let mut steps = waiting_inputs.chunks_exact(n_inputs).zip(waiting_choices).zip(worth.chunks_exact(2)).map(
            |((input, choice), worth)| Waiting {
                input: input.to_vec(),
                choice: *choice as u32,
                rewards: worth[0],
                discount: worth[1],
            },
        );
        let waiting = counts.iter().map(|count| steps.by_ref().take(*count as usize).collect()).collect();
        let (capacity, gamma, returns_over) = (self.capacity, self.gamma, self.returns_over);
        *self = Memory {
            n_inputs,
            capacity,
            gamma,
            returns_over,
            next,
            inputs,
            later_inputs,
            choices,
            rewards,
            discounts,
            waiting,
            spare: Vec::new(),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_end_with_the_episode_and_values_stand_for_the_rest() {
        let mut memory = Memory::new(1, 10, 1, 0.5, 2);
        memory.meet(0, (&[0.0], 0), 1.0, &[1.0], (false, false));
        assert_eq!(memory.len(), 0);
        memory.meet(0, (&[1.0], 1), 2.0, &[2.0], (false, false));
        memory.meet(0, (&[2.0], 0), 4.0, &[3.0], (true, true));
        memory.meet(0, (&[5.0], 1), 8.0, &[6.0], (true, false));
        let told: Vec<_> = (0..memory.len())
            .map(|k| (memory.input(k)[0], memory.choice(k), memory.worth(k), memory.later_input(k)[0]))
            .collect();
        let expected = [
            (0.0, 0, (2.0, 0.25), 2.0),
            (1.0, 1, (4.0, 0.0), 3.0),
            (2.0, 0, (4.0, 0.0), 3.0),
            (5.0, 1, (8.0, 0.5), 6.0),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_full_ring_forgets_the_oldest_and_is_kept_whole() {
        let mut memory = Memory::new(2, 3, 2, 0.9, 3);
        for k in 0..11u8 {
            let x = f32::from(k);
            let end = (k % 4 == 3, k % 8 == 3);
            memory.meet(usize::from(k % 2), (&[x, -x], u32::from(k)), f64::from(k), &[x + 1.0, 0.0], end);
        }
        assert_eq!(memory.len(), 3);
        let mut kept = Tensors::default();
        memory.save(&mut kept);
        let mut again = Memory::new(2, 3, 2, 0.9, 3);
        again.load(&kept).expect("of the same sizes");
        for one in [&mut memory, &mut again] {
            for k in 0..5u8 {
                one.meet(0, (&[f32::from(k), 1.0], 1), 1.0, &[0.5, 0.5], (false, false));
            }
        }
        let (mut a, mut b) = (Tensors::default(), Tensors::default());
        memory.save(&mut a);
        again.save(&mut b);
        assert_eq!(a, b);
        assert!(Memory::new(2, 2, 2, 0.9, 3).load(&kept).is_err());
    }
}
