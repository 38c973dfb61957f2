"""Single calls of compiled functions: a C compiler and CasADi beside twinc and diffsol, and the load time of AMICI.

Pollution's right-hand side and Jacobian; the right-hand side of the Brusselator with 2000 cells as a loop in C. C code is
called from a loop in C, so that no call of Python is counted; each number is the median of nine measurements.
"""

import os
import pathlib
import resource
import subprocess
import sys
import tempfile

import emit
from problems import PROBLEMS

LOOP = """
#include <time.h>
%s
static double now(void) { struct timespec t; clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); return t.tv_sec*1e9 + t.tv_nsec; }
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
    """Nanoseconds of one call of C code."""
    import ctypes
    import statistics

    import numpy as np

    path = pathlib.Path(folder) / f"code{len(os.listdir(folder))}"
    path.with_suffix(".c").write_text(LOOP % (source, call))
    subprocess.run(["gcc", "-O3", *flags, "-shared", "-fPIC", "-o", path.with_suffix(".so"), path.with_suffix(".c"), "-lm"],
                   check=True)
    function = ctypes.CDLL(str(path.with_suffix(".so"))).one_call
    function.restype = ctypes.c_double
    y, out = np.array(start, dtype=float), np.zeros(n_out)
    pointer = lambda a: a.ctypes.data_as(ctypes.POINTER(ctypes.c_double))
    run = lambda: function(pointer(y), pointer(out), ctypes.c_long(n_calls))
    run()
    return statistics.median(run() for _ in range(9))


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
            for name, result in (("rhs", rhs), ("jac", jacobian)):
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


def measure(options):
    """Rows of label and nanoseconds, or of label and what was in the way."""
    from run import HERE, Failure, Worker

    rows = []

    def add(label, call):
        try:
            rows.append((label, call()))
        except (Failure, ImportError, OSError, subprocess.SubprocessError) as e:
            rows.append((label, f"missing: {e}"))

    pollution, brusselator = PROBLEMS["pollution"](), PROBLEMS["brusselator_2000"]()
    peer = HERE / "diffsol/target/release/peer-diffsol"
    for title, problem in (("Pollution", pollution), ("Brusselator, 2000 cells", brusselator)):
        def ours(key):
            worker = Worker([str(options.twinc), "--serve"], options.limit)
            worker.ask(do="load", text=problem.twin, states=problem.twin_states, model=problem.model, repeats=1)
            answer = worker.ask(do="call")
            worker.close()
            return answer[key]

        def theirs(key):
            worker = Worker([str(peer)], options.limit)
            text = problem.diffsl[0][1] if problem.diffsl else emit.diffsl(problem)
            worker.ask(do="load", text=text, matrix="sparse", n_params=0, repeats=1)
            answer = worker.ask(do="call")
            worker.close()
            return answer[key]

        for what, key in (("right-hand side", "rhs_ns"), ("Jacobian", "jacobian_ns")):
            add(f"{title}: {what}, twinc", lambda: ours(key))
            add(f"{title}: {what}, diffsol", lambda: theirs(key))

    with tempfile.TemporaryDirectory() as folder:
        start, n = pollution.start, pollution.n
        for flags in ([], ["-march=native"]):
            label = " ".join(["gcc -O3", *flags])
            call = "rhs(0.0, y, out)"
            # A copy that is not inlined, as a kernel is not.
            source = emit.c_source(pollution).replace("void rhs", "__attribute__((noinline)) void rhs")
            add(f"Pollution: right-hand side, {label}",
                lambda: compiled(source, call, start, n, flags, folder, 200_000))
            loop = f"""
__attribute__((noinline)) void rhs(double t, const double *restrict y, double *restrict dy) {{
  const long n = 2000; const double d = 0.02*2001.0*2001.0;
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
            add(f"Brusselator, 2000 cells: right-hand side, {label}, a loop",
                lambda: compiled(loop, call, brusselator.start, 4000, flags, folder, 5_000))

        def casadi_calls(which):
            sources, n_nonzeros = casadi_source(pollution)
            name, n_out = [("rhs", n), ("jac", n_nonzeros)][which]
            call = f"const double *arg[1] = {{ y }}; double *res[1] = {{ out }}; {name}(arg, res, 0, 0, 0)"
            return compiled(sources[which], call, start, n_out, [], folder, 200_000)

        add("Pollution: right-hand side, CasADi C, gcc -O3", lambda: casadi_calls(0))
        add("Pollution: Jacobian, CasADi C, gcc -O3", lambda: casadi_calls(1))
    found = {"calls": rows}
    if options.amici:
        try:
            found["amici_s"] = amici_load()
            rows.append(("STAT5 from SBML to a loaded model, AMICI", f"{found['amici_s']:.1f} s"))
        except Failure as e:
            rows.append(("STAT5 from SBML to a loaded model, AMICI", f"missing: {e}"))
    return found
