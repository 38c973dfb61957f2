"""MPPI in numpy on the cart-pole of benches/sampling.rs: prints the median processor milliseconds of a plan.

512 sequences of 30 steps, RK4 with dt 0.05, |F| <= 20, all sequences as one array per state: what a person writes who
knows numpy well. One thread: nothing here calls a parallel routine.
"""

import json
import time

import numpy as np

M, m, l, g, dt, K, N, LARGEST = 1.0, 0.1, 0.8, 9.81, 0.05, 512, 30, 20.0


def slopes(theta, v, omega, force):
    s, c = np.sin(theta), np.cos(theta)
    den = M + m - m * c * c
    squared = omega * omega * s
    return v, omega, (-m * l * squared + m * g * c * s + force) / den, (
        -m * l * c * squared + force * c + (M + m) * g * s
    ) / (l * den)


def step(x, force):
    def moved(k, h):
        return [a + h * b for a, b in zip(x, k)]

    a = slopes(x[1], x[2], x[3], force)
    y = moved(a, 0.5 * dt)
    b = slopes(y[1], y[2], y[3], force)
    y = moved(b, 0.5 * dt)
    c = slopes(y[1], y[2], y[3], force)
    y = moved(c, dt)
    d = slopes(y[1], y[2], y[3], force)
    return [p + dt / 6.0 * (q + 2.0 * r + 2.0 * s + t) for p, q, r, s, t in zip(x, a, b, c, d)]


def plan(start, mean, rng):
    noise = rng.standard_normal((N, K))
    for k in range(1, N):
        noise[k] = 0.8 * noise[k - 1] + 0.6 * noise[k]
    forces = np.clip(mean[:, None] + 12.0 * noise, -LARGEST, LARGEST)
    x = [np.full(K, value) for value in start]
    cost = np.zeros(K)
    for k in range(N):
        stage = 1000.0 * x[0] ** 2 + 1000.0 * x[1] ** 2 + 0.01 * (x[2] ** 2 + x[3] ** 2 + forces[k] ** 2)
        cost += dt * stage
        x = step(x, forces[k])
    cost += 1000.0 * x[0] ** 2 + 1000.0 * x[1] ** 2 + 0.01 * (x[2] ** 2 + x[3] ** 2)
    spread = np.partition(cost, K // 10)[K // 10] - cost.min()
    weights = np.exp(-(cost - cost.min()) / (0.3 * spread))
    return forces @ (weights / weights.sum())


def main():
    rng = np.random.default_rng(1)
    mean = np.zeros(N)
    times = []
    for _ in range(60):
        begin = time.process_time()
        mean = plan([0.0, np.pi, 0.0, 0.0], mean, rng)
        times.append(time.process_time() - begin)
        mean = np.append(mean[1:], mean[-1])
    print(json.dumps({"numpy": np.__version__, "milliseconds": 1e3 * float(np.median(times[10:]))}))


if __name__ == "__main__":
    main()
