"""The tables of a comparison, as Markdown."""

import statistics


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


def print_table(records, peers, with_head=True):
    """Milliseconds and errors; the last columns are the ratios of the bar."""
    if with_head:
        print("Milliseconds of processor time (error). `plain`: twinc auto / the fastest peer at the same tolerances. `auto`, `any`: the "
              "largest over the peers of twinc's time at tolerances that make its error no larger than that peer's, over "
              "that peer's time; by the automatic choice, and by the best method.\n")
        print("| problem (states) | " + " | ".join(peers) + " | twinc auto | twinc best | plain | auto | any | bar 0.5 |", flush=True)
        print("|---" * (len(peers) + 7) + "|")
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
        worst = {}
        for kind, only in (("auto", "auto"), ("any", None)):
            ratios = [fair(record["matched"], p, only) for p in peers if found[p]]
            worst[kind] = max((a["ratio"] for a in ratios), default=None) if all(ratios) else None
        verdict = "-" if worst["auto"] is None else "met" if worst["auto"] <= 0.5 else "missed"
        cells = [cell(found[p]) for p in peers] + [cell(auto), f"{cell(ours)} {ours['variant']}" if ours else "-"]
        cells += [digits(plain), digits(worst["auto"]), digits(worst["any"]), verdict]
        print(f"| {record['title']} ({record['n_states']}) | " + " | ".join(cells) + " |", flush=True)


def print_loads(records, peers):
    """From source text to something that can be solved."""
    print("From source to kernels, milliseconds of processor time (median; libRoadRunner from SBML, without Antimony):\n")
    print("| problem (states) | " + " | ".join(p for p in peers if p != "scipy") + " | twinc |")
    print("|---" * (len([p for p in peers if p != "scipy"]) + 2) + "|")
    for record in records:
        if not record.get("results"):
            continue
        cells = []
        for tool in [p for p in peers if p != "scipy"] + ["twinc"]:
            result = best(record["results"], tool)
            cells.append(digits(statistics.median(result["load_ms"])) if result else "-")
        print(f"| {record['title']} ({record['n_states']}) | " + " | ".join(cells) + " |")


def print_calls(calls):
    """Single calls of kernels and the loads that stand apart."""
    print("| single call | ns |\n|---|---|")
    for label, value in calls["calls"]:
        print(f"| {label} | {value if isinstance(value, str) else digits(value)} |")
