#!/usr/bin/env python3
"""Runs twinc and other tools on exactly the same problems, in turn, and prints how they compare.

    pip install -r benches/peers/requirements.txt
    TWINC_REFERENCE_DIR=... python3 benches/peers/run.py [--problems a,b] [--peers diffsol,scipy] [--json FILE]

Every tool is a process of its own that loads the problem and solves it on request, so that the measurements of one
round follow each other on the same machine. Time is processor time of one thread, the median over the rounds of each
round's median; loading and compiling are measured apart; there is no output but the end. Of a peer's methods and
matrices the fastest on the problem is taken. An error is the largest of |y - reference| / (atol + rtol |reference|).

A peer that is missing, fails, or takes longer than `--limit` seconds is named below the table.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import select
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import emit  # noqa: E402
import references  # noqa: E402
from problems import PROBLEMS  # noqa: E402

# Above this many states libRoadRunner and diffsol's form with an equation a state load for minutes.
LARGEST = 1100
# Up to this many states a model is loaded several times.
SMALL = 200
TIGHTER = 10 ** -0.25
# Of a peer's variants those within this factor of the fastest first solve are measured, and the fastest of them kept.
CLOSE = 1.6


class Failure(Exception):
    """A peer that did not answer as it should."""


class Worker:
    """A process that answers JSON by lines."""

    def __init__(self, command, limit):
        self.limit = limit
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=HERE
        )

    def ask(self, **request):
        try:
            self.process.stdin.write((json.dumps(request) + "\n").encode())
            self.process.stdin.flush()
        except BrokenPipeError as e:
            raise Failure("it stopped") from e
        begin = self.spent()
        while not select.select([self.process.stdout], [], [], 1.0)[0]:
            if self.spent() - begin > self.limit:
                self.close()
                raise Failure(f"no answer within {self.limit:g} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failure("it stopped")
        answer = json.loads(line)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    def spent(self):
        """Seconds of the processor; seconds of the clock where the system does not tell."""
        try:
            fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return time.monotonic()

    def close(self):
        self.process.kill()
        self.process.wait()


class Variant:
    """One way to run one tool on one problem: a loaded worker and a method."""

    def __init__(self, tool, label, problem, solve, order=None):
        self.tool, self.label, self.problem, self.call, self.order = tool, label, problem, solve, order
        self.rounds, self.answer, self.load_ms = [], None, None

    def solve(self, seconds, factor=1.0):
        p = self.problem
        answer = self.call(rtol=p.rtol * factor, atol=p.atol * factor, seconds=seconds)
        y = answer.pop("y")
        if self.order is not None:
            y = [y[k] for k in self.order]
        answer["ms"] = statistics.median(answer["ms"])
        answer["y"] = y
        return answer

    def measure(self, seconds):
        self.answer = self.solve(seconds)
        self.rounds.append(self.answer["ms"])

    def result(self, reference):
        p, a = self.problem, self.answer
        found = {k: v for k, v in a.items() if k not in ("y", "ms")}
        found.update(
            tool=self.tool, variant=self.label, ms=median(self), rounds=self.rounds,
            error=references.error(p, a["y"], reference), load_ms=self.load_ms,
        )
        if p.invariant is not None:
            found["invariant"] = p.invariant(a["y"])
        return found


def n_loads(problem, options):
    """How often a peer loads the problem."""
    return options.loads if problem.n <= SMALL else 1


def segments(problem):
    return [[end, list(values.values())] for end, values in problem.segments]


def twinc(problem, options):
    """Our own variants: all adaptive methods on one loaded model."""
    worker = Worker([str(options.twinc), "--serve"], options.limit)
    options.workers.append(worker)
    methods = worker.ask(do="methods")["methods"]
    load = worker.ask(do="load", text=problem.twin, model=problem.model, states=problem.twin_states,
                      repeats=options.loads)
    for method in methods:
        if problem.is_stiff and method in ("tsit5", "dop853"):
            # Where stability allows it, `auto` takes it.
            continue
        solve = lambda method=method, **k: worker.ask(do="solve", method=method, end=problem.end, **k)
        variant = Variant("twinc", method, problem, solve)
        variant.load_ms = load["load_ms"]
        yield variant


def diffsol(problem, options):
    binary = HERE / "diffsol/target/release/peer-diffsol"
    if not binary.exists():
        raise Failure("not built: cargo build --release --manifest-path benches/peers/diffsol/Cargo.toml")
    if problem.is_heavy and not options.thorough:
        raise Failure("takes more than 10 GB to load it, only with --thorough")
    forms = [("scalar", emit.diffsl(problem), None)] if problem.n <= LARGEST or options.thorough else []
    forms += problem.diffsl
    if not forms:
        raise Failure("no form of the problem that it compiles in reasonable time")
    for label, text, order in forms:
        for matrix in ["dense", "sparse"] if problem.n <= 100 else ["sparse"]:
            worker = Worker([str(binary)], options.limit)
            options.workers.append(worker)
            load = worker.ask(do="load", text=text, matrix=matrix, n_params=len(problem.parameters),
                              repeats=n_loads(problem, options))
            for method in ["bdf"] if problem.is_stiff else ["bdf", "tsit45"]:
                solve = lambda worker=worker, method=method, **k: worker.ask(
                    do="solve", method=method, segments=segments(problem), **k
                )
                variant = Variant("diffsol", f"{method} {matrix} {label}", problem, solve, order)
                variant.load_ms = load["load_ms"]
                yield variant


def python_peer(tool, script, methods):
    def variants(problem, options):
        if tool == "roadrunner" and problem.n > LARGEST and not options.thorough:
            raise Failure("loads for minutes at this size, only with --thorough")
        worker = Worker([sys.executable, str(HERE / "workers" / script)], options.limit)
        options.workers.append(worker)
        load = worker.ask(do="load", problem=problem.name, repeats=n_loads(problem, options))
        for method in methods(problem):
            solve = lambda method=method, **k: worker.ask(do="solve", method=method, **k)
            variant = Variant(tool, method, problem, solve)
            variant.load_ms = load["load_ms"]
            yield variant

    return variants


def roadrunner_methods(problem):
    return ["stiff"] if problem.is_stiff else ["stiff", "nonstiff"]


def scipy_methods(problem):
    if not problem.is_stiff:
        return ["LSODA", "DOP853"]
    lsoda = ["LSODA"] if problem.bands or problem.n <= 500 else []
    return lsoda + (["BDF"] if problem.n > 100 else [])


PEERS = {
    "roadrunner": python_peer("roadrunner", "roadrunner_worker.py", roadrunner_methods),
    "diffsol": diffsol,
    "scipy": python_peer("scipy", "scipy_worker.py", scipy_methods),
}


def median(variant):
    """Milliseconds of a measured variant."""
    return statistics.median(variant.rounds)


def scout(tool, make, problem, options, notes):
    """The variants of a tool that answer, each with one solve."""
    found = []
    try:
        for variant in make(problem, options):
            try:
                variant.scouted = variant.solve(0.0)["ms"]
                found.append(variant)
            except Failure as e:
                notes.append(f"{tool} ({variant.label}): {e}")
    except Failure as e:
        notes.append(f"{tool}: {e}")
    return found


def match(variant, target, reference, seconds):
    """Our variant at tolerances that fall until its error is at most `target`."""
    factor, last = 1.0, None
    while factor > 1e-6:
        try:
            answer = variant.solve(0.0, factor)
        except Failure as e:
            return {"failure": str(e)}
        if references.error(variant.problem, answer["y"], reference) <= target:
            last = answer
            break
        factor *= TIGHTER
    if last is None:
        return {"failure": "not reached at 1e-6 of the tolerances"}
    if factor == 1.0:
        # The rounds, in turn with the peers, are the better measurement.
        again = {**variant.answer, "ms": median(variant)}
    else:
        again = variant.solve(seconds, factor)
    return {
        "ms": again["ms"], "factor": factor, "steps": again["steps"], "method": variant.label,
        "error": references.error(variant.problem, again["y"], reference),
    }


def loosen(variant, matched, target, reference, seconds):
    """The fastest of our variant's solves at looser and looser tolerances while the error is not above `target`."""
    fastest = 1.0, matched["ms"], matched["error"]
    factor = 1 / TIGHTER
    while factor < 1e3:
        try:
            answer = variant.solve(0.0, factor)
        except Failure:
            break
        error = references.error(variant.problem, answer["y"], reference)
        if error > target:
            break
        if answer["ms"] < fastest[1]:
            fastest = factor, answer["ms"], error
        factor /= TIGHTER
    factor, _, error = fastest
    return {"ms": variant.solve(seconds, factor)["ms"], "factor": factor, "error": error}


