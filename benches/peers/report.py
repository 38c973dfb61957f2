"""The tables of a comparison, as Markdown."""

import statistics

# The part of a peer's time that twinc may take.
BAR = 0.5

HEAD = """Milliseconds of processor time (error). `plain`: twinc auto over the fastest peer, at the same tolerances.
`auto`, `any`: the largest over the peers of twinc's time, at tolerances that make its error no larger than that
peer's, over that peer's time; by the automatic choice, and by the best method. `equal error`: the same by the
automatic choice, where tolerances may also be looser than the peer's as long as the error is no larger.
"""


def digits(value):
    """Three significant digits, without an exponent where it can be done without."""
    if value is None:
        return "-"
    if value == 0 or not 1e-3 <= abs(value) < 1e5:
        return f"{value:.1e}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def best(results, tool):
    found = [r for r in results if r["tool"] == tool]
    return min(found, key=lambda r: r["ms"]) if found else None


def cell(result):
    if result is None:
        return "-"
    return f"{digits(result['ms'])} ({digits(result['error'])})"


def fair(matched, peer, only=None):
    """The smallest ratio to a peer at no larger error, by the method `only` or by any."""
    answers = matched.get(peer, {})
    found = [a for m, a in answers.items() if "ratio" in a and (only is None or m == only)]
    return min(found, key=lambda a: a["ratio"]) if found else None


def largest(record, peers, only=None):
    """The largest ratio over the peers that answered; None where one could not be made."""
    results = record.get("results", [])
    ratios = [fair(record["matched"], p, only) for p in peers if best(results, p)]
    return max((a["ratio"] for a in ratios), default=None) if all(ratios) else None


def loosened(record, peers):
    """The largest ratio where the automatic choice may use looser tolerances, too, with an error no larger."""
    if largest(record, peers, "auto") is None:
        return None
    answers = [fair(record["matched"], p, "auto") for p in peers if best(record["results"], p)]
    return max((a.get("loosened", a)["ratio"] for a in answers), default=None)


def is_met(record, peers):
    """Whether the automatic choice takes at most half of the time of every peer, at no larger error."""
    ratio = largest(record, peers, "auto")
    return ratio is not None and ratio <= BAR


def print_table(records, peers, with_head=True):
    """Milliseconds and errors; the last columns are the ratios of the bar."""
    if with_head:
        print(HEAD)
        titles = ["problem (states)", *peers, "twinc auto", "twinc best", "plain", "auto", "any"]
        titles += [f"bar {BAR}", "equal error"]
        print("| " + " | ".join(titles) + " |\n" + "|---" * len(titles) + "|", flush=True)
    for record in records:
        results = record.get("results")
        if not results:
            print(f"| {record['title']} | not compared |", flush=True)
            continue
        found = {p: best(results, p) for p in peers}
        auto = next((r for r in results if r["tool"] == "twinc" and r["variant"] == "auto"), None)
        ours = best(results, "twinc")
        fastest = min((r["ms"] for r in found.values() if r), default=None)
        plain = auto["ms"] / fastest if auto and fastest else None
        worst = {kind: largest(record, peers, only) for kind, only in (("auto", "auto"), ("any", None))}
        verdict = "-" if worst["auto"] is None else "met" if is_met(record, peers) else "missed"
        cells = [cell(found[p]) for p in peers] + [cell(auto), f"{cell(ours)} {ours['variant']}" if ours else "-"]
        cells += [digits(plain), digits(worst["auto"]), digits(worst["any"]), verdict, digits(loosened(record, peers))]
        print(f"| {record['title']} ({record['n_states']}) | " + " | ".join(cells) + " |", flush=True)


def print_loads(records, peers):
    """From source text to something that can be solved."""
    print("From source to kernels, milliseconds of processor time (median; libRoadRunner from SBML):\n")
    tools = [p for p in peers if p != "scipy"] + ["twinc"]
    print("| problem (states) | " + " | ".join(tools) + " |\n" + "|---" * (len(tools) + 1) + "|")
    for record in records:
        if not record.get("results"):
            continue
        cells = []
        for tool in tools:
            result = best(record["results"], tool)
            cells.append(digits(statistics.median(result["load_ms"])) if result else "-")
        print(f"| {record['title']} ({record['n_states']}) | " + " | ".join(cells) + " |")


def print_calls(calls):
    """Single calls of kernels and the loads that stand apart."""
    print("| single call | ns |\n|---|---|")
    for label, value in calls["calls"]:
        print(f"| {label} | {value if isinstance(value, str) else digits(value)} |")
