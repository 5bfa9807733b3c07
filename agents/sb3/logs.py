"""Logs of a run: progress.csv, and TensorBoard's events where it is installed. A resumed run goes on with them."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, Logger, TensorBoardOutputFormat

__all__ = ["make_logger"]

PROGRESS_FILE: Final = "progress.csv"
_STEPS: Final = "time/total_timesteps"


def make_logger(folder: Path, steps: int = 0) -> Logger:
    """A logger that writes into `folder`, and keeps what an earlier part of the run wrote up to `steps` transitions."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / PROGRESS_FILE
    rows = _rows_until(path, steps) if steps else []
    table = CSVOutputFormat(str(path))
    for row in rows:
        table.write(row, {}, steps)
    writers: list[KVWriter] = [table]
    if find_spec("tensorboard"):
        writers.append(_Events(str(folder), steps))
    return Logger(str(folder), writers)


def _rows_until(path: Path, steps: int) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            {name: _Text(value) for name, value in row.items() if name and value}
            for row in csv.DictReader(file)
            if row.get(_STEPS) and float(row[_STEPS]) <= steps
        ]


class _Text:
    """A cell as it was: SB3's table puts quotes around strings."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class _Events(TensorBoardOutputFormat):
    """TensorBoard's events, of which those after `steps` are void: the run was there before and was killed."""

    def __init__(self, folder: str, steps: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(log_dir=folder, purge_step=steps + 1 if steps else None)
        self._is_closed = False