def compare(name, options):
    """Everything about one problem."""
    problem = PROBLEMS[name]()
    notes, options.workers = [], []
    record = {"problem": name, "title": problem.title, "n_states": problem.n, "notes": notes}
    record.update(rtol=problem.rtol, atol=problem.atol)
    try:
        reference = references.reference(problem)
    except references.Missing as e:
        notes.append(f"skipped: {e}")
        return record
    try:
        ours = scout("twinc", twinc, problem, options, notes)
        chosen = list(ours)
        for tool in options.peers:
            found = scout(tool, PEERS[tool], problem, options, notes)
            fastest = min((v.scouted for v in found), default=0.0)
            chosen += [v for v in found if v.scouted <= CLOSE * fastest]
        for k in range(options.rounds):
            for variant in list(chosen):
                # A method that needs ten times the time of its tool's best is not measured any longer.
                fastest = min(v.scouted for v in chosen if v.tool == variant.tool)
                if k > 0 and variant.label != "auto" and variant.scouted > 10 * fastest:
                    continue
                try:
                    variant.measure(options.seconds)
                except Failure as e:
                    notes.append(f"{variant.tool} ({variant.label}): {e}")
                    chosen.remove(variant)
        fastest = {tool: min((v for v in chosen if v.tool == tool), key=median, default=None) for tool in options.peers}
        chosen = [v for v in chosen if v.tool == "twinc" or v is fastest[v.tool]]
        record["results"] = [v.result(reference) for v in chosen]
        ours = [v for v in ours if v in chosen]
        matched = record["matched"] = {}
        for peer in [r for r in record["results"] if r["tool"] != "twinc"]:
            answers = {v.label: match(v, peer["error"], reference, options.seconds) for v in ours if v.rounds}
            for label, answer in answers.items():
                if "ms" not in answer:
                    continue
                answer["ratio"] = answer["ms"] / peer["ms"]
                if label == "auto" and answer["factor"] == 1.0:
                    variant = next(v for v in ours if v.label == label)
                    answer["loosened"] = loosen(variant, answer, peer["error"], reference, options.seconds)
                    answer["loosened"]["ratio"] = answer["loosened"]["ms"] / peer["ms"]
            matched[peer["tool"]] = answers
    finally:
        for worker in options.workers:
            worker.close()
    return record


