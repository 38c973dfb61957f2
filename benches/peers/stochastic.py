"""Runs one network, given as JSON on standard input, in GillesPy2 and libRoadRunner; see benches/stochastic.rs.

Prints a list of {name, seconds, mean}: processor seconds of the simulations alone (GillesPy2 compiles a program and runs
it as a child, whose time is taken; libRoadRunner runs in this process), and the mean of the first species at the end.
"""

import json
import resource
import sys
import time


def own_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def gillespy(network):
    import gillespy2
    import numpy

    runs, until = network["runs"], network["until"]
    model = gillespy2.Model(name="bench")
    species = [gillespy2.Species(name=f"S{k}", initial_value=n, mode="discrete") for k, n in enumerate(network["start"])]
    model.add_species(species)
    for k, (reactants, products, constant) in enumerate(network["reactions"]):
        model.add_parameter(gillespy2.Parameter(name=f"k{k}", expression=constant))
        # A propensity of its own, k n (n - 1), so that no convention of mass action stands between the programs.
        factors = [f"(S{i} - {j})" if j else f"S{i}" for i, m in reactants for j in range(m)]
        model.add_reaction(
            gillespy2.Reaction(
                name=f"r{k}",
                reactants={species[i]: m for i, m in reactants},
                products={species[i]: m for i, m in products},
                propensity_function=" * ".join([f"k{k}"] + factors),
            )
        )
    model.timespan(gillespy2.TimeSpan(numpy.linspace(0, until, 2)))
    solver = gillespy2.SSACSolver(model=model)
    solver.run(number_of_trajectories=1, seed=1)
    best, mean = float("inf"), float("nan")
    for attempt in range(3):
        before = own_children()
        results = solver.run(number_of_trajectories=runs, seed=attempt + 1)
        best = min(best, own_children() - before)
        mean = sum(result["S0"][-1] for result in results) / runs
    return {"name": f"gillespy2 {gillespy2.__version__} C++", "seconds": best, "mean": mean}


def sbml(network):
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="bench">',
        '<listOfCompartments><compartment id="c" size="1" spatialDimensions="3" constant="true"/></listOfCompartments>',
        "<listOfSpecies>",
    ]
    for k, n in enumerate(network["start"]):
        lines.append(
            f'<species id="S{k}" compartment="c" initialAmount="{n}" hasOnlySubstanceUnits="true" '
            'boundaryCondition="false" constant="false"/>'
        )
    lines.append("</listOfSpecies><listOfParameters>")
    for k, (_, _, constant) in enumerate(network["reactions"]):
        lines.append(f'<parameter id="k{k}" value="{constant!r}" constant="true"/>')
    lines.append("</listOfParameters><listOfReactions>")
    reference = '<speciesReference species="S{}" stoichiometry="{}" constant="true"/>'
    for k, (reactants, products, _) in enumerate(network["reactions"]):
        lines.append(f'<reaction id="r{k}" reversible="false" fast="false">')
        for tag, side in (("listOfReactants", reactants), ("listOfProducts", products)):
            if side:
                lines.append(f"<{tag}>" + "".join(reference.format(i, m) for i, m in side) + f"</{tag}>")
        factors = [f"<ci>k{k}</ci>"]
        for i, m in reactants:
            for j in range(m):
                factors.append(f"<apply><minus/><ci>S{i}</ci><cn>{j}</cn></apply>" if j else f"<ci>S{i}</ci>")
        law = "<apply><times/>" + "".join(factors) + "</apply>" if len(factors) > 1 else factors[0]
        lines.append(f'<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML">{law}</math></kineticLaw></reaction>')
    lines.append("</listOfReactions></model></sbml>")
    return "".join(lines)


def roadrunner(network):
    import roadrunner as rr

    rr.Logger.setLevel(rr.Logger.LOG_ERROR)
    runner = rr.RoadRunner(sbml(network))
    runner.setIntegrator("gillespie")
    runner.getIntegrator().setValue("variable_step_size", False)
    # Its own limits would end long runs early.
    runs, until = network["runs"], network["until"]
    total, mean = float("inf"), float("nan")
    for attempt in range(2):
        runner.getIntegrator().setValue("seed", attempt + 1)
        begin, end = time.process_time(), 0.0
        for _ in range(runs):
            runner.reset()
            runner.simulate(0, until, 2)
            end += runner["S0"]
        total, mean = min(total, time.process_time() - begin), end / runs
    return {"name": f"libRoadRunner {rr.__version__}", "seconds": total, "mean": mean}


def main():
    network = json.load(sys.stdin)
    answers = []
    for peer in (gillespy, roadrunner):
        try:
            # Whatever a peer prints must not stand among the answers.
            stdout, sys.stdout = sys.stdout, sys.stderr
            answers.append(peer(network))
        except ImportError as missing:
            print(f"left out: {missing}", file=sys.stderr)
        except Exception as error:
            print(f"{peer.__name__} failed: {error}", file=sys.stderr)
        finally:
            sys.stdout = stdout
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
