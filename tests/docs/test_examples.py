"""Goal: every example in docs/examples runs as it stands, and the page of examples names each of them.

Method: scripts run in this process with `--quick`, in a folder of their own; the commands of the page
on rl_zoo3 are run by a shell as they are written, with arguments added behind that make them short.
"""

from __future__ import annotations

import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.pages import blocks, links
from tests.project import ROOT

FOLDER = ROOT / "docs/examples"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py"))
ZOO_PAGE = (FOLDER / "rl_zoo3.md").read_text(encoding="utf-8")
ZOO = [block.strip() for block in blocks(ZOO_PAGE, "bash")]  # one command a block
SHORT = ["-n", "256", "--eval-freq", "128", "--eval-episodes", "1", "--num-threads", "1", "--seed", "3"]
SHORT_SEARCH = ["--n-trials", "2", "--sampler", "random"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("stable_baselines3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "--quick"])
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    assert capsys.readouterr().out.strip()  # each shows something


@pytest.mark.parametrize("command", ZOO, ids=lambda command: "search" if "-optimize" in command else "train")
def test_a_command_of_rl_zoo3_runs(command: str, tmp_path: Path) -> None:
    pytest.importorskip("rl_zoo3")
    program, *words = shlex.split(command.replace("\\\n", " "))
    assert program == "python"
    search = "-optimize" in words
    plain = {key: os.environ[key] for key in ("PATH", "HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME") if key in os.environ}
    done = subprocess.run(
        [sys.executable, *words, *SHORT, *(SHORT_SEARCH if search else [])],
        cwd=tmp_path, env=plain | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    left = {path.suffix for path in (tmp_path / "logs/ppo").rglob("*")}
    assert {".csv"} <= left if search else {".zip", ".npz"} <= left


def test_the_commands_of_rl_zoo3_are_these() -> None:
    """Else the test above would pass by having nothing to run."""
    assert len(ZOO) == 3
    assert all(command.startswith("python -m rl_zoo3.train --algo ppo --env lobgym/") for command in ZOO)
    assert sum("-optimize" in command for command in ZOO) == 1


def test_the_page_names_every_example() -> None:
    named = links((FOLDER / "README.md").read_text(encoding="utf-8"))
    assert {path.name for path in FOLDER.iterdir() if path.name != "README.md"} <= named
    assert len(SCRIPTS) >= 2
