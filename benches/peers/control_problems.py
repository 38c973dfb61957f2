"""The optimal-control problems of the reference data in CasADi, by multiple shooting with RK4.

The statement is `reference/mpc/README.md` of the reference data; `tests/control/problems.rs` states the same for twinc.
Each function returns a `Problem`: dynamics, stage and final cost as CasADi functions, bounds and the start.
"""

import dataclasses
import json
import math
import os
import pathlib

import casadi as ca

INF = math.inf


@dataclasses.dataclass
class Problem:
    """min sum l(x_k, u_k, d_k) + final(x_N) over x_{k+1} = step(x_k, u_k, d_k) within bounds."""

    step: ca.Function
    cost: ca.Function
    final: ca.Function
    horizon: int
    x0: list
    u_lower: list
    u_upper: list
    x_lower: list
    x_upper: list
    guess_x: list
    guess_u: list
    # The known disturbance at each stage, none where there is nothing known.
    forecast: object = None
    n_forecast: int = 0


def rk4(n, m, slopes, dt, n_substeps, n_forecast=0):
    x, u, d = ca.SX.sym("x", n), ca.SX.sym("u", m), ca.SX.sym("d", n_forecast)
    h, y = dt / n_substeps, x
    for _ in range(n_substeps):
        a = slopes(y, u, d)
        b = slopes(y + h / 2 * a, u, d)
        c = slopes(y + h / 2 * b, u, d)
        e = slopes(y + h * c, u, d)
        y = y + h / 6 * (a + 2 * b + 2 * c + e)
    return ca.Function("step", [x, u, d], [y])


def costs(n, m, running, final, n_forecast=0):
    x, u, d = ca.SX.sym("x", n), ca.SX.sym("u", m), ca.SX.sym("d", n_forecast)
    return ca.Function("cost", [x, u, d], [running(x, u)]), ca.Function("final", [x], [final(x)])


def square(x, weights, reference):
    return sum(w * (x[k] - r) ** 2 for k, (w, r) in enumerate(zip(weights, reference)))


def cartpole(horizon, largest):
    big, small, length, g, dt = 1.0, 0.1, 0.8, 9.81, 0.05

    def slopes(x, u, _):
        theta, v, omega, force = x[1], x[2], x[3], u[0]
        s, c = ca.sin(theta), ca.cos(theta)
        den = big + small - small * c**2
        return ca.vertcat(
            v,
            omega,
            (-small * length * s * omega**2 + small * g * c * s + force) / den,
            (-small * length * c * s * omega**2 + force * c + (big + small) * g * s) / (length * den),
        )

    def final(x):
        return square(x, [1000.0, 1000.0, 0.01, 0.01], [0.0] * 4)

    cost, last = costs(4, 1, lambda x, u: dt * (final(x) + 0.01 * u[0] ** 2), final)
    x0 = [0.0, math.pi, 0.0, 0.0]
    free = [INF] * 4
    return Problem(rk4(4, 1, slopes, dt, 1), cost, last, horizon, x0, [-largest], [largest],
                   [-v for v in free], free, x0, [0.0])


def glucose():
    basal, insulin, n, p1, p2, p3 = 138.0, 7.0, 0.2814, 0.0, 0.0142, 15e-6

    def slopes(x, u, d):
        return ca.vertcat(
            -p1 * (x[0] - basal) - x[0] * x[1] + d[0],
            -p2 * x[1] + p3 * (x[2] - insulin),
            -n * (x[2] - insulin) + u[0],
        )

    def risk(x):
        return 10 * (3.35506 * (ca.log(x[0]) ** 0.8353 - 3.7932)) ** 2

    cost, last = costs(3, 1, lambda x, u: risk(x) + 0.01 * u[0] ** 2, risk, 1)
    x0 = [138.0, 0.0, 7.0]
    return Problem(rk4(3, 1, slopes, 10.0, 10, 1), cost, last, 100, x0, [0.0], [2.0],
                   [70.0, -INF, -INF], [400.0, INF, INF], x0, [0.0],
                   lambda k: [4.0 * math.exp(-0.1 * k)], 1)


