//! The Newton systems of a problem over a tree, by Riccati's recursion from the leaves to the root.
//!
//! All of them have the matrix `H + diag(w) + Cᵀ diag(w) C` in each node, with weights `w` that the method chooses; they
//! differ in right-hand sides. In each node the inputs are eliminated,
//!
//! ```text
//! M = H + diag(w) + Cᵀ diag(w) C + Σ_children Jᵀ P_c J,   M_uu = L Lᵀ,   Y = L⁻¹ M_ux,   P = M_xx - Yᵀ Y
//! ```
//!
//! so that a factor L exists in every node exactly where the problem is strictly convex on what the dynamics leave
//! free. Rao, Wright and Rawlings 1998, *Application of interior-point methods to model predictive control*, JOTA
//! 99:723; Frison and Diehl 2020, *HPIPM*, IFAC-PapersOnLine 53:6563. Blocks are padded for [`crate::linalg::block`].

use super::layout::{Layout, Vector};
use super::problem::StageQp;
use crate::linalg::block::{self, Part, Pivot, PivotRule, Right, add_product, add_times, dot};
use crate::linalg::{Wide, wide};

/// Why a Newton system has no solution that is a minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A direction of no or negative curvature in this node.
    Indefinite(usize),
    /// Numbers that are not finite.
    NotFinite,
}

/// Padded copies of the matrices of a problem and the factors of a Newton system.
#[derive(Debug, Clone)]
pub(super) struct Riccati {
    layout: Layout,
    /// Per child: `np × nv`, J.
    jac: Vec<f64>,
    /// Per child: `stride × n`, Jᵀ.
    jac_t: Vec<f64>,
    /// Per node: `stride × nv`, H.
    hess: Vec<f64>,
    /// Per row: `stride`.
    rows: Vec<f64>,
    /// Per node: `np × n`, P.
    cost: Vec<f64>,
    /// Per node: `np × m`, Yᵀ.
    gain: Vec<f64>,
    /// Per node: `m × m`, L.
    factor: Vec<f64>,
    /// Per node: `m`, the reciprocals of L's diagonal.
    reciprocal: Vec<f64>,
    /// The free block of the root's P, its factor and reciprocals; a right-hand side.
    free: [Vec<f64>; 4],
    /// `stride × nv`: M of the node at hand.
    m_block: Vec<f64>,
    /// `np × nv`: P J of the child at hand.
    t_block: Vec<f64>,
    /// Rows of nonzero weight of the node at hand, and the same times their weights.
    weighted: [Vec<f64>; 2],
    /// `np`
    scratch: Vec<f64>,
    /// Which nodes' factors do not belong to the weights.
    stale: Vec<bool>,
    /// Typical curvature: the largest diagonal element of a Hessian.
    scale: f64,
    /// How many pivots of the last factorisation counted as zero.
    pub(super) lifted: usize,
}

impl Riccati {
    pub(super) fn new(layout: &Layout) -> Riccati {
        let Layout { n, m, np, stride, n_nodes, .. } = *layout;
        let nv = n + m;
        let most_rows = (0..n_nodes).map(|i| layout.row_start[i + 1] - layout.row_start[i]).max().unwrap_or(0);
        let nf = layout.free.len();
        Riccati {
            layout: layout.clone(),
            jac: vec![0.0; n_nodes * np * nv],
            jac_t: vec![0.0; n_nodes * stride * n],
            hess: vec![0.0; n_nodes * stride * nv],
            rows: vec![0.0; layout.n_rows * stride],
            cost: vec![0.0; n_nodes * np * n],
            gain: vec![0.0; n_nodes * np * m],
            factor: vec![0.0; n_nodes * m * m],
            reciprocal: vec![0.0; n_nodes * m],
            free: [vec![0.0; nf * nf], vec![0.0; nf * nf], vec![0.0; nf], vec![0.0; nf]],
            m_block: vec![0.0; stride * nv],
            t_block: vec![0.0; np * nv],
            weighted: [vec![0.0; most_rows * stride], vec![0.0; most_rows * stride]],
            scratch: vec![0.0; np],
            stale: vec![true; n_nodes],
            scale: 1.0,
            lifted: 0,
        }
    }

