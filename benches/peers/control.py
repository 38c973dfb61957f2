#!/usr/bin/env python3
"""Runs twinc's SQP, IPOPT through CasADi and do-mpc on exactly the same optimal-control problems, in turn.

    pip install -r benches/peers/requirements.txt
    TWINC_REFERENCE_DIR=... python3 benches/peers/control.py [--problems a,b] [--rounds 3] [--json FILE]

The problems are those of `reference/mpc` of the reference data. twinc goes through a closed loop of 60 steps by its SQP
at tolerance 1e-6; the peer then plans at the same states, each plan from its own one before, and every planned cost is
compared with twinc's. Time is processor time of one thread, the median over the steps, and over the rounds of that; the
tools take turns. From source text to the first input is measured apart, in the same turns, and what everybody finds at
the tolerances of the published optima is compared with these. acados is not run: its published times stand beside ours,
with a measure of this machine and the ratio of the peers that were both published and run here.
"""

import argparse
import datetime
import json
import pathlib
import platform
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import control_problems  # noqa: E402
from run import Failure, Worker  # noqa: E402

NAMES = [
    "cartpole_n20", "cartpole_n50", "cartpole_n100", "cartpole_f12_n100", "glucose_n100", "chain_m5_n40",
    "chain_m9_n40", "quadrotor_n40", "cstr_nominal_n20", "cstr_robust_n20",
]
# Milliseconds published with the reference problems, of another machine: acados' SQP, its real-time iteration, and the
# peer that is run here.
PUBLISHED = {
    "cartpole_n20": (0.14, 0.071, 2.1), "cartpole_n50": (None, 0.16, None), "glucose_n100": (3.2, 1.24, 26.0),
    "chain_m9_n40": (17.0, None, 383.0), "quadrotor_n40": (0.47, 0.31, 12.8), "cstr_nominal_n20": (None, None, 19.0),
    "cstr_robust_n20": (None, None, 125.0),
}
# Steps of the loop that choose a peer's form and start.
N_SCOUTED = 8


def is_tank(name):
    return name.startswith("cstr")


def built():
    """The path of our side, built if need be."""
    command = ["cargo", "bench", "--bench", "planners", "--no-run", "--message-format", "json"]
    for line in subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode().splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "planners":
            return pathlib.Path(message["executable"])
    raise SystemExit("cargo named no executable")


def spread(theirs, ours):
    """The largest |theirs - ours| / max(|ours|, 1e-3 of the largest |ours|) of the planned costs but the first."""
    floor = 1e-3 * max(abs(v) for v in ours)
    return max(abs(a - b) / max(abs(b), floor) for a, b in list(zip(theirs, ours))[1:])


class Peer:
    """A tool on one problem: its variants, each a process with the problem loaded."""

    def __init__(self, name, options):
        self.name, self.options, self.workers = name, options, []
        # Milliseconds of each variant on the first steps.
        self.scouted = {}
        self.tool = "do-mpc" if is_tank(name) else "CasADi + IPOPT"
        if is_tank(name):
            self.requests = [{"problem": name}]
        else:
            # Unrolled, the chains take minutes to build.
            forms = [f for f in options.forms.split(",") if f != "expand" or not name.startswith("chain")]
            self.requests = [{"problem": name, "form": f, "start": s} for s in ("warm", "shift") for f in forms]

    def worker(self):
        script = "dompc_worker.py" if is_tank(self.name) else "ipopt_worker.py"
        worker = Worker([sys.executable, str(HERE / "workers" / script)], self.options.limit)
        self.workers.append(worker)
        return worker

    def choose(self, states, inputs, notes):
        """Keeps the variant with the fastest solves of the first steps that all succeed."""
        best = None
        for request in self.requests:
            if request.get("start") == "shift" and best is not None and best[0][0] == 0:
                # Without its multipliers IPOPT takes about twice the iterations.
                break
            label = " ".join(v for k, v in request.items() if k != "problem")
            worker = self.worker()
            try:
                worker.ask(do="load", **request)
                answer = worker.ask(do="loop", states=states[:N_SCOUTED], inputs=inputs[:N_SCOUTED])
            except Failure as e:
                notes.append(f"{self.tool} {label}: {e}")
                continue
            if answer["failures"]:
                notes.append(f"{self.tool} {label}: {answer['failures']} of {N_SCOUTED} plans failed")
            key = answer["failures"], statistics.median(answer["ms"])
            self.scouted[label] = key[1]
            if best is None or key < best[0]:
                best = key, request, worker, label
        if best is None:
            raise Failure("no variant answered")
        _, self.request, self.chosen, self.label = best

    def close(self):
        for worker in self.workers:
            worker.close()


