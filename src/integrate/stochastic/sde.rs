//! Steps of stochastic differential equations in the sense of Itô, on a grid.
//!
//! For `dx = f dt + g dW`: Euler and Maruyama, `x + f h + g ΔW`, and Milstein, which adds `½ Σ L_l g_j (ΔW_j ΔW_l − δ_jl h)`
//! with `L_l = Σ_i g_il ∂/∂x_i` and is right where the noise commutes. After P. E. Kloeden and E. Platen, Numerical Solution
//! of Stochastic Differential Equations (1992), sections 10.2 and 10.3. For reactions the chemical Langevin equation, whose
//! noise is `Σ_r ν_r √a_r dW_r`: D. T. Gillespie, The chemical Langevin equation, J. Chem. Phys. 113 (2000) 297.
//!
//! A breakpoint between two instants of the grid ends a step; requested times between two are joined by a line.

use super::super::problem::Status;
use super::propensity::Network;
use super::world::{Advance, Request, World};
use crate::random::Rng;
use crate::random::draw::normals;
use crate::system::stochastic::{Diffusion, Jumps};
use crate::system::{At, System};

/// Where the increments of the Wiener processes come from.
pub trait Increments {
    /// `dw: n_noises` (reactions for the Langevin equation) = the increments over a step of length `h`: independent,
    /// normal, of variance h.
    fn next(&mut self, h: f64, dw: &mut [f64]);
}

/// Drawn from a generator.
pub(super) struct Drawn<'r>(pub &'r mut Rng);

impl Increments for Drawn<'_> {
    fn next(&mut self, h: f64, dw: &mut [f64]) {
        normals(self.0, h.sqrt(), dw);
    }
}

/// Given by the caller.
pub(super) struct Given<'i>(pub &'i mut dyn Increments);

impl Increments for Given<'_> {
    fn next(&mut self, h: f64, dw: &mut [f64]) {
        self.0.next(h, dw);
    }
}

/// What a step is made of.
enum Equation<'s> {
    Noise { noise: &'s dyn Diffusion, is_milstein: bool },
    Langevin(Box<Network<'s>>),
}

/// Paths on a grid of steps.
pub(super) struct Grid<'s> {
    equation: Equation<'s>,
    /// Breakpoint-free steps made since `t0`.
    made: u64,
    dw: Vec<f64>,
    f: Vec<f64>,
    /// Diffusion, or propensities.
    g: Vec<f64>,
    corrections: Vec<f64>,
    x_new: Vec<f64>,
    x_between: Vec<f64>,
}

impl<'s> Grid<'s> {
    pub fn noise(system: &'s dyn System, noise: &'s dyn Diffusion, is_milstein: bool) -> Self {
        let n_corrections = noise.corrections().filter(|_| is_milstein).map_or(0, <[_]>::len);
        let mut grid = Grid::new(system, Equation::Noise { noise, is_milstein }, noise.n_noises());
        grid.g = vec![0.0; noise.entries().len()];
        grid.corrections = vec![0.0; n_corrections];
        grid
    }

    pub fn langevin(system: &'s dyn System, jumps: &'s dyn Jumps) -> Self {
        let n_channels = jumps.channels().len();
        let mut grid = Grid::new(system, Equation::Langevin(Box::new(Network::new(system, jumps))), n_channels);
        grid.g = vec![0.0; n_channels];
        grid
    }

    fn new(system: &'s dyn System, equation: Equation<'s>, n_noises: usize) -> Self {
        let n = system.dims().n_states;
        Grid {
            equation,
            made: 0,
            dw: vec![0.0; n_noises],
            f: vec![0.0; n],
            g: Vec::new(),
            corrections: Vec::new(),
            x_new: vec![0.0; n],
            x_between: vec![0.0; n],
        }
    }

    /// `x_new` = the state after a step of length `h`, with the increments in `dw`.
    fn step(&mut self, world: &mut World<'_>, h: f64) -> Result<(), Status> {
        match &mut self.equation {
            Equation::Noise { noise, is_milstein } => {
                world.set_forcing(world.t);
                let World { system, work, t, x, u, d, p, .. } = world;
                let at = At { t: *t, x, u, d, p };
                system.rhs(at, work, &mut self.f);
                noise.diffusion(at, work, &mut self.g);
                for ((new, x), f) in self.x_new.iter_mut().zip(x.iter()).zip(&self.f) {
                    *new = x + f * h;
                }
                for (&(state, process), g) in noise.entries().iter().zip(&self.g) {
                    self.x_new[state as usize] += g * self.dw[process as usize];
                }
                if let (true, Some(entries)) = (*is_milstein, noise.corrections()) {
                    noise.correction(at, work, &mut self.corrections);
                    for (&(state, j, l), value) in entries.iter().zip(&self.corrections) {
                        let product = self.dw[j as usize] * self.dw[l as usize];
                        self.x_new[state as usize] += value * if j == l { 0.5 * (product - h) } else { product };
                    }
                }
                world.statistics.rhs += 1;
            }
            Equation::Langevin(network) => {
                network.propensities(world, &mut self.g)?;
                self.f.copy_from_slice(&network.n);
                for (channel, (&a, dw)) in self.g.iter().zip(&self.dw).enumerate() {
                    // Counts are not whole here and may fall below zero by a part of one; propensities do not.
                    let a = a.max(0.0);
                    let extent = a * h + a.sqrt() * dw;
                    for &(state, items) in network.changes.of(channel) {
                        self.f[state as usize] += items * extent;
                    }
                }
                network.state_of(world, &self.f, &mut self.x_new);
            }
        }
        match self.x_new.iter().position(|value| !value.is_finite()) {
            Some(state) => Err(Status::NonFinite { t: world.t, state }),
            None => Ok(()),
        }
    }
}

impl<R: Increments> Advance<R> for Grid<'_> {
    fn restart(&mut self, world: &mut World<'_>, _source: &mut R) -> Result<(), Status> {
        if world.t == world.t0 {
            self.made = 0;
        }
        match &mut self.equation {
            Equation::Langevin(network) => network.restart(world, false),
            Equation::Noise { .. } => Ok(()),
        }
    }

    fn advance(
        &mut self,
        world: &mut World<'_>,
        stop: f64,
        request: &mut Request<'_, '_>,
        source: &mut R,
    ) -> Result<(), Status> {
        let step = world.options.step.unwrap_or(f64::INFINITY);
        while world.t < stop {
            let (t0, t) = (world.t0, world.t);
            let grid = t0 + (self.made + 1) as f64 * step;
            // A last step shorter than rounding is none.
            let slack = 1e-9 * step;
            let t_new = if grid > stop - slack { stop } else { grid };
            if grid <= stop + slack {
                self.made += 1;
            }
            if t_new <= t {
                continue;
            }
            let h = t_new - t;
            source.next(h, &mut self.dw);
            self.step(world, h)?;
            while World::is_asked_before(request, t_new) {
                let part = (World::next_sample(request) - t) / h;
                for ((between, old), new) in self.x_between.iter_mut().zip(&world.x).zip(&self.x_new) {
                    *between = old + part * (new - old);
                }
                world.report(request, Some(&self.x_between));
            }
            std::mem::swap(&mut world.x, &mut self.x_new);
            world.t = t_new;
            world.count_step()?;
            if let Equation::Langevin(network) = &mut self.equation {
                network.n.copy_from_slice(&self.f);
            }
            if world.is_watching() {
                break;
            }
        }
        Ok(())
    }
}
