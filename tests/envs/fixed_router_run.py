"""One fixed run of a router; prints the SHA-256 of all its observations, rewards, flags and infos."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from lobgym.envs.router_vector import RouterVectorEnv

LANES = 3


def plain(value: Any) -> Any:
    """Infos as JSON takes them."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def digest() -> str:
    env = RouterVectorEnv(
        "grid", "synth?seed=4&minutes=3", LANES, macro_steps=7, horizon=6, spec={"interval_ns": 250_000_000}
    )
    seen = hashlib.sha256()
    rng = np.random.default_rng(0)
    observations, infos = env.reset(seed=11)
    seen.update(observations.tobytes() + json.dumps(plain(infos), sort_keys=True).encode())
    for _ in range(40):
        *arrays, infos = env.step(rng.integers(0, env.pool.size, LANES))
        for array in arrays:
            seen.update(array.tobytes())
        seen.update(json.dumps(plain(infos), sort_keys=True).encode())
    return seen.hexdigest()


if __name__ == "__main__":
    print(digest())
