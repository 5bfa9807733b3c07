"""hftbacktest's event files: the layout, reading one without trusting it, writing one.

An event file is a zip with one member `data.npy`, a one-dimensional array of 64-byte events. Before any array is made,
the zip's directory and the array's header are checked against each other, so that a file that promises more than it
holds costs nothing. Facts of the layout: hftbacktest, `types.py` and `types.rs` (MIT).
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from lobgym.sim.errors import FeedError
from lobgym.sim.importers.output import written_aside

__all__ = ["BUY", "EVENT", "EXCH", "KIND_BITS", "LOCAL", "ROWS_MAX", "SELL", "read_events", "write_events"]

EXCH: Final = 1 << 31  # the row is for the exchange's side
LOCAL: Final = 1 << 30  # the row is for the receiver's side
BUY: Final = 1 << 29  # a bid, or a buying aggressor
SELL: Final = 1 << 28
KIND_BITS: Final = 0xFF  # depth 1, trade 2, clear 3, snapshot 4, best quote 5: the numbers that a tape has, too

EVENT: Final = np.dtype(
    [
        ("ev", "<u8"),
        ("exch_ts", "<i8"),
        ("local_ts", "<i8"),
        ("px", "<f8"),
        ("qty", "<f8"),
        ("order_id", "<u8"),
        ("ival", "<i8"),
        ("fval", "<f8"),
    ]
)
ROWS_MAX: Final = 1 << 27  # 8 GiB
MEMBER: Final = "data.npy"
HEADER_BYTES_MAX: Final = 4096
RATIO_MAX: Final = 1040  # deflate cannot do better than 1,032 to 1


def read_events(path: Path) -> Any:
    """EVENT[rows] of an event file. Raises `FeedError` where it is none, damaged, or larger than `ROWS_MAX` rows."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise FeedError(f"{path}: cannot read the events: not a regular file")
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            info = _only_member(path, archive)
            with archive.open(info) as stream:
                rows = _check_header(path, stream, info)
            with archive.open(info) as stream:
                events = np.lib.format.read_array(stream, allow_pickle=False, max_header_size=HEADER_BYTES_MAX)
                if len(events) != rows or stream.read(1):
                    raise FeedError(f"{path}: {MEMBER} holds another number of rows than the {rows} that it states")
            return events
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise FeedError(f"{path}: not a whole npz file ({error}); copy or make the file again") from None
    except (ValueError, NotImplementedError, RuntimeError, SyntaxError) as error:  # of numpy, of a packing unknown here
        text = " ".join(str(error).split())[:160]
        raise FeedError(f"{path}: {MEMBER} is no array that can be read: {text}") from None
    except OSError as error:
        raise FeedError(f"{path}: cannot read the events: {error.strerror or error}") from None


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = archive.infolist()
    if [one.filename for one in members] != [MEMBER]:
        found = ", ".join(repr(one.filename) for one in members[:4]) + (", ..." if len(members) > 4 else "")
        raise FeedError(f"{path}: expected one member {MEMBER!r}, found {len(members)}: {found or 'none'}")
    info = members[0]
    if info.flag_bits & 1:
        raise FeedError(f"{path}: {MEMBER} is encrypted; write the events without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FeedError(f"{path}: {MEMBER} is packed by method {info.compress_type}; expected stored or deflated")
    if info.file_size > HEADER_BYTES_MAX + ROWS_MAX * EVENT.itemsize:
        raise FeedError(
            f"{path}: {MEMBER} states {info.file_size} bytes; the limit is {ROWS_MAX} events: split the file"
        )
    if info.file_size > RATIO_MAX * max(info.compress_size, 64):
        raise FeedError(f"{path}: {MEMBER} states {info.file_size} bytes packed into {info.compress_size}: impossible")
    return info


def _check_header(path: Path, stream: IO[bytes], info: zipfile.ZipInfo) -> int:
    """Rows that the array's header states, having shown that they are just what the member holds."""
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise FeedError(f"{path}: {MEMBER} has format version {version}; expected 1.0 or 2.0")
    shape, _, dtype = read(stream, max_header_size=HEADER_BYTES_MAX)
    if dtype != EVENT or len(shape) != 1:
        old = "; data of version 1 must be migrated with hftbacktest's migration tool" if len(shape) == 2 else ""
        raise FeedError(f"{path}: an array of {dtype} with shape {shape}, expected (rows,) of {EVENT}{old}"[:700])
    stated = stream.tell() + shape[0] * EVENT.itemsize
    if stated != info.file_size:
        raise FeedError(f"{path}: {MEMBER} states {shape[0]} rows, {stated} bytes, but has {info.file_size}")
    if shape[0] == 0:
        raise FeedError(f"{path}: holds no event")
    return int(shape[0])


def write_events(path: Path, events: Any) -> None:
    """Write an event file: all of it or, with a `TapeError`, nothing."""
    with written_aside(path, "events") as file:
        np.savez_compressed(file, data=events)
