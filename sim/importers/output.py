"""Files written aside and renamed, so that half a file never stands under its name."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from lobgym.sim.errors import TapeError

__all__ = ["written_aside"]


@contextmanager
def written_aside(path: Path, what: str) -> Iterator[BinaryIO]:
    """A file to write to, moved to `path` when the block ends well. Raises `TapeError`, leaving nothing behind."""
    if not path.name:
        raise TapeError(f"{path}: cannot write the {what}: this names no file")
    aside = path.with_name(f".tmp-{path.name[:64]}-{os.getpid()}-{threading.get_ident()}")
    try:
        if path.exists() and not path.is_file():  # the move would put a file where a device was
            raise TapeError(f"{path}: cannot write the {what}: it exists and is no regular file")
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise TapeError(f"{path}: cannot write the {what}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            aside.unlink()
