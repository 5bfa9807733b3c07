"""What the tests of `lobgym.agents.jobs` run in workers; a module of its own, so that workers can import it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any


def square(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """n squared and a file; each call leaves a line in the log, first thing and last thing."""
    log = Path(task["log"])
    _note(log, f"begin {task['n']}")
    (aside / "n.txt").write_text(str(task["n"]))
    if task["n"] == task.get("killer") and not Path(task["once"]).exists():
        _wait_for_ends(log, task["after"])
        Path(task["once"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    _note(log, f"end {task['n']}")
    return {"n": task["n"], "square": task["n"] ** 2, "tenth": task["n"] / 10}


def die(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """A task that kills every worker that takes it."""
    if task["n"] == 1:
        _note(Path(task["log"]), "begin 1")
        os.kill(os.getpid(), signal.SIGKILL)
    return {"n": task["n"]}


def refuse(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """Raises for odd n; n = 2 gives what JSON has no word for."""
    (aside / "half.txt").write_text("half")
    if task["n"] % 2:
        raise ValueError(f"{task['n']} is odd")
    return {"n": float("nan") if task["n"] == 2 else task["n"]}


def note_and_refuse(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """Notes that it was begun, and raises for odd n."""
    _note(Path(task["log"]), f"begin {task['n']}")
    if task["n"] % 2:
        raise ValueError(f"{task['n']} is odd")
    return {"n": task["n"]}


def where(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """The folder that it works in."""
    return {"place": os.getcwd()}


def echo(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """The task itself."""
    return task


def work(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """Computes until somebody ends its process, a minute at most; notes that process beforehand."""
    _note(Path(task["log"]), f"begin {os.getpid()}")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        sum(range(10_000))
    return {"n": task["n"]}


def _note(log: Path, line: str) -> None:
    with log.open("a") as file:
        file.write(line + "\n")


def _wait_for_ends(log: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while log.read_text().count("end ") < count and time.monotonic() < deadline:
        time.sleep(0.01)
