"""Kernels that have no way in from Python say so; without that, calling one ends the interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lobgym.sim import jit, market, queue, view, world
from lobgym.sim.jit import njit, njit_inner, njit_leaf
from lobgym.sim.synthetic import synthetic_tape
from tests.project import ROOT


@njit_leaf
def _twice(x: int) -> int:
    return 2 * x


@njit_inner
def _twice_and_one(x: int) -> int:
    return _twice(x) + 1


@njit
def _asks(x: int) -> int:
    return _twice_and_one(x)


@pytest.mark.parametrize("kernel", [_twice, _twice_and_one])
def test_a_kernel_without_a_way_in_names_the_way(kernel: object) -> None:
    assert _asks(3) == 7  # compiled into another it works, and stays closed afterwards
    for given in ((3,), (), (3.0, "x")):
        with pytest.raises(TypeError, match=r"`_twice.*` is for kernels only.*compiled with numba\.njit"):
            kernel(*given)  # type: ignore[operator]


def test_the_projects_own_leaves_are_closed() -> None:
    made = market.Market.compile(synthetic_tape(seed=1, minutes=0.2))
    for call in (
        lambda: view.best_bid_level(made.exch_view[0], 5),
        lambda: view.known_range(made.exch_view[0], 5),
        lambda: world.econ_of(made.exch_view[0]),
        lambda: queue.ln1p(2.0),
    ):
        with pytest.raises(TypeError, match="is for kernels only"):
            call()


def test_a_closed_kernel_is_kept_on_disk(tmp_path: Path) -> None:
    """A caller that is found on disk, in a process of its own, brings the kernels that it calls along."""
    script = tmp_path / "user.py"
    script.write_text(
        "from lobgym.sim.jit import njit, njit_leaf\n"
        "@njit_leaf\n"
        "def leaf(x):\n"
        "    return x + 1\n"
        "@njit\n"
        "def outer(x):\n"
        "    return leaf(x)\n"
        "print(outer(4), sum(outer.stats.cache_hits.values()))\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    for hits in (0, 1):
        command = [sys.executable, str(script)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert done.stdout == f"5 {hits}\n"


def test_a_python_function_stays_within_reach() -> None:
    assert _twice.py_func(np.int64(4)) == 8  # type: ignore[attr-defined]
    assert jit.__all__ == ["njit", "njit_inline", "njit_inner", "njit_leaf", "njit_lean"]
