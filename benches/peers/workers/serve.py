"""The loop of a peer that runs in Python: a JSON request a line in, an answer a line out."""

import contextlib
import json
import os
import sys
import time

# One thread, as for the others; set before any library is loaded.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Shorter measurements are repeated inside of one reading of the clock, seconds.
SHORTEST = 2e-3


def timed(call):
    """What `call` returns, and the processor time it took in seconds, of all threads."""
    begin = time.process_time()
    result = call()
    return result, time.process_time() - begin


def repeated(call, seconds):
    """Milliseconds of processor time of `call`, over and over for about so many seconds."""
    _, first = timed(call)
    n_inside = 1 if first >= SHORTEST else int(SHORTEST / max(first, 1e-7)) + 1
    times, begin = [], time.process_time()
    while not times or time.process_time() - begin < seconds:
        before = time.process_time()
        for _ in range(n_inside):
            call()
        times.append((time.process_time() - before) * 1e3 / n_inside)
    return times


def serve(peer):
    """Answers requests by the methods `load` and `solve` of `peer`."""
    # What libraries print goes to stderr, so that it cannot stand between the answers.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answer = getattr(peer, request["do"])(request)
        except Exception as error:  # a peer may fail in any way; the table says so
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=out, flush=True)
