"""The promise of docs/determinism.md for the market: one script gives one digest, in whatever process it runs.

Method: the same short script in two fresh processes, without the compiler, and with code for a generic processor; all
must give the digests that are written down here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.project import ROOT
from tests.sim.fixed_run import fixed_run

# A change of these is a defect, or a decision: docs/decisions/ says why, CHANGELOG.md lists it as breaking.
GOLDEN = {
    "tape": "7d1c736bdc1dcda3e83e18e7610f9c9663a10d094cd90ca3b71bb7973ad7b99e",
    "run": "f3ba837ef847b8883d2ca26622009efa14f6213b31952b16016b66fd2562ee50",
    "fills": "c847fda01d69d22191ad15dd951c92aec4cb95cb729d53def68a6b81c56ebe27",
    "count": 445,
}


def test_golden_digest() -> None:
    assert fixed_run() == GOLDEN


@pytest.mark.parametrize(
    "setting",
    [{}, {"PYTHONHASHSEED": "77"}, {"NUMBA_DISABLE_JIT": "1"}, {"NUMBA_CPU_NAME": "generic"}],
    ids=["fresh", "another hash seed", "not compiled", "generic processor"],
)
def test_any_process_gives_the_golden_digest(setting: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.sim.fixed_run"],
        cwd=ROOT, env={**os.environ, **setting}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == GOLDEN