def compare(name, ours, options, reference):
    """Everything about one problem."""
    notes = []
    record = {"problem": name, "notes": notes, "optimum": reference[name]["optimum_cost"]}
    loop = ours.ask(do="loop", problem=name, is_real_time=False)
    states, inputs = loop["states"], loop["inputs"]
    peer = Peer(name, options)
    record["peer"] = peer.tool
    try:
        peer.choose(states, inputs, notes)
        record.update(variant=peer.label, scouted=peer.scouted)
        exact = {"problem": name, "form": "map", "exact": True}
        record["exact"] = {"peer": peer.chosen.ask(do="cold", **exact), "twinc": ours.ask(do="cold", problem=name)}
        rounds = {"sqp": [], "rti": [], "peer": [], "make_step": [], "cold": [], "peer_cold": []}
        for _ in range(options.rounds):
            loop = ours.ask(do="loop", problem=name, is_real_time=False)
            rounds["sqp"].append(loop["median_ms"])
            rounds["rti"].append(ours.ask(do="loop", problem=name, is_real_time=True)["median_ms"])
            answer = peer.chosen.ask(do="loop", states=loop["states"], inputs=loop["inputs"])
            rounds["peer"].append(statistics.median(answer["ms"]))
            rounds["make_step"].append(statistics.median(answer.get("make_step_ms", [0.0])))
        for _ in range(options.rounds):
            cold = ours.ask(do="cold", problem=name)
            rounds["cold"].append(cold["build_ms"] + cold["plan_ms"])
            record["cold_plan_ms"] = cold["plan_ms"]
            worker = peer.worker()
            first = worker.ask(do="cold", problem=name, form="map")
            rounds["peer_cold"].append(first["build_ms"] + first["plan_ms"])
            worker.close()
        record["rounds"] = rounds
        n = len(answer["ms"])
        record["iterations"] = {"twinc": loop["iterations"] / n, "peer": answer["iterations"] / n}
        record["failures"] = answer["failures"]
        record["spread"] = spread(answer["plans"], loop["plans"])
        record["differing"] = sum(spread([0, a], [0, b]) > 1e-3 for a, b in zip(answer["plans"][1:], loop["plans"][1:]))
    except Failure as e:
        notes.append(f"{peer.tool}: {e}")
    finally:
        peer.close()
    return record


def cell(value, digits=3):
    return "-" if value is None else f"{value:.{digits}g}"


