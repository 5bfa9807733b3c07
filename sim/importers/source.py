"""Files of recordings as streams of bytes and as batches of columns, whatever they are packed with.

What a file is packed with is told by its first bytes. Every error is a `FeedError` that begins with the file, and with
the line where there is one.
"""

from __future__ import annotations

import bz2
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from lobgym.sim.errors import FeedError
from lobgym.sim.importers.binance_raw import file_sha256

__all__ = ["HEADER_BYTES_MAX", "Batch", "file_facts", "open_source", "read_batches", "read_header"]

HEADER_BYTES_MAX: Final = 1 << 16
_BLOCK_BYTES: Final = 1 << 22  # a batch, and the longest line
_ROW: Final = re.compile(r"Row #(\d+): ")


class Batch(NamedTuple):
    """Columns of some lines of a file; `line` is the number of the first one, counted from 1."""

    path: Path
    line: int
    columns: dict[str, Any]  # name -> pyarrow array
    rows: int

    def require(self, ok: Any, what: str) -> None:
        """Raises `FeedError` naming the first line where `ok`, bool[rows], is false."""
        if not ok.all():
            raise FeedError(f"{self.path}:{self.line + int(np.argmin(ok))}: {what}")


@contextmanager
def open_source(path: Path) -> Iterator[BinaryIO]:
    """The unpacked bytes of a plain, gzip or bzip2 file. Raises `FeedError`, also for what goes wrong while reading."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():  # a device has no end, a pipe no second reading
            raise FeedError(f"{path}: cannot read the recording: not a regular file")
        with open(path, "rb") as raw:
            magic = raw.read(3)
            raw.seek(0)
            if magic[:2] == b"\x1f\x8b":
                with gzip.open(raw) as packed:
                    yield cast("BinaryIO", packed)
            elif magic == b"BZh":
                with bz2.open(raw) as unpacked:
                    yield cast("BinaryIO", unpacked)
            else:
                yield raw
    except EOFError:
        raise FeedError(f"{path}: the packed data is truncated; copy or download the file again") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise FeedError(f"{path}: the packed data is damaged ({error}); copy or download the file again") from None
    except OSError as error:
        raise FeedError(f"{path}: cannot read the recording: {error.strerror or error}") from None


def file_facts(path: Path, rows: int) -> dict[str, Any]:
    """What the provenance says of a file: name, digest, number of rows."""
    return {"name": path.name, "sha256": file_sha256(path), "rows": rows}


def read_header(path: Path) -> list[str]:
    """Names of the columns in the first line. Raises `FeedError`."""
    with open_source(path) as stream:
        return _header(path, stream)


def _header(path: Path, stream: BinaryIO) -> list[str]:
    first = stream.readline(HEADER_BYTES_MAX)
    if len(first) == HEADER_BYTES_MAX:
        raise FeedError(f"{path}:1: a line of more than {HEADER_BYTES_MAX} bytes where the column names should be")
    return first.decode("utf-8", "replace").strip().split(",")


def read_batches(path: Path, types: dict[str, Any], names: Sequence[str] | None = None) -> Iterator[Batch]:
    """The columns `types` (name -> pyarrow type) of a CSV file in batches; empty cells stay empty texts.

    `names` are the names of all columns of a file that has no line of names. Raises `FeedError`.
    """
    with open_source(path) as stream:
        line = 1
        if names is None:
            names = _header(path, stream)
            line = 2
        if missing := [name for name in types if name not in names]:
            raise FeedError(f"{path}:1: no column {', '.join(missing)}; the columns are {','.join(names)[:200]}")
        first_line = line
        try:
            reader = _reader(stream, list(names), types)
            for batch in reader:
                if batch.num_rows:
                    columns = {name: batch.column(name) for name in types}
                    yield Batch(path, line, columns, batch.num_rows)
                    line += batch.num_rows
        except pa.ArrowInvalid as error:
            _refuse(path, first_line, line, str(error))


def _reader(stream: BinaryIO, names: list[str], types: dict[str, Any]) -> Any:
    read = pc.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, column_names=names)  # threads lose row numbers
    parse = pc.ParseOptions(quote_char=False, ignore_empty_lines=False)
    convert = pc.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=[], strings_can_be_null=False
    )
    try:
        return pc.open_csv(stream, read_options=read, parse_options=parse, convert_options=convert)
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return iter(())
        raise


def _refuse(path: Path, first_line: int, line: int, message: str) -> None:
    """Raises the `FeedError` for what pyarrow says of a file; its rows count from 1."""
    text = " ".join(message.split())
    if "straddling" in text:
        raise FeedError(f"{path}:{line}: a line of more than {_BLOCK_BYTES} bytes")
    found = _ROW.search(text)
    if found:
        line = first_line + int(found[1]) - 1
        text = text[: found.start()].replace("CSV parse error: ", "") + text[found.end() :]
    raise FeedError(f"{path}:{line}: {text[:200]}") from None