    /// A typical curvature of the problem.
    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    /// Takes in the matrices of `qp`. False where one has an element that is not finite.
    pub(super) fn load(&mut self, qp: &StageQp) -> bool {
        self.stale.fill(true);
        wide(Load { riccati: self, qp })
    }

    /// Says that the weights of a node have changed.
    pub(super) fn touch(&mut self, node: usize) {
        self.stale[node] = true;
    }

    /// Factorises with the weights `w`, in nodes that were touched or follow from such. `zero`: pivots within this,
    /// relative, of zero are lifted.
    ///
    /// # Errors
    /// Where a pivot is negative or not finite.
    pub(super) fn factorize(&mut self, w: &Vector, zero: f64) -> Result<(), Failure> {
        wide(Factorize { riccati: self, w, zero })
    }

    /// Solves for the step `(dz, d_costate)` that cancels the residuals: stationarity `r`, dynamics `s`.
    pub(super) fn solve(&mut self, r: &[f64], s: &[f64], dz: &mut [f64], d_costate: &mut [f64]) {
        wide(Solve { riccati: self, r, s, dz, d_costate });
    }

    /// Adds `H z + Jᵀ costate of the children - costate + Cᵀ rows of out` to the variables of `out`; writes the rows of
    /// `z` and `out_s = J z + offset - x`.
    pub(super) fn residuals(
        &self,
        z: &mut Vector,
        costate: &[f64],
        offset: &[f64],
        out: &mut Vector,
        out_s: &mut [f64],
    ) {
        wide(Residuals { riccati: self, z, costate, offset, out, out_s });
    }

    /// Adds `Cᵀ rows` to the variables of `v`.
    pub(super) fn add_rows(&self, v: &mut Vector) {
        let stride = self.layout.stride;
        let (z, rows) = v.parts_mut();
        for node in 0..self.layout.n_nodes {
            for row in self.layout.rows(node) {
                if rows[row] != 0.0 {
                    let normal = &self.rows[row * stride..(row + 1) * stride];
                    block::add_scaled(rows[row], normal, &mut z[node * stride..(node + 1) * stride]);
                }
            }
        }
    }

    /// Writes the rows of `v` from its variables.
    pub(super) fn row_values(&self, v: &mut Vector) {
        wide(RowValues { riccati: self, v });
    }

    /// Largest absolute value in a row of C.
    pub(super) fn row_size(&self, row: usize) -> f64 {
        let stride = self.layout.stride;
        self.rows[row * stride..(row + 1) * stride].iter().fold(0.0, |a: f64, v| a.max(v.abs()))
    }
}

struct Load<'a> {
    riccati: &'a mut Riccati,
    qp: &'a StageQp,
}

impl Wide for Load<'_> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let Load { riccati: own, qp } = self;
        let Layout { n, m, np, stride, n_nodes, .. } = own.layout;
        let nv = n + m;
        // Zero, unless something is not finite.
        let mut check = 0.0;
        let mut scale = 0.0_f64;
        for node in 0..n_nodes {
            let width = qp.n_vars(node);
            let source = qp.hessian(node);
            check += 0.0 * block::largest(source);
            let target = &mut own.hess[node * stride * nv..][..stride * nv];
            for (j, (column, padded)) in
                source.chunks_exact(width.max(1)).zip(target.chunks_exact_mut(stride.max(1))).enumerate()
            {
                let (x, u) = padded.split_at_mut(np);
                x.iter_mut().zip(&column[..n]).for_each(|(t, s)| *t = *s);
                u.iter_mut().zip(&column[n..]).for_each(|(t, s)| *t = *s);
                scale = scale.max(column[j].abs());
            }
            let (source, count) = (qp.row_jacobian(node), qp.n_rows(node));
            check += 0.0 * block::largest(source);
            for (row, at) in own.layout.rows(node).enumerate() {
                let target = &mut own.rows[at * stride..(at + 1) * stride];
                for j in 0..width {
                    target[own.layout.padded_index(j)] = source[j * count + row];
                }
            }
            if node == 0 {
                continue;
            }
            let source = qp.jacobian(node);
            check += 0.0 * block::largest(source);
            let plain = &mut own.jac[node * np * nv..][..np * nv];
            for (column, padded) in source.chunks_exact(n.max(1)).zip(plain.chunks_exact_mut(np.max(1))) {
                padded.iter_mut().zip(column).for_each(|(t, s)| *t = *s);
            }
            let transposed = &mut own.jac_t[node * stride * n..][..stride * n];
            block::transpose(n, n, plain, np, transposed, stride);
            block::transpose(n, m, &plain[n * np..], np, &mut transposed[np..], stride);
        }
        own.scale = if scale > 0.0 { scale } else { 1.0 };
        check == 0.0
    }
}

