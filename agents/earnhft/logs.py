"""Scalars of a stage as they come: a CSV file, and TensorBoard's events where it is installed."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["ScalarLog"]


class ScalarLog:
    """Rows of named numbers, of which the first row's names are the file's.

    Args:
        folder: gets `<name>.csv`, written anew, and the folder `<name>` of events.
        name: of the stage.
    """

    def __init__(self, folder: str | Path, name: str) -> None:
        root = Path(folder)
        root.mkdir(parents=True, exist_ok=True)
        self._file = (root / f"{name}.csv").open("w", newline="", encoding="utf-8")
        self._rows: Any = None
        self._events: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(str(root / name))

    def write(self, step: int, **scalars: float) -> None:
        """One row."""
        if self._rows is None:
            self._rows = csv.DictWriter(self._file, ["step", *scalars])
            self._rows.writeheader()
        self._rows.writerow({"step": step, **scalars})
        if self._events is not None:
            for name, value in scalars.items():
                self._events.add_scalar(name, value, step)

    def __enter__(self) -> ScalarLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()
