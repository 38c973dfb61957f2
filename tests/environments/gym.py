"""Episodes of a Gymnasium environment, one line a step: state, action, next state, observation, reward, ends."""

import sys

import gymnasium
import numpy as np

name = sys.argv[1]
env = gymnasium.make(name)
draw = np.random.default_rng(7)
for episode in range(12):
    print("episode")
    env.reset(seed=episode)
    while True:
        state = np.array(env.unwrapped.state, dtype=float)
        if name == "CartPole-v1":
            # Odd episodes are balanced, even ones are not.
            x, v, th, w = state
            choice = int(0.05 * x + 0.1 * v + th + 0.4 * w > 0) if episode % 2 else int(draw.integers(2))
            action, sent = choice, 10.0 if choice else -10.0
        else:
            # Beyond the limits now and then.
            action = np.array([draw.uniform(-2.5, 2.5)])
            if episode % 2:
                action = np.array([2.0 if state[1] > 0 else -2.0])
            sent = action[0]
        observation, reward, terminated, truncated, _ = env.step(action)
        after = np.array(env.unwrapped.state, dtype=float)
        row = [*state, sent, *after, *map(float, observation), float(reward), float(terminated), float(truncated)]
        print(*[repr(float(number)) for number in row])
        if terminated or truncated:
            break