struct Factorize<'a> {
    riccati: &'a mut Riccati,
    w: &'a Vector,
    zero: f64,
}

impl Wide for Factorize<'_> {
    type Output = Result<(), Failure>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Factorize { riccati: own, w, zero } = self;
        let Layout { n, m, np, stride, n_nodes, .. } = own.layout;
        let nv = n + m;
        let (weights_z, weights_rows) = w.parts();
        own.lifted = 0;
        let rule = PivotRule { zero, lift: 1e-8, scale: own.scale };
        for node in (0..n_nodes).rev() {
            if !own.stale[node] {
                continue;
            }
            let is_leaf = own.layout.is_leaf[node];
            let width = if is_leaf { n } else { nv };
            let block = &mut own.m_block[..stride * width];
            block.copy_from_slice(&own.hess[node * stride * nv..][..stride * width]);
            let weights = &weights_z[node * stride..(node + 1) * stride];
            for j in 0..n {
                block[j * stride + j] += weights[j];
            }
            for j in n..width {
                block[j * stride + np + j - n] += weights[np + j - n];
            }
            // Rows: Cᵀ (w C), those of no weight left out.
            let mut count = 0;
            let rows = own.layout.rows(node);
            for (row, &weight) in rows.clone().zip(&weights_rows[rows]) {
                if weight != 0.0 {
                    let source = &own.rows[row * stride..(row + 1) * stride];
                    own.weighted[0][count * stride..(count + 1) * stride].copy_from_slice(source);
                    let target = &mut own.weighted[1][count * stride..(count + 1) * stride];
                    for (target, source) in target.iter_mut().zip(source) {
                        *target = weight * source;
                    }
                    count += 1;
                }
            }
            if count > 0 {
                let [left, right] = &own.weighted;
                let x_part = Right::Transposed(right, stride);
                add_product(Part::Upper, 1.0, (np, count, n), left, stride, x_part, block, stride);
                if width > n {
                    let u_part = Right::Transposed(&right[np..], stride);
                    add_product(
                        Part::Full,
                        1.0,
                        (stride, count, m),
                        left,
                        stride,
                        u_part,
                        &mut block[n * stride..],
                        stride,
                    );
                }
            }
            for &child in own.layout.children(node) {
                let cost = &own.cost[child * np * n..(child + 1) * np * n];
                let jac = &own.jac[child * np * nv..(child + 1) * np * nv];
                let jac_t = &own.jac_t[child * stride * n..(child + 1) * stride * n];
                let t_block = &mut own.t_block[..];
                t_block.fill(0.0);
                add_product(Part::Full, 1.0, (np, n, nv), cost, np, Right::Plain(jac, np), t_block, np);
                let x_part = Right::Plain(t_block, np);
                add_product(Part::Upper, 1.0, (np, n, n), jac_t, stride, x_part, block, stride);
                let u_part = Right::Plain(&t_block[n * np..], np);
                add_product(Part::Full, 1.0, (stride, n, m), jac_t, stride, u_part, &mut block[n * stride..], stride);
            }
            if !is_leaf && m > 0 {
                let corner = &block[n * stride + np..];
                let factor = &mut own.factor[node * m * m..(node + 1) * m * m];
                let reciprocal = &mut own.reciprocal[node * m..(node + 1) * m];
                own.lifted += match block::factorize(m, corner, stride, rule, factor, reciprocal) {
                    Ok(lifted) => lifted,
                    Err(Pivot::Negative) => return Err(Failure::Indefinite(node)),
                    Err(Pivot::NotFinite) => return Err(Failure::NotFinite),
                };
                let gain = &mut own.gain[node * np * m..(node + 1) * np * m];
                for j in 0..m {
                    gain[j * np..(j + 1) * np].copy_from_slice(&block[(n + j) * stride..][..np]);
                }
                block::solve_right(m, factor, reciprocal, np, gain, np);
                if node > 0 || !own.layout.free.is_empty() {
                    let right = Right::Transposed(gain, np);
                    add_product(Part::Upper, -1.0, (np, m, n), gain, np, right, block, stride);
                }
            }
            if node > 0 || !own.layout.free.is_empty() {
                let cost = &mut own.cost[node * np * n..(node + 1) * np * n];
                for j in 0..n {
                    cost[j * np..(j + 1) * np].copy_from_slice(&block[j * stride..][..np]);
                }
                block::mirror(n, cost, np);
            }
            own.stale[node] = false;
            own.stale[own.layout.parent[node]] |= node > 0;
        }
        let nf = own.layout.free.len();
        if nf > 0 {
            let [corner, factor, reciprocal, _] = &mut own.free;
            for (j, &col) in own.layout.free.iter().enumerate() {
                for (i, &row) in own.layout.free.iter().enumerate() {
                    corner[j * nf + i] = own.cost[col * np + row];
                }
            }
            own.lifted += match block::factorize(nf, corner, nf, rule, factor, reciprocal) {
                Ok(lifted) => lifted,
                Err(Pivot::Negative) => return Err(Failure::Indefinite(0)),
                Err(Pivot::NotFinite) => return Err(Failure::NotFinite),
            };
        }
        Ok(())
    }
}

