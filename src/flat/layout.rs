//! Where each member of each symbol lives in the flat vectors.

use std::collections::HashSet;

use crate::diag::{Code, Diagnostic, Diagnostics};
use crate::hir::{Model, SymbolId, SymbolKind};
use crate::limits::MAX_FAMILY;
use crate::source::Span;

/// What a symbol's members are in the flat model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Folded.
    Const,
    /// An element of p.
    Param,
    /// An element of x. `seed` is the first element of p that the start values are taken from, for a parameter or
    /// compartment that events assign.
    State { seed: Option<u32> },
    /// An element of u.
    Input,
    /// An element of d.
    Disturbance,
    /// Explicit algebra.
    Let,
    /// An observable's median.
    Observable,
    /// A Wiener process.
    Noise,
}

/// The members of one symbol: `first ..` in the vector of its home, in row-major order of its index ranges.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub home: Home,
    pub first: u32,
    /// Inclusive ranges of the indices; empty for a single quantity.
    pub shape: Vec<(i64, i64)>,
}

impl Layout {
    /// Number of members.
    pub fn len(&self) -> usize {
        self.shape.iter().map(|(low, high)| (high - low + 1).max(0) as usize).product()
    }

    /// Position of a member behind `first`; `Err` names the index that is out of range.
    pub fn offset(&self, indices: &[i64]) -> Result<usize, usize> {
        let mut offset = 0;
        for (k, (&(low, high), &i)) in self.shape.iter().zip(indices).enumerate() {
            if i < low || i > high {
                return Err(k);
            }
            offset = offset * (high - low + 1) as usize + (i - low) as usize;
        }
        Ok(offset)
    }

    /// The indices of the member at `offset`.
    pub fn indices(&self, mut offset: usize) -> Vec<i64> {
        let mut indices = vec![0; self.shape.len()];
        for (slot, &(low, high)) in indices.iter_mut().zip(&self.shape).rev() {
            let width = (high - low + 1) as usize;
            *slot = low + (offset % width) as i64;
            offset /= width;
        }
        indices
    }
}

/// `h(3)`, `S`
pub(super) fn member_name(name: &str, indices: &[i64]) -> String {
    if indices.is_empty() {
        return name.to_string();
    }
    let list = indices.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    format!("{name}({list})")
}

/// All index tuples of inclusive ranges, in row-major order.
pub(super) fn tuples(shape: &[(i64, i64)]) -> impl Iterator<Item = Vec<i64>> + '_ {
    let layout = Layout { home: Home::Const, first: 0, shape: shape.to_vec() };
    let n = layout.len();
    (0..n).map(move |k| layout.indices(k))
}

/// Counts of the flat vectors.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub states: u32,
    pub params: u32,
    pub inputs: u32,
    pub disturbances: u32,
    pub algebra: u32,
    pub noises: u32,
}

/// Gives every symbol its place: moved states first, then discrete ones; parameters in the order declared.
///
/// `shapes` holds the evaluated index ranges; `assigned` are the symbols that events assign.
pub(super) fn lay_out(
    model: &Model,
    shapes: Vec<Vec<(i64, i64)>>,
    assigned: &HashSet<SymbolId>,
    diagnostics: &mut Diagnostics,
) -> Option<(Vec<Layout>, Counts)> {
    let has_ode: HashSet<SymbolId> = model.odes.iter().map(|o| o.symbol).collect();
    let mut counts = Counts::default();
    let mut total = 0usize;
    let mut layouts: Vec<Layout> = Vec::with_capacity(shapes.len());
    for ((id, symbol), shape) in model.symbols().zip(shapes) {
        let is_assigned = assigned.contains(&id);
        let home = match symbol.kind {
            SymbolKind::Const => Home::Const,
            SymbolKind::Param | SymbolKind::Species { is_fixed: true, .. } if is_assigned => {
                Home::State { seed: Some(0) }
            }
            SymbolKind::Compartment if is_assigned || has_ode.contains(&id) => Home::State { seed: Some(0) },
            SymbolKind::Param | SymbolKind::Species { is_fixed: true, .. } | SymbolKind::Compartment => Home::Param,
            SymbolKind::Species { is_fixed: false, .. } | SymbolKind::State | SymbolKind::Discrete => {
                Home::State { seed: None }
            }
            SymbolKind::Let => Home::Let,
            SymbolKind::Input => Home::Input,
            SymbolKind::Disturbance => Home::Disturbance,
            SymbolKind::Observable => Home::Observable,
            SymbolKind::Noise => Home::Noise,
        };
        let layout = Layout { home, first: 0, shape };
        total = total.saturating_add(layout.len());
        layouts.push(layout);
        if total > MAX_FAMILY {
            diagnostics.push(too_large(symbol.span, total));
            return None;
        }
    }
    // Moved states before discrete ones, so that a solver may leave the tail out.
    for is_discrete_pass in [false, true] {
        for ((id, symbol), layout) in model.symbols().zip(&mut layouts) {
            let is_discrete = match symbol.kind {
                SymbolKind::Discrete | SymbolKind::Param | SymbolKind::Species { is_fixed: true, .. } => true,
                SymbolKind::Compartment => !has_ode.contains(&id),
                _ => false,
            };
            if matches!(layout.home, Home::State { .. }) && is_discrete == is_discrete_pass {
                layout.first = take(&mut counts.states, layout.len());
            }
        }
    }
    for layout in &mut layouts {
        let n = layout.len();
        match &mut layout.home {
            Home::Const | Home::Let | Home::Observable => layout.first = take(&mut counts.algebra, n),
            Home::Param => layout.first = take(&mut counts.params, n),
            Home::State { seed: Some(seed) } => *seed = take(&mut counts.params, n),
            Home::State { seed: None } => {}
            Home::Input => layout.first = take(&mut counts.inputs, n),
            Home::Disturbance => layout.first = take(&mut counts.disturbances, n),
            Home::Noise => layout.first = take(&mut counts.noises, n),
        }
    }
    Some((layouts, counts))
}

fn take(counter: &mut u32, n: usize) -> u32 {
    let first = *counter;
    *counter += n as u32;
    first
}

/// E0408
pub(super) fn too_large(span: Span, n: usize) -> Diagnostic {
    Diagnostic::new(Code("E0408"), span, format!("the families of this model have {n} members, more than {MAX_FAMILY}"))
        .at("with this one the limit is passed")
        .help("make the index ranges smaller")
}
