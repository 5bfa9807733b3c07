"""Random numbers: the published mixer, no state, and the same numbers compiled and uncompiled."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from lobgym.sim import rng

SAMPLE = """
import numpy as np
from lobgym.sim import rng
with np.errstate(over="ignore"):
    cases = [(seed, stream, counter) for seed in (0, 1, 2**63 - 1) for stream in (0, 7) for counter in (0, 1, 10**12)]
    print([int(rng.draw(*case)) for case in cases])
    print([float(rng.uniform(*case)).hex() for case in cases])
    print([int(rng.below(*case, 10**12)) for case in cases])
"""


def test_the_mixer_is_splitmix64() -> None:
    # First outputs of SplitMix64 seeded with 0, as its authors publish them.
    golden = int(rng.GOLDEN)
    states = [(golden * step) % 2**64 for step in (1, 2, 3)]
    assert [int(rng.mix64(np.uint64(state))) for state in states] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]


def test_compiled_and_uncompiled_numbers_are_equal() -> None:
    outputs = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", SAMPLE],
            env={**os.environ, "NUMBA_DISABLE_JIT": disabled},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for disabled in ("0", "1")
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 3


def test_uniform_draws_lie_in_the_unit_interval_and_spread_over_it() -> None:
    draws = np.array([rng.uniform(5, 1, counter) for counter in range(4_000)])
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    assert np.histogram(draws, bins=8, range=(0, 1))[0].min() > 400


def test_below_reaches_every_value_and_no_other() -> None:
    assert {int(rng.below(5, 1, counter, 7)) for counter in range(500)} == set(range(7))
    assert rng.below(5, 1, 0, 1) == 0


def test_seed_stream_and_counter_all_matter() -> None:
    base = rng.draw(1, 2, 3)
    assert (
        len({int(x) for x in (base, rng.draw(2, 2, 3), rng.draw(1, 3, 3), rng.draw(1, 2, 4), rng.draw(3, 2, 1))}) == 5
    )