struct Solve<'a> {
    riccati: &'a mut Riccati,
    r: &'a [f64],
    s: &'a [f64],
    dz: &'a mut [f64],
    d_costate: &'a mut [f64],
}

impl Wide for Solve<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Solve { riccati: own, r, s, dz, d_costate } = self;
        let Layout { n, m, np, stride, n_nodes, .. } = own.layout;
        let nv = n + m;
        dz.copy_from_slice(r);
        for node in (0..n_nodes).rev() {
            let here = &mut dz[node * stride..(node + 1) * stride];
            let (x, u) = here.split_at_mut(np);
            if !own.layout.is_leaf[node] {
                let factor = &own.factor[node * m * m..(node + 1) * m * m];
                block::solve_lower(m, factor, &own.reciprocal[node * m..(node + 1) * m], &mut u[..m]);
                let gain = &own.gain[node * np * m..(node + 1) * np * m];
                for j in 0..m {
                    block::add_scaled(-u[j], &gain[j * np..(j + 1) * np], x);
                }
            }
            let linear = &mut d_costate[node * np..(node + 1) * np];
            linear.copy_from_slice(x);
            if node > 0 {
                let slope = &mut own.scratch[..];
                slope.copy_from_slice(x);
                let cost = &own.cost[node * np * n..(node + 1) * np * n];
                add_times(cost, np, &s[node * np..node * np + n], slope);
                let jac_t = &own.jac_t[node * stride * n..(node + 1) * stride * n];
                let parent = own.layout.parent[node] * stride;
                add_times(jac_t, stride, &slope[..n], &mut dz[parent..parent + stride]);
            }
        }
        // The root: its free states minimise ½ xᵀ P x + pᵀ x.
        dz[..np].fill(0.0);
        let nf = own.layout.free.len();
        if nf > 0 {
            let [_, factor, reciprocal, step] = &mut own.free;
            for (step, &i) in step.iter_mut().zip(&own.layout.free) {
                *step = -d_costate[i];
            }
            block::solve_lower(nf, factor, reciprocal, step);
            block::solve_upper(nf, factor, reciprocal, step);
            for (&step, &i) in step.iter().zip(&own.layout.free) {
                dz[i] = step;
            }
        }
        for node in 0..n_nodes {
            if node > 0 {
                let (before, here) = dz.split_at_mut(node * stride);
                let parent = own.layout.parent[node] * stride;
                let from = &before[parent..parent + stride];
                let x = &mut here[..np];
                x.copy_from_slice(&s[node * np..(node + 1) * np]);
                let jac = &own.jac[node * np * nv..(node + 1) * np * nv];
                add_times(jac, np, &from[..n], x);
                add_times(&jac[n * np..], np, &from[np..np + m], x);
                let cost = &own.cost[node * np * n..(node + 1) * np * n];
                add_times(cost, np, &x[..n], &mut d_costate[node * np..(node + 1) * np]);
            } else if nf > 0 {
                add_times(&own.cost[..np * n], np, &dz[..n], &mut d_costate[..np]);
            }
            if !own.layout.is_leaf[node] {
                let (x, u) = dz[node * stride..(node + 1) * stride].split_at_mut(np);
                let gain = &own.gain[node * np * m..(node + 1) * np * m];
                for j in 0..m {
                    u[j] = -u[j] - dot(&gain[j * np..(j + 1) * np], x);
                }
                let factor = &own.factor[node * m * m..(node + 1) * m * m];
                block::solve_upper(m, factor, &own.reciprocal[node * m..(node + 1) * m], &mut u[..m]);
            }
        }
    }
}