def print_tables(records, machine):
    middle = {r["problem"]: {k: statistics.median(v) for k, v in r["rounds"].items()} for r in records if "rounds" in r}
    records = [r for r in records if "rounds" in r]
    print(f"This machine: {machine['product_ns']:.0f} ns for a product of 16 by 16 matrices, "
          f"{machine['step_ns']:.0f} ns for a step of RK4 of the cart-pole, in plain Rust.\n")
    print("| problem | twinc SQP | its | twinc RTI | peer | its | way | SQP/peer | costs differ by | failed |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for r in records:
        m = middle[r["problem"]]
        differ = f"{r['spread']:.1e}" + (f" ({r['differing']} steps)" if r["differing"] else "")
        print(f"| {r['problem']} | {cell(m['sqp'])} | {r['iterations']['twinc']:.1f} | {cell(m['rti'])} | {cell(m['peer'])} | "
              f"{r['iterations']['peer']:.1f} | {r['peer']} {r['variant']} | {cell(m['sqp'] / m['peer'], 2)} | "
              f"{differ} | {r['failures']} |")
    print("\n| problem | published acados SQP | RTI | published peer | peer here / published | twinc SQP / acados | "
          "twinc RTI / acados | with that scale, SQP | RTI |")
    print("|---|---|---|---|---|---|---|---|---|")
    # Of IPOPT it is not published whether gcc compiled the functions, so that only do-mpc compares like with like.
    scales = [middle[n]["peer"] / PUBLISHED[n][2] for n in middle if is_tank(n)]
    common = statistics.median(scales) if scales else None
    for r in records:
        n = r["problem"]
        if n not in PUBLISHED:
            continue
        m, (sqp, rti, peer) = middle[n], PUBLISHED[n]
        scale = m["peer"] / peer if peer else None
        ratios = [m["sqp"] / sqp if sqp else None, m["rti"] / rti if rti else None]
        scaled = [v / common if v and common else None for v in ratios]
        print("| " + " | ".join([n, cell(sqp), cell(rti), cell(peer)] + [cell(v, 2) for v in [scale] + ratios + scaled]) + " |")
    if common:
        print(f"\nThe scale is the median of do-mpc's `peer here / published`: {common:.2f}.")
    print("\n| problem | twinc, text to first input | of that the plan | peer, without compiler | ratio | "
          "twinc's cost - optimum | peer's | twinc's first input | published |")
    print("|---|---|---|---|---|---|---|---|---|")
    for r in records:
        m, exact = middle[r["problem"]], r["exact"]
        gaps = [(exact[k]["cost"] - r["optimum"]) / r["optimum"] for k in ("twinc", "peer")]
        print(f"| {r['problem']} | {cell(m['cold'])} | {cell(r['cold_plan_ms'])} | {cell(m['peer_cold'])} | "
              f"{cell(m['cold'] / m['peer_cold'], 2)} | {gaps[0]:.1e} | {gaps[1]:.1e} | "
              f"{', '.join(f'{v:.6g}' for v in exact['twinc']['input'])} | {', '.join(f'{v:.6g}' for v in r['u0'])} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", default=",".join(NAMES), help="names, separated by commas")
    parser.add_argument("--rounds", type=int, default=3, help="how often the tools take their turn")
    parser.add_argument("--forms", default="map,expand,jit", help="CasADi's forms; jit needs gcc")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds of the processor that one answer may take")
    parser.add_argument("--twinc", type=pathlib.Path, help="our side as a built program; default: build it")
    parser.add_argument("--json", type=pathlib.Path, help="file for all results")
    options = parser.parse_args()
    names = [n for n in options.problems.split(",") if n]
    for n in names:
        if n not in NAMES:
            parser.error(f"no `{n}`; problems: {', '.join(NAMES)}")
    reference = control_problems.references()
    ours = Worker([str((options.twinc or built()).resolve()), "--serve"], options.limit)
    machine, records = ours.ask(do="machine"), []
    for name in names:
        try:
            record = compare(name, ours, options, reference)
        except Failure as e:
            record = {"problem": name, "notes": [f"twinc: {e}"]}
        record["u0"] = reference[name]["u0"]
        records.append(record)
        print(f"{name}: done", file=sys.stderr)
        if options.json:
            out = {"date": datetime.date.today().isoformat(), "system": platform.platform(), "machine": machine}
            options.json.write_text(json.dumps({**out, "problems": records}, indent=1))
    ours.close()
    print_tables(records, machine)
    notes = [(r["problem"], note) for r in records for note in r["notes"]]
    if notes:
        print("\nMissing:")
        for name, note in notes:
            print(f"- {name}: {note}")


if __name__ == "__main__":
    main()
