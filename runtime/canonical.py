"""One byte string for one value: what the runtime hashes, and how it puts files in place.

Canonical JSON here is UTF-8 with sorted keys, no spaces, integers, strings, booleans, lists and objects. Floats and
nulls are refused: a float's text may differ between writers, and msgspec writes NaN as null without a word.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

import lobgym.sim

__all__ = [
    "canonical_bytes",
    "canonical_sha256",
    "pretty_json",
    "replace_file",
    "sha256_hex",
    "sim_source_sha256",
    "sync_folder",
    "write_durable",
]

_ENCODER = msgspec.json.Encoder(order="sorted")
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NOT_EXACT = re.compile(rb"\.|[0-9][eE]|null")


def canonical_bytes(value: Any) -> bytes:
    """The canonical JSON of a value (dicts, lists, tuples, msgspec structs of integers, strings, booleans).

    Raises `TypeError` for floats and None.
    """
    data = _ENCODER.encode(value)
    found = _NOT_EXACT.search(_STRING.sub(b"", data))
    if found:
        raise TypeError(
            f"canonical JSON takes integers, strings and booleans, got a float or None near "
            f"{found.group().decode()!r}; state it in fixed point"
        )
    return data


def sha256_hex(data: bytes) -> str:
    """The sha256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def canonical_sha256(value: Any) -> str:
    """The sha256 of a value's canonical JSON."""
    return sha256_hex(canonical_bytes(value))


@lru_cache(maxsize=1)
def sim_source_sha256() -> str:
    """The sha256 over every source file of `lobgym.sim`: name, length and content, in the order of names."""
    root = Path(next(iter(lobgym.sim.__path__))).resolve()
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durable(path: Path, data: bytes) -> None:
    """Write a new file and sync it; `FileExistsError` if there is one."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes) -> None:
    """Put a whole file in place: written aside, synced, renamed; readers see the old one or the new one."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write_durable(aside, data)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def pretty_json(value: Any) -> bytes:
    """Indented JSON with sorted keys and a final newline: for files that people read."""
    return msgspec.json.format(_ENCODER.encode(value), indent=2) + b"\n"