struct Residuals<'a> {
    riccati: &'a Riccati,
    z: &'a mut Vector,
    costate: &'a [f64],
    offset: &'a [f64],
    out: &'a mut Vector,
    out_s: &'a mut [f64],
}

impl Wide for Residuals<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Residuals { riccati: own, z, costate, offset, out, out_s } = self;
        let Layout { n, m, np, stride, n_nodes, .. } = own.layout;
        let nv = n + m;
        let (z, values) = z.parts_mut();
        let (out, multipliers) = out.parts_mut();
        for node in 0..n_nodes {
            let from = &z[node * stride..(node + 1) * stride];
            let target = &mut out[node * stride..(node + 1) * stride];
            let hess = &own.hess[node * stride * nv..(node + 1) * stride * nv];
            add_times(hess, stride, &from[..n], target);
            if !own.layout.is_leaf[node] {
                add_times(&hess[n * stride..], stride, &from[np..np + m], target);
            }
            for row in own.layout.row_start[node]..own.layout.row_start[node + 1] {
                let normal = &own.rows[row * stride..(row + 1) * stride];
                block::add_scaled(multipliers[row], normal, target);
                values[row] = dot(normal, from);
            }
            if node == 0 {
                continue;
            }
            for (target, costate) in target.iter_mut().zip(&costate[node * np..(node + 1) * np]) {
                *target -= costate;
            }
            let parent = own.layout.parent[node] * stride;
            let jac_t = &own.jac_t[node * stride * n..(node + 1) * stride * n];
            add_times(jac_t, stride, &costate[node * np..node * np + n], &mut out[parent..parent + stride]);
            let before = &z[parent..parent + stride];
            let gap = &mut out_s[node * np..(node + 1) * np];
            for i in 0..np {
                gap[i] = offset[node * np + i] - from[i];
            }
            let jac = &own.jac[node * np * nv..(node + 1) * np * nv];
            add_times(jac, np, &before[..n], gap);
            add_times(&jac[n * np..], np, &before[np..np + m], gap);
        }
    }
}

struct RowValues<'a> {
    riccati: &'a Riccati,
    v: &'a mut Vector,
}

impl Wide for RowValues<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let RowValues { riccati: own, v } = self;
        let stride = own.layout.stride;
        let (z, values) = v.parts_mut();
        for node in 0..own.layout.n_nodes {
            let rows = own.layout.rows(node);
            for (row, value) in rows.clone().zip(&mut values[rows]) {
                let normal = &own.rows[row * stride..(row + 1) * stride];
                *value = dot(normal, &z[node * stride..(node + 1) * stride]);
            }
        }
    }
}
