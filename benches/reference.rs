//! What kernels are measured against: the same right-hand sides and Jacobians as plain Rust functions.
//!
//! Right-hand sides are written as a person writes them. Jacobians, whose values stand in the order of compressed
//! columns, repeat the operations that our own plan shows, one statement each: the comparison is of machine code.

/// The Pollution model's right-hand side (Verwer 1994; 20 species, 25 reactions) by hand.
#[inline]
pub fn pollution(y: &[f64; 20], k: &[f64; 25], dy: &mut [f64; 20]) {
    let r1 = k[0] * y[0];
    let r2 = k[1] * y[1] * y[3];
    let r3 = k[2] * y[4] * y[1];
    let r4 = k[3] * y[6];
    let r5 = k[4] * y[6];
    let r6 = k[5] * y[6] * y[5];
    let r7 = k[6] * y[8];
    let r8 = k[7] * y[8] * y[5];
    let r9 = k[8] * y[10] * y[1];
    let r10 = k[9] * y[10] * y[0];
    let r11 = k[10] * y[12];
    let r12 = k[11] * y[9] * y[1];
    let r13 = k[12] * y[13];
    let r14 = k[13] * y[0] * y[5];
    let r15 = k[14] * y[2];
    let r16 = k[15] * y[3];
    let r17 = k[16] * y[3];
    let r18 = k[17] * y[15];
    let r19 = k[18] * y[15];
    let r20 = k[19] * y[16] * y[5];
    let r21 = k[20] * y[18];
    let r22 = k[21] * y[18];
    let r23 = k[22] * y[0] * y[3];
    let r24 = k[23] * y[18] * y[0];
    let r25 = k[24] * y[19];
    dy[0] = -r1 - r10 - r14 - r23 - r24 + r2 + r3 + r9 + r11 + r12 + r22 + r25;
    dy[1] = -r2 - r3 - r9 - r12 + r1 + r21;
    dy[2] = -r15 + r1 + r17 + r19 + r22;
    dy[3] = -r2 - r16 - r17 - r23 + r15;
    dy[4] = -r3 + 2.0 * r4 + r6 + r7 + r13 + r20;
    dy[5] = -r6 - r8 - r14 - r20 + r3 + 2.0 * r18;
    dy[6] = -r4 - r5 - r6 + r13;
    dy[7] = r4 + r5 + r6 + r7;
    dy[8] = -r7 - r8;
    dy[9] = -r12 + r7 + r9;
    dy[10] = -r9 - r10 + r8 + r11;
    dy[11] = r9;
    dy[12] = -r11 + r10;
    dy[13] = -r13 + r12;
    dy[14] = r14;
    dy[15] = -r18 - r19 + r16;
    dy[16] = -r20;
    dy[17] = r20;
    dy[18] = -r21 - r22 - r24 + r23 + r25;
    dy[19] = -r25 + r24;
}

/// Robertson's right-hand side by hand.
#[inline]
pub fn robertson(x: &[f64; 3], k: &[f64; 3], out: &mut [f64; 3]) {
    let slow = k[0] * x[0];
    let very_fast = k[1] * x[1] * x[1];
    let fast = k[2] * x[1] * x[2];
    out[0] = -slow + fast;
    out[1] = slow - very_fast - fast;
    out[2] = very_fast;
}

/// The right-hand side of HIRES by hand.
#[inline]
pub fn hires(y: &[f64; 8], _k: &[f64; 0], out: &mut [f64; 8]) {
    let bound = 280.0 * y[5] * y[7];
    out[0] = -1.71 * y[0] + 0.43 * y[1] + 8.32 * y[2] + 7e-4;
    out[1] = 1.71 * y[0] - 8.75 * y[1];
    out[2] = -10.03 * y[2] + 0.43 * y[3] + 0.035 * y[4];
    out[3] = 8.32 * y[1] + 1.71 * y[2] - 1.12 * y[3];
    out[4] = -1.745 * y[4] + 0.43 * y[5] + 0.43 * y[6];
    out[5] = -bound + 0.69 * y[3] + 1.71 * y[4] - 0.43 * y[5] + 0.69 * y[6];
    out[6] = bound - 1.81 * y[6];
    out[7] = -bound + 1.81 * y[6];
}

