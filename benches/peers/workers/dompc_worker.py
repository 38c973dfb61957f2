"""do-mpc on its stirred tank, nominal and with nine scenarios, as its example has it, at the tolerance of the others."""

import contextlib
import io
import time
import warnings

from serve import serve, timed

class Recorder:
    """The solver of do-mpc, which keeps cost and time of each solve."""

    def __init__(self, solver):
        self.solver = solver

    def __call__(self, **arguments):
        begin = time.process_time()
        found = self.solver(**arguments)
        self.seconds = time.process_time() - begin
        self.cost = float(found["f"])
        return found

    def stats(self):
        return self.solver.stats()


class DoMpc:
    """Builds the controller and asks it for inputs at given states."""

    def build(self, name, relaxed):
        import do_mpc
        from casadi import exp

        model = do_mpc.model.Model("continuous")
        c_a, c_b = model.set_variable("_x", "C_a"), model.set_variable("_x", "C_b")
        t_r, t_k = model.set_variable("_x", "T_R"), model.set_variable("_x", "T_K")
        flow, heat = model.set_variable("_u", "F"), model.set_variable("_u", "Q")
        alpha, beta = model.set_variable("_p", "alpha"), model.set_variable("_p", "beta")
        k1 = beta * 1.287e12 * exp(-9758.3 / (t_r + 273.15))
        k2 = 1.287e12 * exp(-9758.3 / (t_r + 273.15))
        k3 = 9.043e9 * exp(-alpha * 8560.0 / (t_r + 273.15))
        gap = t_r - t_k
        model.set_rhs("C_a", flow * (5.1 - c_a) - k1 * c_a - k3 * c_a**2)
        model.set_rhs("C_b", -flow * c_b + k1 * c_a - k2 * c_b)
        model.set_rhs(
            "T_R",
            (4.2 * k1 * c_a - 11.0 * k2 * c_b - 41.85 * k3 * c_a**2) / (-0.9342 * 3.01)
            + flow * (130.0 - t_r) - 4032.0 * 0.215 * gap / (0.9342 * 3.01 * 10.01),
        )
        model.set_rhs("T_K", (heat + 4032.0 * 0.215 * gap) / (5.0 * 2.0))
        model.setup()
        mpc = do_mpc.controller.MPC(model)
        is_robust = "robust" in name
        mpc.set_param(
            n_horizon=20, n_robust=1 if is_robust else 0, open_loop=0, t_step=0.005, state_discretization="collocation",
            collocation_type="radau", collocation_deg=2, collocation_ni=1, store_full_solution=False,
            store_lagr_multiplier=False, store_solver_stats=[],
            nlpsol_opts={
                "ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": 0, "ipopt.linear_solver": "mumps",
                "ipopt.tol": 1e-6, **({} if relaxed else {"ipopt.bound_relax_factor": 0.0, "ipopt.tol": 1e-10}),
            },
        )
        mpc.scaling["_x", "T_R"] = mpc.scaling["_x", "T_K"] = 100
        mpc.scaling["_u", "F"], mpc.scaling["_u", "Q"] = 100, 2000
        mpc.set_objective(mterm=(c_b - 0.6) ** 2, lterm=(c_b - 0.6) ** 2)
        mpc.set_rterm(F=0.1, Q=1e-3)
        for variable, low, high in [("C_a", 0.1, 2.0), ("C_b", 0.1, 2.0), ("T_R", 50.0, None), ("T_K", 50.0, 140.0)]:
            mpc.bounds["lower", "_x", variable] = low
            if high is not None:
                mpc.bounds["upper", "_x", variable] = high
        mpc.bounds["lower", "_u", "F"], mpc.bounds["upper", "_u", "F"] = 5.0, 100.0
        mpc.bounds["lower", "_u", "Q"], mpc.bounds["upper", "_u", "Q"] = -8500.0, 0.0
        mpc.set_nl_cons("T_R", t_r, ub=140.0, soft_constraint=True, penalty_term_cons=1e2)
        if is_robust:
            mpc.set_uncertainty_values(alpha=[1.0, 1.05, 0.95], beta=[1.0, 1.1, 0.9])
        else:
            mpc.set_uncertainty_values(alpha=[1.0], beta=[1.0])
        mpc.setup()
        mpc.S = Recorder(mpc.S)
        return mpc

    def quiet_build(self, name, relaxed=True):
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return self.build(name, relaxed)

    def begin(self, state):
        """The start of do-mpc's example: the state at every node, the previous input of the reference data."""
        import numpy as np

        self.mpc.x0 = np.array(state, dtype=float)
        self.mpc.u0 = np.zeros(2)
        self.mpc.set_initial_guess()
        # A guess of the input inside of its bounds.
        self.mpc.opt_x_num["_u"] = np.array([18.83, -4495.7]) / np.array([100.0, 2000.0])
        return np.array(state, dtype=float).reshape(-1, 1)

    def cold(self, request):
        import do_mpc  # noqa: F401 loading the library is not in the time

        state = [0.8, 0.5, 134.14, 130.0]
        self.mpc, build_seconds = timed(lambda: self.quiet_build(request["problem"], not request.get("exact")))
        x0 = self.begin(state)
        found, seconds = timed(lambda: self.mpc.make_step(x0))
        stats = self.mpc.S.stats()
        return {
            "build_ms": 1e3 * build_seconds, "plan_ms": 1e3 * seconds, "cost": self.mpc.S.cost,
            "input": found.ravel().tolist(), "iterations": stats["iter_count"], "status": stats["return_status"],
        }

    def load(self, request):
        self.mpc, seconds = timed(lambda: self.quiet_build(request["problem"]))
        return {"load_ms": 1e3 * seconds}

    def loop(self, request):
        """Plans at each of the states by `make_step`; the solver's own time, without what do-mpc does around it."""
        import numpy as np

        times, around, costs, inputs, iterations, failures = [], [], [], [], 0, 0
        previous = [0.0, 0.0]
        for step, state in enumerate(request["states"]):
            if step == 0:
                x0 = self.begin(state)
            else:
                x0 = np.array(state, dtype=float).reshape(-1, 1)
            self.mpc.u0 = np.array(previous)
            found, seconds = timed(lambda: self.mpc.make_step(x0))
            stats = self.mpc.S.stats()
            if step > 0:
                times.append(1e3 * self.mpc.S.seconds)
                around.append(1e3 * seconds)
                iterations += stats["iter_count"]
            failures += not stats["success"]
            costs.append(self.mpc.S.cost)
            inputs.append(found.ravel().tolist())
            previous = request["inputs"][step]
        return {
            "ms": times, "make_step_ms": around, "plans": costs, "inputs": inputs, "iterations": iterations,
            "failures": failures,
        }


if __name__ == "__main__":
    serve(DoMpc())