def chain(n_masses, reference):
    n_free = n_masses - 2
    n = 3 * (2 * n_free + 1)
    stiffness, rest_length = 1.0 / 0.033, 0.033

    def slopes(x, u, _):
        places = [ca.SX.zeros(3)] + [x[3 * i:3 * i + 3] for i in range(n_free + 1)]
        speeds = [x[3 * (n_free + 1 + i):3 * (n_free + 2 + i)] for i in range(n_free)]
        pulls = []
        for a, b in zip(places, places[1:]):
            d = b - a
            pulls.append(stiffness * (1 - rest_length / ca.sqrt(ca.sumsqr(d))) * d)
        gravity = ca.DM([0.0, 0.0, -9.81])
        return ca.vertcat(*speeds, u, *[gravity - pulls[i] + pulls[i + 1] for i in range(n_free)])

    rest, x0 = reference["x_rest"], reference["x0"]
    weights = [n_free + 1.0 if 3 * n_free <= k < 3 * n_free + 3 else 1.0 for k in range(n)]

    def final(x):
        return square(x, weights, rest)

    cost, last = costs(n, 3, lambda x, u: 0.2 * (final(x) + 0.01 * ca.sumsqr(u)), final)
    lower = [-0.05 if k < 3 * (n_free + 1) and k % 3 == 1 else -INF for k in range(n)]
    return Problem(rk4(n, 3, slopes, 0.2, 2), cost, last, 40, x0, [-1.0] * 3, [1.0] * 3,
                   lower, [INF] * n, rest, [0.0] * 3)


def quadrotor():
    mass, g, arm, jx, jy, jz, kq, dt = 1.0, 9.81, 0.2, 0.01, 0.01, 0.02, 0.02, 0.05

    def slopes(x, u, _):
        roll, pitch, yaw, wx, wy, wz = (x[k] for k in range(6, 12))
        sr, cr, sp, cp, sy, cy = ca.sin(roll), ca.cos(roll), ca.sin(pitch), ca.cos(pitch), ca.sin(yaw), ca.cos(yaw)
        lift = (u[0] + u[1] + u[2] + u[3]) / mass
        return ca.vertcat(
            x[3], x[4], x[5],
            lift * (cr * sp * cy + sr * sy),
            lift * (cr * sp * sy - sr * cy),
            lift * cr * cp - g,
            wx + sr * ca.tan(pitch) * wy + cr * ca.tan(pitch) * wz,
            cr * wy - sr * wz,
            (sr * wy + cr * wz) / cp,
            (arm * (u[1] - u[3]) + (jy - jz) * wy * wz) / jx,
            (arm * (u[2] - u[0]) + (jz - jx) * wz * wx) / jy,
            (kq * (u[0] - u[1] + u[2] - u[3]) + (jx - jy) * wx * wy) / jz,
        )

    weights = [10.0] * 3 + [1.0] * 6 + [0.1] * 3
    target, hover = [2.0, 1.0, 1.5] + [0.0] * 9, [mass * g / 4] * 4

    def running(x, u):
        return dt * (square(x, weights, target) + square(u, [0.05] * 4, hover))

    cost, last = costs(12, 4, running, lambda x: square(x, [10 * w for w in weights], target))
    limit = [0.6 if k in (6, 7) else INF for k in range(12)]
    return Problem(rk4(12, 4, slopes, dt, 1), cost, last, 40, [0.0] * 12, [0.0] * 4, [6.0] * 4,
                   [-v for v in limit], limit, [0.0] * 12, hover)


def references():
    """`optima.json` and `cstr.json`; needs the reference data."""
    folder = pathlib.Path(os.environ["TWINC_REFERENCE_DIR"]) / "reference/mpc"
    optima = json.loads((folder / "optima.json").read_text())
    tank = json.loads((folder / "cstr.json").read_text())
    optima["cstr_nominal_n20"] = {"optimum_cost": tank["optimum_cost"], "u0": tank["u0"]}
    optima["cstr_robust_n20"] = tank["robust9"]
    return optima


def problem(name):
    kind, _, size = name.partition("_")
    if kind == "cartpole":
        return cartpole(int(name.rpartition("n")[2]), 12.0 if "f12" in name else 80.0)
    if kind == "glucose":
        return glucose()
    if kind == "chain":
        return chain(int(size.split("_")[0][1:]), references()[name])
    if kind == "quadrotor":
        return quadrotor()
    raise KeyError(f"no problem {name}")
