"""Stable-Baselines3 on one thread: steps a second of processor time of DQN and PPO on CartPole-v1.

    python3 benches/peers/learn_discrete.py dqn|ppo [STEPS]

Settings are those of RL Baselines3 Zoo. Prints one line of JSON. Needs stable-baselines3 and gymnasium.
"""

import json
import sys
import time

import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env

torch.set_num_threads(1)


def dqn():
    """After its first 1000 steps, which are random."""
    model = stable_baselines3.DQN(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=1, seed=1),
        learning_rate=2.3e-3,
        batch_size=64,
        buffer_size=100_000,
        learning_starts=1000,
        gamma=0.99,
        target_update_interval=10,
        train_freq=256,
        gradient_steps=128,
        exploration_fraction=0.16,
        exploration_final_eps=0.04,
        policy_kwargs={"net_arch": [256, 256]},
        device="cpu",
        seed=1,
    )
    # The schedule of exploration is that of a run of 50,000 steps.
    model.learn(2048)
    model.exploration_schedule = lambda left: 0.04
    return model


def ppo():
    """On eight environments."""
    model = stable_baselines3.PPO(
        "MlpPolicy",
        make_vec_env("CartPole-v1", n_envs=8, seed=1),
        learning_rate=lambda left: 1e-3 * left,
        clip_range=lambda left: 0.2 * left,
        n_steps=32,
        batch_size=256,
        n_epochs=20,
        gamma=0.98,
        gae_lambda=0.8,
        ent_coef=0.0,
        device="cpu",
        seed=1,
    )
    model.learn(2048)
    return model


def seconds(model, n_steps):
    """Of processor time a step, least of four parts."""
    parts = []
    for _ in range(4):
        before, begin = model.num_timesteps, time.process_time()
        model.learn(n_steps, reset_num_timesteps=False)
        parts.append((time.process_time() - begin) / (model.num_timesteps - before))
    return min(parts)


if __name__ == "__main__":
    name = sys.argv[1]
    model = {"dqn": dqn, "ppo": ppo}[name]()
    least = seconds(model, int(sys.argv[2]) if len(sys.argv) > 2 else 2048)
    print(json.dumps({
        "name": name,
        "seconds": least,
        "torch": torch.__version__,
        "stable_baselines3": stable_baselines3.__version__,
    }))