/// Robertson's Jacobian.
#[inline]
pub fn robertson_jacobian(x: &[f64; 3], p: &[f64; 3], out: &mut [f64; 7]) {
    let v0 = -p[0];
    out[0] = v0;
    out[1] = p[0];
    let v1 = p[2] * x[2];
    out[2] = v1;
    let v2 = p[1] * x[1];
    let v3 = -2.0 * v2 - v1;
    out[3] = v3;
    let v4 = 2.0 * v2;
    out[4] = v4;
    let v5 = x[1] * p[2];
    out[5] = v5;
    let v6 = -v5;
    out[6] = v6;
}

/// The Jacobian of HIRES.
#[inline]
pub fn hires_jacobian(x: &[f64; 8], _p: &[f64; 0], out: &mut [f64; 25]) {
    out[0] = -1.71;
    out[1] = 1.71;
    out[2] = 0.43;
    out[3] = -8.75;
    out[4] = 8.32;
    out[5] = 8.32;
    out[6] = -10.03;
    out[7] = 1.71;
    out[8] = 0.43;
    out[9] = -1.12;
    out[10] = 0.69;
    out[11] = 0.035;
    out[12] = -1.745;
    out[13] = 1.71;
    out[14] = 0.43;
    let v0 = -280.0 * x[7] - 0.43;
    out[15] = v0;
    let v1 = 280.0 * x[7];
    out[16] = v1;
    let v2 = -280.0 * x[7];
    out[17] = v2;
    out[18] = 0.43;
    out[19] = 0.69;
    out[20] = -1.81;
    out[21] = 1.81;
    let v3 = -280.0 * x[5];
    out[22] = v3;
    let v4 = 280.0 * x[5];
    out[23] = v4;
    out[24] = v3;
}

/// The Jacobian of Pollution.
#[inline]
pub fn pollution_jacobian(x: &[f64; 20], p: &[f64; 25], out: &mut [f64; 82]) {
    let v0 = x[10] * p[9];
    let v1 = x[5] * p[13];
    let v2 = x[3] * p[22];
    let v3 = x[18] * p[23];
    let v4 = -p[0] - v0 - v1 - v2 - v3;
    out[0] = v4;
    out[1] = p[0];
    out[2] = p[0];
    let v5 = -v2;
    out[3] = v5;
    let v6 = -v1;
    out[4] = v6;
    let v7 = -v0;
    out[5] = v7;
    out[6] = v0;
    out[7] = v1;
    let v8 = v2 - v3;
    out[8] = v8;
    out[9] = v3;
    let v9 = p[1] * x[3];
    let v10 = p[2] * x[4];
    let v11 = p[8] * x[10];
    let v12 = p[11] * x[9];
    let v13 = v9 + v10 + v11 + v12;
    out[10] = v13;
    let v14 = -v9 - v10 - v11 - v12;
    out[11] = v14;
    let v15 = -v9;
    out[12] = v15;
    let v16 = -v10;
    out[13] = v16;
    out[14] = v10;
    let v17 = v11 - v12;
    out[15] = v17;
    let v18 = -v11;
    out[16] = v18;
    out[17] = v11;
    out[18] = v12;
    let v19 = -p[14];
    out[19] = v19;
    out[20] = p[14];
    let v20 = p[1] * x[1];
    let v21 = x[0] * p[22];
    let v22 = v20 - v21;
    out[21] = v22;
    let v23 = -v20;
    out[22] = v23;
    out[23] = p[16];
    let v24 = -v20 - p[15] - p[16] - v21;
    out[24] = v24;
    out[25] = p[15];
    out[26] = v21;
    let v25 = x[1] * p[2];
    out[27] = v25;
    let v26 = -v25;
    out[28] = v26;
    out[29] = v26;
    out[30] = v25;
    let v27 = x[0] * p[13];
    let v28 = -v27;
    out[31] = v28;
    let v29 = x[6] * p[5];
    let v30 = p[19] * x[16];
    let v31 = v29 + v30;
    out[32] = v31;
    let v32 = x[8] * p[7];
    let v33 = -v29 - v32 - v27 - v30;
    out[33] = v33;
    let v34 = -v29;
    out[34] = v34;
    out[35] = v29;
    let v35 = -v32;
    out[36] = v35;
    out[37] = v32;
    out[38] = v27;
    let v36 = -v30;
    out[39] = v36;
    out[40] = v30;
    let v37 = p[5] * x[5];
    let v38 = 2.0 * p[3] + v37;
    out[41] = v38;
    let v39 = -v37;
    out[42] = v39;
    let v40 = -p[3] - p[4] - v37;
    out[43] = v40;
    let v41 = p[3] + p[4] + v37;
    out[44] = v41;
    out[45] = p[6];
    let v42 = x[5] * p[7];
    let v43 = -v42;
    out[46] = v43;
    out[47] = p[6];
    let v44 = -p[6] - v42;
    out[48] = v44;
    out[49] = p[6];
    out[50] = v42;
    let v45 = x[1] * p[11];
    out[51] = v45;
    let v46 = -v45;
    out[52] = v46;
    out[53] = v46;
    out[54] = v45;
    let v47 = x[1] * p[8];
    let v48 = x[0] * p[9];
    let v49 = v47 - v48;
    out[55] = v49;
    let v50 = -v47;
    out[56] = v50;
    out[57] = v47;
    let v51 = -v47 - v48;
    out[58] = v51;
    out[59] = v47;
    out[60] = v48;
    out[61] = p[10];
    out[62] = p[10];
    let v52 = -p[10];
    out[63] = v52;
    out[64] = p[12];
    out[65] = p[12];
    let v53 = -p[12];
    out[66] = v53;
    out[67] = p[18];
    let v54 = 2.0 * p[17];
    out[68] = v54;
    let v55 = -p[17] - p[18];
    out[69] = v55;
    let v56 = x[5] * p[19];
    out[70] = v56;
    let v57 = -v56;
    out[71] = v57;
    out[72] = v57;
    out[73] = v56;
    let v58 = x[0] * p[23];
    let v59 = p[21] - v58;
    out[74] = v59;
    out[75] = p[20];
    out[76] = p[21];
    let v60 = -p[20] - p[21] - v58;
    out[77] = v60;
    out[78] = v58;
    out[79] = p[24];
    out[80] = p[24];
    let v61 = -p[24];
    out[81] = v61;
}

