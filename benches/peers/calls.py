"""Single calls of compiled functions: a C compiler and CasADi beside twinc and diffsol, and the load time of AMICI.

Pollution's right-hand side and Jacobian; the right-hand side of the Brusselator with 2000 cells, in C as a loop. C code
is called from a loop in C, so that no call of Python is counted; twinc and diffsol are called as their solvers call
them. The functions are measured in turn.
"""

import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

import emit
from problems import PROBLEMS

LOOP = """
#include <time.h>
%s
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec*1e9 + t.tv_nsec;
}
double one_call(const double *y, double *out, long n_calls) {
  double begin = now();
  for (long k = 0; k < n_calls; k++) {
    %s;
    __asm__ volatile("" : : "r"(y), "r"(out) : "memory");
  }
  return (now() - begin)/n_calls;
}
"""


def compiled(source, call, start, n_out, flags, folder, n_calls):
    """A function that measures C code: nanoseconds of one call."""
    import ctypes

    import numpy as np

    path = pathlib.Path(folder) / f"code{len(os.listdir(folder))}"
    path.with_suffix(".c").write_text(LOOP % (source, call))
    command = ["gcc", "-O3", *flags, "-shared", "-fPIC", "-o", path.with_suffix(".so"), path.with_suffix(".c"), "-lm"]
    subprocess.run(command, check=True)
    function = ctypes.CDLL(str(path.with_suffix(".so"))).one_call
    function.restype = ctypes.c_double
    y, out = np.array(start, dtype=float), np.zeros(n_out)
    pointer = lambda a: a.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    return lambda: function(pointer(y), pointer(out), ctypes.c_long(n_calls))


def casadi_source(problem):
    """C code of the right-hand side and of the Jacobian, with the number of its nonzeros."""
    import casadi

    x = casadi.SX.sym("x", problem.n)
    space = dict(zip(problem.states, casadi.vertsplit(x)), exp=casadi.exp, sin=casadi.sin)
    for name, e in problem.lets:
        space[name] = eval(e, {}, space)
    rhs = casadi.vertcat(*[eval(e, {}, space) for e in problem.rhs])
    jacobian = casadi.jacobian(rhs, x)
    sources = []
    with tempfile.TemporaryDirectory() as folder:
        here = os.getcwd()
        os.chdir(folder)
        try:
            for name, result in (("values", rhs), ("slopes", jacobian)):
                casadi.Function(name, [x], [result]).generate(f"{name}.c")
                sources.append(pathlib.Path(f"{name}.c").read_text())
        finally:
            os.chdir(here)
    return sources, jacobian.nnz()


