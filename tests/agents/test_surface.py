"""The public names of the package exist, and asking for a baseline does not cost an import of torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lobgym.agents


def test_every_public_name_exists() -> None:
    for name in lobgym.agents.__all__:
        assert getattr(lobgym.agents, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lobgym.agents.nothing


def test_baselines_do_not_import_torch() -> None:
    script = "import sys; from lobgym.agents import make_baseline; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