/// Cells of the Brusselator on a line.
pub const N_CELLS: usize = 2_000;

/// One right-hand side of the Brusselator on a line (all u, then all v) as a rolled loop.
#[inline(always)]
fn brusselator_loop(x: &[f64; 2 * N_CELLS], out: &mut [f64; 2 * N_CELLS]) {
    const N: usize = N_CELLS;
    const D: f64 = 0.02 * ((N + 1) * (N + 1)) as f64;
    let (u, v) = x.split_at(N);
    let (du, dv) = out.split_at_mut(N);
    let cell = |u0: f64, u1: f64, u2: f64, v0: f64, v1: f64, v2: f64| {
        let uuv = u1 * u1 * v1;
        (1.0 + uuv - 4.0 * u1 + D * (u0 - 2.0 * u1 + u2), 3.0 * u1 - uuv + D * (v0 - 2.0 * v1 + v2))
    };
    (du[0], dv[0]) = cell(1.0, u[0], u[1], 3.0, v[0], v[1]);
    for i in 1..N - 1 {
        (du[i], dv[i]) = cell(u[i - 1], u[i], u[i + 1], v[i - 1], v[i], v[i + 1]);
    }
    (du[N - 1], dv[N - 1]) = cell(u[N - 2], u[N - 1], 1.0, v[N - 2], v[N - 1], 3.0);
}

/// [`brusselator_loop`] in the target's baseline instructions: two lanes.
#[inline(never)]
pub fn brusselator(x: &[f64; 2 * N_CELLS], out: &mut [f64; 2 * N_CELLS]) {
    brusselator_loop(x, out);
}

/// [`brusselator_loop`] with AVX2: four lanes.
#[cfg(target_arch = "x86_64")]
#[inline(never)]
#[target_feature(enable = "avx2")]
pub fn brusselator_avx2(x: &[f64; 2 * N_CELLS], out: &mut [f64; 2 * N_CELLS]) {
    brusselator_loop(x, out);
}
