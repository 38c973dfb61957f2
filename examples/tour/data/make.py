"""Makes progress.csv and inhibitor.csv: SciPy (LSODA, rtol 1e-10), NumPy's PCG64 with seed 20240501."""

import numpy as np
from scipy.integrate import solve_ivp

KON, KOFF, KCAT, E0 = 1.0, 0.5, 0.3, 0.5  # 1/(uM s), 1/s, 1/s, uM
rng = np.random.default_rng(20240501)


def product(s0, times, halved_at=np.inf):
    """Product in uM at `times` (s), with kcat halved from `halved_at` on."""

    def rhs(t, y, kcat):
        e, s, es, _ = y
        bind = KON * e * s - KOFF * es
        return [-bind + kcat * es, -bind, bind - kcat * es, kcat * es]

    y, out = [E0, s0, 0.0, 0.0], []
    last = max(times)
    for start, end, kcat in [(0.0, min(halved_at, last), KCAT), (halved_at, last, 0.5 * KCAT)]:
        if start < end:
            here = [t for t in times if start <= t < end or t == end == last]
            run = solve_ivp(rhs, (start, end), y, "LSODA", args=(kcat,), rtol=1e-10, atol=1e-12, dense_output=True)
            out += [run.sol(t)[3] for t in here]
            y = run.y[:, -1]
    return np.array(out)


def noisy(p):
    """Adds the model's measurement error, Normal(sd = 0.2 uM + 0.05 P)."""
    return p + (0.2 + 0.05 * p) * rng.standard_normal(p.size)


with open("progress.csv", "w") as file:
    file.write("t_min,product,run,s0\n")
    for run, s0 in [("low", 2.0), ("middle", 10.0), ("high", 40.0)]:
        times = [0.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 240.0]
        for t, p in zip(times, noisy(product(s0, times))):
            file.write(f"{t / 60:.6g},{p / 1000:.5e},{run},{s0:g}\n")  # min, mM

with open("inhibitor.csv", "w") as file:
    file.write("t,p\n")
    times = [0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 120.0, 150.0, 180.0, 240.0]
    for t, p in zip(times, noisy(product(20.0, times, halved_at=60.0))):
        file.write(f"{t:g},{p:.4f}\n")  # s, uM