def amici_load():
    """Seconds of the processor, children included, that AMICI takes from SBML to a loaded model."""
    from run import Failure

    folder = os.environ.get("TWINC_REFERENCE_DIR", "")
    name = "Boehm_JProteomeRes2014"
    sbml = pathlib.Path(folder) / "data/petab" / name / f"model_{name}.xml"
    if not sbml.exists():
        raise Failure(f"no {sbml}")
    program = (
        "import sys, tempfile\nfrom amici import SbmlImporter\n"
        "SbmlImporter(sys.argv[1]).sbml2amici('stat5', tempfile.mkdtemp())\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", program, str(sbml)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise Failure(done.stderr.decode().strip().splitlines()[-1])
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def brusselator_source(n):
    """The Brusselator's right-hand side as one would write it in C."""
    return f"""
__attribute__((noinline)) void rhs(double t, const double *restrict y, double *restrict dy) {{
  const long n = {n}; const double d = 0.02*{n + 1}.0*{n + 1}.0;
  for (long i = 1; i < n - 1; i++) {{
    const double u = y[2*i], v = y[2*i + 1], w = u*u*v;
    dy[2*i] = 1 + w - 4*u + d*(y[2*i - 2] - 2*u + y[2*i + 2]);
    dy[2*i + 1] = 3*u - w + d*(y[2*i - 1] - 2*v + y[2*i + 3]);
  }}
  const long e = 2*n - 2;
  const double w0 = y[0]*y[0]*y[1], w1 = y[e]*y[e]*y[e + 1];
  dy[0] = 1 + w0 - 4*y[0] + d*(1 - 2*y[0] + y[2]);
  dy[1] = 3*y[0] - w0 + d*(3 - 2*y[1] + y[3]);
  dy[e] = 1 + w1 - 4*y[e] + d*(y[e - 2] - 2*y[e] + 1);
  dy[e + 1] = 3*y[e] - w1 + d*(y[e - 1] - 2*y[e + 1] + 3);
}}
"""


class Calls:
    """What is measured: a label and a function that gives nanoseconds, each asked once a round."""

    def __init__(self, options):
        self.options, self.rows, self.workers = options, [], []

    def add(self, label, prepare):
        """`prepare` loads or compiles and returns the function; where it cannot, the row says why."""
        from run import Failure

        try:
            self.rows.append((label, prepare(), []))
        except (Failure, ImportError, OSError, subprocess.SubprocessError) as e:
            self.rows.append((label, None, [str(e)]))

    def worker(self, command, key, **load):
        from run import Worker

        worker = Worker(command, self.options.limit)
        self.workers.append(worker)
        worker.ask(do="load", repeats=1, **load)
        return lambda: worker.ask(do="call")[key]

    def measured(self, n_rounds):
        """Label and median, or label and what was missing."""
        for _ in range(n_rounds):
            for _, call, values in self.rows:
                if call is not None:
                    values.append(call())
        for worker in self.workers:
            worker.close()
        value = lambda call, values: statistics.median(values) if call else f"missing: {values[0]}"
        return [(label, value(call, values)) for label, call, values in self.rows]


def measure(options):
    """Rows of label and nanoseconds, or of label and what was in the way."""
    from run import HERE, Failure

    pollution, brusselator = PROBLEMS["pollution"](), PROBLEMS["brusselator_2000"]()
    ours, peer = [str(options.twinc), "--serve"], [str(HERE / "diffsol/target/release/peer-diffsol")]
    calls, call = Calls(options), "rhs(0.0, y, out)"

    def tools(title, problem, what, key):
        calls.add(f"{title}: {what}, twinc", lambda: calls.worker(
            ours, key, text=problem.twin, states=problem.twin_states, model=problem.model))
        text = problem.diffsl[0][1] if problem.diffsl else emit.diffsl(problem)
        calls.add(f"{title}: {what}, diffsol", lambda: calls.worker(peer, key, text=text, matrix="sparse", n_params=0))

    with tempfile.TemporaryDirectory() as folder:

        def in_c(title, source, problem, n_calls):
            for flags in ([], ["-march=native"]):
                calls.add(f"{title}: right-hand side, {' '.join(['gcc -O3', *flags])}", lambda flags=flags: compiled(
                    source, call, problem.start, problem.n, flags, folder, n_calls))

        def by_casadi(which):
            sources, n_nonzeros = casadi_source(pollution)
            name, n_out = [("values", pollution.n), ("slopes", n_nonzeros)][which]
            call = f"const double *arg[1] = {{ y }}; double *res[1] = {{ out }}; {name}(arg, res, 0, 0, 0)"
            return compiled(sources[which], call, pollution.start, n_out, [], folder, 100_000)

        tools("Pollution", pollution, "right-hand side", "rhs_ns")
        # A function that is not inlined, as a kernel is not.
        source = emit.c_source(pollution).replace("void rhs", "__attribute__((noinline)) void rhs")
        in_c("Pollution", source, pollution, 100_000)
        calls.add("Pollution: right-hand side, CasADi's C, gcc -O3", lambda: by_casadi(0))
        tools("Pollution", pollution, "Jacobian", "jacobian_ns")
        calls.add("Pollution: Jacobian, CasADi's C, gcc -O3", lambda: by_casadi(1))
        tools("Brusselator, 2000 cells", brusselator, "right-hand side", "rhs_ns")
        in_c("Brusselator, 2000 cells", brusselator_source(2000), brusselator, 2_000)
        tools("Brusselator, 2000 cells", brusselator, "Jacobian", "jacobian_ns")
        found = {"calls": calls.measured(options.rounds)}
    if options.amici:
        label = "STAT5 from SBML to a loaded model, AMICI"
        try:
            found["amici_s"] = amici_load()
            found["calls"].append((label, f"{found['amici_s']:.1f} s"))
        except Failure as e:
            found["calls"].append((label, f"missing: {e}"))
    return found
