"""IPOPT through CasADi on the optimal-control problems: multiple shooting, exact Hessians, MUMPS.

Forms: `map` keeps the stage functions as calls (`Function.map`), `expand` unrolls the whole problem into one graph of
scalars, `jit` is `map` compiled by gcc -O2. Starts: `warm` gives the last solution, shifted, with its multipliers and a
small barrier (`warm_start_init_point`, `mu_init`), `shift` gives it the shifted solution only.
"""

import os
import sys
import tempfile

from serve import serve, timed

TOLERANCES = {"ipopt.tol": 1e-6, "ipopt.constr_viol_tol": 1e-6, "ipopt.bound_relax_factor": 0.0}
WARM = {
    "ipopt.warm_start_init_point": "yes",
    "ipopt.warm_start_bound_push": 1e-8,
    "ipopt.warm_start_bound_frac": 1e-8,
    "ipopt.warm_start_slack_bound_push": 1e-8,
    "ipopt.warm_start_slack_bound_frac": 1e-8,
    "ipopt.warm_start_mult_bound_push": 1e-8,
    "ipopt.mu_init": 1e-4,
}
QUIET = {"ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": False, "ipopt.linear_solver": "mumps"}


class Ipopt:
    """Builds and solves; `x_0` and the forecast are parameters of one compiled problem."""

    def statement(self, name):
        import casadi as ca
        import control_problems

        p = self.problem = control_problems.problem(name)
        n, m, horizon = p.step.size1_in(0), p.step.size1_in(1), p.horizon
        self.sizes = n, m, horizon
        # The states of stages 1 to N, behind the inputs of stages 0 to N - 1.
        u, later = ca.MX.sym("u", m, horizon), ca.MX.sym("x", n, horizon)
        root, forecast = ca.MX.sym("x0", n), ca.MX.sym("d", p.n_forecast, horizon)
        x = ca.horzcat(root, later[:, :-1])
        gaps = p.step.map(horizon)(x, u, forecast) - later
        total = ca.sum2(p.cost.map(horizon)(x, u, forecast)) + p.final(later[:, -1])
        return {
            "x": ca.veccat(u, later), "p": ca.veccat(root, forecast), "f": total, "g": ca.vec(gaps),
        }

    def make(self, form, start, tolerances):
        import casadi as ca

        options = {**QUIET, **tolerances, **(WARM if start == "warm" else {})}
        if form == "expand":
            options["expand"] = True
        if form != "jit":
            return ca.nlpsol("solver", "ipopt", self.nlp, options)
        options.update(jit=True, jit_cleanup=False, compiler="shell", jit_options={"flags": ["-O2"], "verbose": False})
        here = os.getcwd()
        # The library is loaded when the solver is there, so that its file is not needed any longer.
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                return ca.nlpsol("solver", "ipopt", self.nlp, options)
            finally:
                os.chdir(here)

    def bounds(self):
        p = self.problem
        return (p.u_lower * p.horizon + p.x_lower * p.horizon, p.u_upper * p.horizon + p.x_upper * p.horizon)

    def parameters(self, x0, step):
        p = self.problem
        forecast = [v for k in range(p.horizon) for v in p.forecast(step + k)] if p.forecast else []
        return list(x0) + forecast

    def guess(self):
        p = self.problem
        return p.guess_u * p.horizon + p.guess_x * p.horizon

    def cold(self, request):
        """From CasADi's symbols to the first input, at the tolerances of the published optima where `exact`."""
        import casadi  # noqa: F401 loading the library is not in the time
        import control_problems  # noqa: F401

        exact = {"ipopt.tol": 1e-12, "ipopt.dual_inf_tol": 1e-9, "ipopt.constr_viol_tol": 1e-12, "ipopt.compl_inf_tol": 1e-11}
        tolerances = {**TOLERANCES, **(exact if request.get("exact") else {})}

        def build():
            self.nlp = self.statement(request["problem"])
            return self.make(request["form"], "cold", tolerances)

        compiling = os.times()
        solver, build_seconds = timed(build)
        compiled = os.times()
        # The compiler is a process of its own.
        build_seconds += compiled.children_user + compiled.children_system
        build_seconds -= compiling.children_user + compiling.children_system
        lower, upper = self.bounds()
        arguments = dict(x0=self.guess(), p=self.parameters(self.problem.x0, 0), lbx=lower, ubx=upper, lbg=0, ubg=0)
        found, seconds = timed(lambda: solver(**arguments))
        stats = solver.stats()
        return {
            "build_ms": 1e3 * build_seconds, "plan_ms": 1e3 * seconds, "cost": float(found["f"]),
            "input": found["x"].full().ravel()[: self.sizes[1]].tolist(), "iterations": stats["iter_count"],
            "status": stats["return_status"],
        }

    def load(self, request):
        """The same problem, once for a loop, with a start for the first plan and one for all later ones."""
        self.nlp = self.statement(request["problem"])
        (self.first, self.later), seconds = timed(
            lambda: (self.make("map", "cold", TOLERANCES), self.make(request["form"], request["start"], TOLERANCES))
        )
        return {"load_ms": 1e3 * seconds}

    def shifted(self, values):
        """A vector of the unknowns or their multipliers one stage on, the last stage twice."""
        import numpy as np

        n, m, horizon = self.sizes
        u, x = values[: m * horizon], values[m * horizon:]
        return np.concatenate([u[m:], u[-m:], x[n:], x[-n:]])

    def loop(self, request):
        """Plans at each of the states, each from the plan before; the first is not timed."""
        import numpy as np

        lower, upper = self.bounds()
        lower, upper = np.array(lower), np.array(upper)
        n, _, _ = self.sizes
        times, costs, inputs, iterations, failures = [], [], [], 0, 0
        last = None
        for step, state in enumerate(request["states"]):
            p = self.parameters(state, step)
            arguments = dict(p=p, lbx=lower, ubx=upper, lbg=0, ubg=0)
            if last is None:
                arguments["x0"] = self.guess()
            else:
                arguments["x0"] = self.shifted(last["x"].full().ravel())
                arguments["lam_x0"] = self.shifted(last["lam_x"].full().ravel())
                gaps = last["lam_g"].full().ravel()
                arguments["lam_g0"] = np.concatenate([gaps[n:], gaps[-n:]])
            solver = self.first if last is None else self.later
            found, seconds = timed(lambda: solver(**arguments))
            stats = solver.stats()
            if last is not None:
                times.append(1e3 * seconds)
                iterations += stats["iter_count"]
            failures += not stats["success"]
            last = found
            costs.append(float(found["f"]))
            inputs.append(found["x"].full().ravel()[: self.sizes[1]].tolist())
        return {"ms": times, "plans": costs, "inputs": inputs, "iterations": iterations, "failures": failures}


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)
    serve(Ipopt())
