"""SciPy as a peer: LSODA (banded where the Jacobian is), BDF, Radau and DOP853, right-hand sides in plain Python, or on
arrays for the problems that are regular."""

from serve import repeated, serve, timed


class SciPy:
    """Loads a problem and solves it by `solve_ivp`, without output but at the end."""

    def load(self, request):
        import numpy as np
        import scipy

        import emit
        from problems import PROBLEMS

        problem = self.problem = PROBLEMS[request["problem"]]()
        self.start = np.array(problem.start, dtype=float)
        if problem.vector is not None and problem.n > 30:
            self.rhs = lambda t, y, values: problem.vector(t, y, values)
            seconds = 0.0
        else:
            space = {}
            _, seconds = timed(lambda: exec(emit.python(problem), space))
            self.rhs = lambda t, y, values: space["f"](t, y.tolist(), *values.values())
        return {"load_ms": [seconds * 1e3], "version": scipy.__version__}

    def solve(self, request):
        from scipy.integrate import solve_ivp

        problem, method, answer = self.problem, request["method"], {}
        further = {}
        if method == "LSODA" and problem.bands:
            further = dict(lband=problem.bands[0], uband=problem.bands[1])

        def once():
            y, t, n_rhs = self.start, 0.0, 0
            for end, values in problem.segments:
                if method in ("BDF", "Radau") and problem.jacobian is not None:
                    further["jac"] = lambda t, y, values=values: problem.jacobian(t, y, values)
                rhs = lambda t, y, values=values: self.rhs(t, y, values)
                tolerances = dict(rtol=request["rtol"], atol=request["atol"])
                s = solve_ivp(rhs, (t, end), y, method, t_eval=[end], **tolerances, **further)
                if s.status != 0:
                    raise ArithmeticError(s.message)
                y, t, n_rhs = s.y[:, -1], end, n_rhs + s.nfev
            answer.update(y=y.tolist(), rhs=n_rhs)

        times = repeated(once, request["seconds"])
        return {"ms": times, **answer}


serve(SciPy())