def built():
    """The path of our side, built if need be."""
    command = ["cargo", "bench", "--bench", "peers", "--no-run", "--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
    for line in lines:
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "peers":
            return pathlib.Path(message["executable"])
    raise SystemExit("cargo named no executable")


def main():
    from report import is_met, print_calls, print_loads, print_table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default=",".join(PROBLEMS), help="names, separated by commas")
    parser.add_argument("--peers", default=",".join(PEERS), help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="how often all tools take their turn")
    parser.add_argument("--seconds", type=float, default=0.1, help="of each turn")
    parser.add_argument("--loads", type=int, default=3, help="how often each model is loaded")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds of the processor that one answer may take")
    parser.add_argument("--thorough", action="store_true", help="also forms and sizes that take a peer minutes to load")
    parser.add_argument("--calls", action="store_true", help="time single calls of Pollution's kernels, too")
    parser.add_argument("--amici", action="store_true", help="compile a model by AMICI, too (needs a C++ compiler)")
    parser.add_argument("--check", action="store_true", help="fail where a ratio of twinc auto is above 0.5 or missing")
    parser.add_argument("--twinc", type=pathlib.Path, help="our side as a built program; default: build it")
    parser.add_argument("--json", type=pathlib.Path, help="file for all results")
    options = parser.parse_args()
    options.peers = [p for p in options.peers.split(",") if p]
    options.twinc = (options.twinc or built()).resolve()
    names = [n for n in options.problems.split(",") if n]
    for n in names + options.peers:
        if n not in PROBLEMS and n not in PEERS:
            parser.error(f"no `{n}`; problems: {', '.join(PROBLEMS)}; peers: {', '.join(PEERS)}")
    records, calls = [], None

    def keep():
        machine = {"machine": platform.processor() or platform.machine(), "system": platform.platform()}
        out = {"date": datetime.date.today().isoformat(), **machine, "problems": records, "calls": calls}
        if options.json:
            options.json.write_text(json.dumps(out, indent=1))

    for name in names:
        records.append(compare(name, options))
        print_table(records[-1:], options.peers, with_head=len(records) == 1)
        keep()
    print()
    print_loads(records, options.peers)
    if options.calls or options.amici:
        import calls as single

        calls = single.measure(options)
        print()
        print_calls(calls)
    notes = [(r["title"], n) for r in records for n in r["notes"]]
    if notes:
        print("\nMissing:")
        for title, note in notes:
            print(f"- {title}: {note}")
    keep()
    missed = [r["title"] for r in records if not is_met(r, options.peers)]
    if options.check and missed:
        sys.exit(f"above half of a peer's time at no larger error: {', '.join(missed)}")


if __name__ == "__main__":
    main()
