"""Generated tapes on disk, so that a tape is made once on a machine and not once in each process.

    <user cache>/lobgym/tapes/<sha256 of the scenario's full name and of the generator's sources>.parquet

The user cache is `XDG_CACHE_HOME`, or what the operating system has for it. A file is written aside and renamed, so two
processes that make one tape do not meet: each writes a whole file, and the last one stays. What is read must have the
digest that it states and the name that was asked for; else the tape is made again. Where nothing can be written, a
warning says so once, and tapes are made each time.

After each write the folder is pruned: files that no process has used for `DAYS_KEPT` days go, and then those unused
longest until the rest holds `BYTES_KEPT` at most. Age is counted back from the file just written.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import lobgym
from lobgym._numba_cache import source_digest, user_cache_dir
from lobgym.sim.errors import TapeError
from lobgym.sim.tape import Tape

__all__ = ["BYTES_KEPT", "DAYS_KEPT", "TapeCache"]

DAYS_KEPT: Final = 30
BYTES_KEPT: Final = 2 << 30
_GENERATOR: Final = "sim/scenarios/__init__.py"
_NS_PER_DAY: Final = 86_400_000_000_000
_PATTERNS: Final = ("*.parquet", ".tmp-*")  # the latter are what writers left behind that were killed

_warned: list[Path] = []


class TapeCache:
    """A folder of generated tapes; by default the user's."""

    def __init__(self, folder: Path | None = None, bytes_kept: int = BYTES_KEPT) -> None:
        self.folder = user_cache_dir() / "lobgym" / "tapes" if folder is None else folder
        self._bytes_kept = bytes_kept

    def path_of(self, name: str) -> Path:
        """Where the tape of a full name is, or would be."""
        key = hashlib.sha256(f"{name}\n{_sources()}".encode()).hexdigest()
        return self.folder / f"{key}.parquet"

    def get(self, name: str, make: Callable[[str], Tape]) -> Tape:
        """The tape of a scenario's full name: what is kept, or else what `make` makes of it, which is then kept."""
        path = self.path_of(name)
        kept = _read(path, name)
        if kept is not None:
            return kept
        tape = make(name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tape.save(path)
            self.prune(path)
        except (OSError, TapeError) as error:
            _warn_once(self.folder, error)
        return tape

    def prune(self, newest: Path) -> list[Path]:
        """Remove what is old or too much, counted from the last use of `newest`; what was removed."""
        now_ns = newest.stat().st_mtime_ns
        found = []
        for pattern in _PATTERNS:
            for path in self.folder.glob(pattern):
                with suppress(OSError):  # another process removed it
                    stat = path.stat()
                    found.append((stat.st_mtime_ns, stat.st_size, path))
        found.sort(key=lambda one: one[0], reverse=True)
        held, removed = 0, []
        for used_ns, size, path in found:
            held += size
            unfinished = path.suffix != ".parquet"
            old = now_ns - used_ns > (1 if unfinished else DAYS_KEPT) * _NS_PER_DAY
            if path != newest and (old or (held > self._bytes_kept and not unfinished)):
                held -= size
                with suppress(OSError):
                    path.unlink()
                    removed.append(path)
        return removed


def _read(path: Path, name: str) -> Tape | None:
    """The tape kept there, or None where there is none, or a damaged or a foreign one."""
    try:
        tape = Tape.load(path)
    except (TapeError, OSError):
        return None
    if tape.provenance.get("scenario") != name:
        return None
    with suppress(OSError):  # read-only
        os.utime(path)  # its last use
    return tape


def _warn_once(folder: Path, error: Exception) -> None:
    if folder not in _warned:
        _warned.append(folder)
        warnings.warn(
            f"generated tapes cannot be kept in {folder} ({error}): each process makes its own. "
            "Set XDG_CACHE_HOME to a folder that can be written.",
            stacklevel=2,
        )


@cache
def _sources() -> str:
    """Digest of everything that a generated tape follows from, beside its name."""
    return source_digest(Path(lobgym.__file__).parent, (_GENERATOR,))
