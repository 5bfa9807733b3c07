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
    "run": "912bd9e0aef39dfdda25a23f6da643f894a5c413777ddb574315bde202f7d44a",
    "fills": "b39afef130d192f306f7fad7425bce5c459e9266b394509589e1d6d223e0162b",
    "count": 563,
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
        cwd=ROOT, env={**os.environ, **setting}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == GOLDEN
