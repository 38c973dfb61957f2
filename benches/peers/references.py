"""The values that every answer is compared with, and the measure.

`file`: values of the reference folder (113-bit collocation), read from `$TWINC_REFERENCE_DIR/reference/ivp`, of all
states or of those at some places. `expm`: the exact solution of a linear problem by SciPy's exponential of a matrix.
`tight`: SciPy's Radau with the analytic Jacobian at rtol 1e-10, or DOP853 at 3e-14 where the problem is not stiff, kept
in `.cache` because the largest takes half a minute; by this Radau the two Brusselators with reference values come out
to 2e-7 of the measure below.
"""

import json
import os
import pathlib

import numpy as np

CACHE = pathlib.Path(__file__).resolve().parent / ".cache"


class Missing(Exception):
    """There is nothing to compare with."""


def reference(problem):
    """The states at the end, in the order of the problem."""
    kind = problem.reference[0]
    if kind == "file":
        return from_file(problem, *problem.reference[1:])
    if kind == "expm":
        return exponential(problem)
    return kept(problem)


def from_file(problem, name, places=None):
    folder = os.environ.get("TWINC_REFERENCE_DIR")
    if folder is None:
        raise Missing("TWINC_REFERENCE_DIR is not set")
    data = json.loads((pathlib.Path(folder) / "reference" / "ivp" / f"{name}.json").read_text())
    rows = [row for row in data["reference"] if abs(float(row["t"]) - problem.end) <= 1e-12 * problem.end]
    y = np.array([float(v) for v in rows[-1]["y"]])
    return y if places is None else y[list(places)]


def exponential(problem):
    from scipy.sparse.linalg import expm_multiply

    matrix = problem.jacobian(0.0, np.array(problem.start), {})
    return expm_multiply(matrix.tocsc() * problem.end, np.array(problem.start, dtype=float))


def kept(problem):
    path = CACHE / f"{problem.name}.json"
    key = [problem.end, problem.start, problem.rhs[:3]]
    if path.exists():
        data = json.loads(path.read_text())
        if data["key"] == json.loads(json.dumps(key)):
            return np.array(data["y"])
    y = tight(problem)
    CACHE.mkdir(exist_ok=True)
    path.write_text(json.dumps({"key": key, "y": y.tolist()}))
    return y


def tight(problem, rtol=None):
    """The end by an independent solver at tight tolerance."""
    from scipy.integrate import solve_ivp

    import emit

    if problem.vector is not None:
        rhs = lambda t, y: problem.vector(t, y, problem.parameters)
    else:
        space = {}
        exec(emit.python(problem), space)
        rhs = lambda t, y: space["f"](t, y, *problem.parameters.values())
    settings = dict(method="DOP853", rtol=3e-14, atol=1e-15)
    if problem.is_stiff:
        settings = dict(method="Radau", rtol=1e-10, atol=1e-13)
        if problem.jacobian is not None:
            settings["jac"] = lambda t, y: problem.jacobian(t, y, problem.parameters)
    if rtol is not None:
        settings["rtol"] = rtol
    s = solve_ivp(rhs, (0.0, problem.end), problem.start, t_eval=[problem.end], **settings)
    if s.status != 0:
        raise Missing(f"the tight solution failed: {s.message}")
    return s.y[:, -1]


def error(problem, y, reference):
    """The largest |y - reference| / (atol + rtol |reference|) over the states: 1 is what the tolerance asks for."""
    y = np.array([np.nan if v is None else v for v in y], dtype=float)
    share = np.abs(y - reference) / (problem.atol + problem.rtol * np.abs(reference))
    return float(np.max(share)) if np.all(np.isfinite(share)) else float("inf")
