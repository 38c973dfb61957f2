"""libRoadRunner as a peer: CVODE on machine code made by LLVM, from SBML that Antimony writes."""

from serve import serve, timed


def sbml_of(text, name):
    """Antimony to SBML."""
    import antimony

    antimony.clearPreviousLoads()
    if antimony.loadAntimonyString(text) < 0:
        raise ValueError(antimony.getLastError())
    return antimony.getSBMLString(name)


class RoadRunner:
    """Loads a problem, solves it by CVODE: BDF where `method` is `stiff`, Adams otherwise."""

    def load(self, request):
        import roadrunner

        import emit
        from problems import PROBLEMS

        self.problem = PROBLEMS[request["problem"]]()
        text = emit.antimony(self.problem)
        # The first model starts LLVM, which is not counted.
        roadrunner.RoadRunner(sbml_of("model start; x = 1; x' = -x; end", "start"))
        times, translation = [], []
        for k in range(request.get("repeats", 1)):
            # Code is kept by the text that it was made from, so that each load needs a text of its own.
            sbml, seconds = timed(lambda: sbml_of(text.replace("model m", f"model m{k}", 1), f"m{k}"))
            translation.append(seconds * 1e3)
            self.model, seconds = timed(lambda: roadrunner.RoadRunner(sbml))
            times.append(seconds * 1e3)
        if self.problem.reactions is None:
            names = self.model.model.getGlobalParameterIds()
        else:
            names = self.model.model.getFloatingSpeciesIds()
        place = {name: k for k, name in enumerate(names)}
        self.places = [place[s] for s in self.problem.states]
        return {"load_ms": times, "antimony_ms": translation, "version": roadrunner.__version__}

    def state(self):
        if self.problem.reactions is None:
            values = self.model.model.getGlobalParameterValues()
        else:
            values = self.model.model.getFloatingSpeciesAmounts()
        return [float(values[k]) for k in self.places]

    def solve(self, request):
        import roadrunner

        integrator = self.model.integrator
        integrator.stiff = request["method"] == "stiff"
        integrator.relative_tolerance = request["rtol"]
        integrator.absolute_tolerance = request["atol"]
        integrator.maximum_num_steps = 10_000_000
        integrator.variable_step_size = False
        model, problem = self.model, self.problem
        inside = 0.0

        def once():
            nonlocal inside
            model.reset(roadrunner.SelectionRecord.ALL)

            def run():
                t = 0.0
                for end, values in problem.segments:
                    for name, value in values.items():
                        if t > 0.0:
                            model[name] = value
                    model.oneStep(t, end - t, True)
                    t = end

            _, seconds = timed(run)
            inside += seconds

        # Putting the model back to its start is not part of solving: it is left out of the time.
        times = []
        once()
        spent = 0.0
        while not times or spent < request["seconds"]:
            inside, n_inside = 0.0, 0
            while n_inside == 0 or inside < 2e-3:
                once()
                n_inside += 1
            times.append(inside * 1e3 / n_inside)
            spent += inside
        return {"ms": times, "y": self.state()}


serve(RoadRunner())
