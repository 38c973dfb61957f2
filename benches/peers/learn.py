"""Stable-Baselines3 on one thread: steps of SAC a second of processor time, one update of a batch of 256 a step.

    python3 benches/peers/learn.py WIDTH [STEPS]

WIDTH is that of both hidden layers. Prints one line of JSON. Needs stable-baselines3 and gymnasium.
"""

import json
import sys
import time

import gymnasium
import stable_baselines3
import torch

torch.set_num_threads(1)


def sac(width, n_steps):
    """Seconds of processor time a step, after the start, least of four parts."""
    model = stable_baselines3.SAC(
        "MlpPolicy",
        gymnasium.make("Pendulum-v1"),
        learning_rate=3e-4,
        batch_size=256,
        learning_starts=300,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": [width, width]},
        device="cpu",
        seed=1,
    )
    model.learn(320)
    parts = []
    for _ in range(4):
        begin = time.process_time()
        model.learn(n_steps // 4, reset_num_timesteps=False)
        parts.append((time.process_time() - begin) / (n_steps // 4))
    return min(parts)


if __name__ == "__main__":
    width = int(sys.argv[1])
    seconds = sac(width, int(sys.argv[2]) if len(sys.argv) > 2 else 400)
    print(json.dumps({
        "width": width,
        "seconds": seconds,
        "torch": torch.__version__,
        "stable_baselines3": stable_baselines3.__version__,
    }))
