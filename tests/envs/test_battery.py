"""Goal: every registered environment keeps every promise of `lobgym.envs.testing`, over 10,000 steps where it compares.

Method: the ids are read from Gymnasium's registry, so that a new one is examined without a line here; what it needs to
have short episodes goes into ARGUMENTS. The hashes of all of them are made in one other process, since starting one is
what costs.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import lobgym.envs
from lobgym.envs.testing import CHECKS, Subject, check_environment, difference, digest_of, digests_elsewhere
from lobgym.envs.testing.vectors import VECTOR_FACTOR
from lobgym.sim.errors import LobgymError

IDS = sorted(name for name in gymnasium.registry if name.startswith("lobgym/"))
TAPE = "synth?seed=4&minutes=3"
ON_A_TAPE: dict[str, Any] = {"tape": TAPE, "horizon": 37}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "lobgym/Router-v0": {"tape": TAPE, "macro_steps": 2, "horizon": 7},
    "lobgym/ArenaAgent-v0": {"max_cycles": 37, "interval_ns": 50_000_000},
}
OFF_TAPE = {"lobgym/ArenaAgent-v0"}
# What making an environment refuses, with a word of the remedy that the message names.
MISTAKES = (
    ({"tape": "sinth"}, "expected 'synth:calm"),
    ({"horizon": 100_000}, "shorter horizon"),
    ({"horizon": 0}, "must be an integer"),
    ({"split": "valid"}, "train, test"),
    ({"observation": ["sprad"]}, "spread"),
    ({"surprise": 1}, "surprise"),
)
MISTAKES_OFF_TAPE = (
    ({"agent": "nobody"}, "there are maker_0"),
    ({"max_cycles": 0}, "from 1 to"),
    ({"surprise": 1}, "surprise"),
)
SPAWNING = "two_processes"


def subject(env_id: str) -> Subject:
    off = env_id in OFF_TAPE
    return Subject(
        f"lobgym.envs:{env_id}",
        ARGUMENTS.get(env_id, {} if off else ON_A_TAPE),
        lanes=2,
        mistakes=MISTAKES_OFF_TAPE if off else MISTAKES,
        refusals=(LobgymError, TypeError),
    )


@pytest.mark.parametrize("check", [name for name in CHECKS if name != SPAWNING])
@pytest.mark.parametrize("env_id", IDS)
def test_contract(env_id: str, check: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # a window that nobody sees
    (finding,) = check_environment(subject(env_id), [check])
    if finding.outcome == "skipped":
        assert env_id in OFF_TAPE, finding.message
        assert check in ("causality", "vector", "sums")


@pytest.mark.parametrize("env_id", [name for name in IDS if name not in OFF_TAPE])
def test_lanes_of_sb3_equal_scalar_environments(env_id: str):
    sb3 = pytest.importorskip("stable_baselines3.common.vec_env")
    from lobgym.envs.sb3 import make_sb3_vec_env

    one = subject(env_id)
    ours = make_sb3_vec_env(env_id, one.lanes, **one.arguments)
    theirs = sb3.DummyVecEnv([one.make] * one.lanes)
    for venv in (ours, theirs):
        venv.seed(one.seed)
    assert difference(ours.reset(), theirs.reset()) is None
    ours.action_space.seed(one.seed)
    ends = 0
    for step in range(one.steps):
        actions = np.stack([ours.action_space.sample() for _ in range(one.lanes)])
        *mine, infos = ours.step(actions)
        *expected, others = theirs.step(actions)
        assert difference(mine, expected) is None, step
        for lane in np.flatnonzero(mine[2]):
            ends += 1
            assert difference(infos[lane]["terminal_observation"], others[lane]["terminal_observation"]) is None
            assert infos[lane]["TimeLimit.truncated"] == others[lane]["TimeLimit.truncated"]
            assert infos[lane]["summary"] == others[lane]["summary"]
    assert ends > 10


def test_another_process_gives_the_same_hashes():
    subjects = [subject(env_id) for env_id in IDS]
    assert [digest_of(one) for one in subjects] == digests_elsewhere(subjects)


def test_the_comparison_with_scalar_environments_takes_10_000_steps():
    assert Subject("").steps * VECTOR_FACTOR >= 10_000


def test_every_id_of_the_package_is_examined():
    assert set(lobgym.envs.ENV_IDS) == set(IDS)
