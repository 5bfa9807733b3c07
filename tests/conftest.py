"""What several folders of tests need: the recordings, where they are present, and a small synthetic tape."""

from __future__ import annotations

from pathlib import Path

import pytest

from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape
from tests import recordings


@pytest.fixture(scope="session")
def recordings_dir() -> Path:
    """Folder of the market recordings; the test is skipped, with the reason, where they are absent."""
    reason = recordings.missing()
    if reason:
        pytest.skip(reason)
    return recordings.FOLDER


@pytest.fixture(scope="session")
def small_tape() -> Tape:
    """Two minutes of the synthetic market."""
    return synthetic_tape(seed=1, minutes=2)
