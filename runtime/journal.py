"""The journal: an append-only file of hash-chained records, one JSON line each.

A line is `{"seq":N,"kind":"...","prev":"<hash>","body":{...},"hash":"<hash>"}` and a newline, where `hash` is the
sha256 of the previous record's hash and the canonical bytes of [seq, kind, body]. Bodies hold integers, strings and
booleans only. The chain shows every change before its last record; that records were cut off at a record boundary
shows in a missing footer, and against a hash kept elsewhere.

A record is written with one call. A process that dies leaves at most an incomplete last line, the torn tail: opening
for append copies it aside to `<name>.torn-K`, truncates, and syncs file and folder. Anything else that does not
verify is corruption (WAL_CORRUPT): nothing is dropped and nothing is started.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from lobgym.runtime.canonical import canonical_bytes, sha256_hex, sync_folder, write_durable
from lobgym.runtime.errors import JournalCorruptError, JournalError, JournalLockedError, JournalWriteError

try:
    import fcntl
except ImportError:  # Windows: everything but writing a journal works
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "DEFAULT_SYNC",
    "GENESIS",
    "RECORD_BYTES_MAX",
    "Journal",
    "JournalContent",
    "JournalRecord",
    "read_journal",
    "verify_journal",
]

GENESIS: Final = sha256_hex(b"lobgym journal 1")  # the `prev` of the first record
RECORD_BYTES_MAX: Final = 1 << 20
BATCH_MAX: Final = 100_000  # records between two syncs
TORN_COPIES_MAX: Final = 1000
DEFAULT_SYNC: Final = "batch:256"


class JournalRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verified record. `seq` counts from 0; `hash` covers everything before it."""

    seq: int
    kind: str
    prev: str
    body: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class JournalContent:
    """What stands in a journal file: its verified records, where they end, and the torn bytes after them."""

    records: tuple[JournalRecord, ...]
    good_bytes: int
    torn: bytes

    @property
    def head(self) -> str:
        """The hash of the last record; `GENESIS` of an empty journal."""
        return self.records[-1].hash if self.records else GENESIS


def record_line(seq: int, kind: str, body: Any, prev: str) -> tuple[bytes, str]:
    """The line of a record and its hash. `TypeError` if the body holds a float or None."""
    body_bytes = canonical_bytes(body)
    head = b"%d,%s," % (seq, msgspec.json.encode(kind))
    digest = sha256_hex(bytes.fromhex(prev) + b"[" + head + body_bytes + b"]")
    line = b'{"seq":%d,"kind":%s,"prev":"%s","body":%s,"hash":"%s"}\n' % (
        seq,
        msgspec.json.encode(kind),
        prev.encode(),
        body_bytes,
        digest.encode(),
    )
    return line, digest


def read_journal(path: str | os.PathLike[str]) -> JournalContent:
    """Read and verify a whole journal without locking or changing it.

    Raises `JournalError` if it cannot be read and `JournalCorruptError` for damage before the tail.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:
            _require_file(handle, path)
            data = file.read()
    except OSError as error:
        raise JournalError(f"cannot read the journal {path}: {error.strerror}") from error
    return verify_journal(data, str(path))


def _require_file(handle: int, path: str | os.PathLike[str]) -> None:
    """Devices and pipes can neither be read to an end nor cut back."""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise JournalError(f"the journal {path} is not a regular file; name one, or one that does not exist yet")


def verify_journal(data: bytes, name: str = "journal") -> JournalContent:
    """Verify the bytes of a journal; see `read_journal`."""
    end = data.rfind(b"\n") + 1
    records: list[JournalRecord] = []
    prev, offset = GENESIS, 0
    for line in _lines(data, end):
        record = _verified(line, len(records), prev, offset, name)
        records.append(record)
        prev = record.hash
        offset += len(line)
    torn = data[end:]
    if not _may_be_torn(torn):
        raise JournalCorruptError(
            f"WAL_CORRUPT: {name} has bytes after record {len(records) - 1} (offset {end}) that no interrupted write "
            "leaves; keep the file and restore it from a copy"
        )
    return JournalContent(tuple(records), end, torn)


def _lines(data: bytes, end: int) -> Iterator[bytes]:
    start = 0
    while start < end:
        stop = data.index(b"\n", start) + 1
        yield data[start:stop]
        start = stop


def _verified(line: bytes, seq: int, prev: str, offset: int, name: str) -> JournalRecord:
    # The line is rebuilt from its parts and compared whole, so that not one byte of it is free to differ.
    rebuilt, record = b"", None
    with contextlib.suppress(msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        record = msgspec.json.decode(line, type=JournalRecord)
        rebuilt = record_line(seq, record.kind, record.body, prev)[0]
    if record is None or rebuilt != line:
        raise JournalCorruptError(
            f"WAL_CORRUPT: record {seq} of {name} (offset {offset}, {len(line)} bytes) does not verify against the "
            "chain; nothing was dropped: keep the file and restore it from a copy"
        )
    return record


def _may_be_torn(tail: bytes) -> bool:
    """Whether one interrupted write can have left these bytes: a part of one record, never a whole one and more."""
    if len(tail) > RECORD_BYTES_MAX:
        return False
    try:
        _, stop = json.JSONDecoder().raw_decode(tail.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return True
    return stop == len(tail.decode("utf-8", "replace"))


def _sync_every(policy: str) -> int:
    """Records between two syncs: 0 for "none", 1 for "always", N for "batch:N"."""
    if policy in ("none", "always"):
        return 0 if policy == "none" else 1
    kind, _, count = policy.partition(":")
    if kind != "batch" or not count.isdecimal() or not 1 <= int(count) <= BATCH_MAX:
        raise JournalError(
            f'sync policy must be "none", "always" or "batch:N" with N in 1..{BATCH_MAX}, got {policy!r}'
        )
    return int(count)


class Journal:
    """A journal open for append, locked against every other runtime. Use it as a context manager.

    `sync` is "none" (the system decides; a killed process still loses nothing), "batch:N" (every N records and at
    close) or "always". A write or sync that fails is never retried: the file is cut back to the last whole record,
    `JournalWriteError` is raised, and every later append raises it too.
    """

    # Named here so that tests can put a failing disk underneath.
    _write = staticmethod(os.write)
    _sync = staticmethod(getattr(os, "fdatasync", os.fsync))

    def __init__(self, path: str | os.PathLike[str], sync: str = DEFAULT_SYNC) -> None:
        self.path = Path(path)
        self._every = _sync_every(sync)
        self._failed = ""
        self._unsynced = 0
        self._handle = self._open()
        try:
            _require_file(self._handle, self.path)
            self._lock()
            content = verify_journal(self._read_all(), str(self.path))
            self.torn_copy = self._set_torn_aside(content)
        except BaseException:
            os.close(self._handle)
            raise
        self.records = content.records  # those that stood in the file when it was opened
        self.head = content.head
        self._seq = len(content.records)
        self._end = content.good_bytes

    def _open(self) -> int:
        try:
            new = not self.path.exists()
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JournalError(f"cannot open the journal {self.path} for append: {error.strerror}") from error
        if new:
            sync_folder(self.path.parent)
        return handle

    def _lock(self) -> None:
        if fcntl is None:
            raise JournalError("a journal needs POSIX file locks, which this system lacks; on Windows run it under WSL")
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalLockedError(
                f"another runtime is writing {self.path}; stop it, or give this run a journal of its own"
            ) from error

    def _read_all(self) -> bytes:
        with open(self._handle, "rb", closefd=False) as file:
            file.seek(0)
            return file.read()

    def _set_torn_aside(self, content: JournalContent) -> Path | None:
        if not content.torn:
            return None
        for number in range(TORN_COPIES_MAX):
            copy = self.path.with_name(f"{self.path.name}.torn-{number}")
            with contextlib.suppress(FileExistsError):
                write_durable(copy, content.torn)
                break
        else:
            raise JournalError(f"{TORN_COPIES_MAX} torn tails stand beside {self.path}; look into them first")
        os.ftruncate(self._handle, content.good_bytes)
        os.fsync(self._handle)
        sync_folder(self.path.parent)
        return copy

    def append(self, kind: str, body: Any) -> str:
        """Append one record and return its hash. On return the operating system has it whole.

        Raises `TypeError` for a body with floats or None, `JournalWriteError` when it cannot be written whole.
        """
        if self._failed:
            raise JournalWriteError(f"{self.path} takes no more records: {self._failed}")
        line, digest = record_line(self._seq, kind, body, self.head)
        if len(line) > RECORD_BYTES_MAX:
            raise JournalError(f"a record of {len(line)} bytes; the maximum is {RECORD_BYTES_MAX}")
        try:
            written = self._write(self._handle, line)
        except OSError as error:
            self._cut_back(f"write failed: {error.strerror}")
        if written != len(line):
            self._cut_back(f"short write: {written} of {len(line)} bytes")
        self._end += written
        self._seq += 1
        self.head = digest
        self._unsynced += 1
        if self._every and self._unsynced >= self._every:
            self.sync()
        return digest

    def _cut_back(self, reason: str) -> None:
        self._failed = reason
        try:
            os.ftruncate(self._handle, self._end)
        except OSError as error:  # the next open finds a torn tail and cuts it
            self._failed += f"; cutting back failed too: {error.strerror}"
        raise JournalWriteError(f"{self.path}: {self._failed}; free space on its disk and start again with resume")

    def sync(self) -> None:
        """Make everything appended so far durable. A failure is final: `JournalWriteError`, never a second try."""
        if self._failed:
            raise JournalWriteError(f"{self.path} takes no more records: {self._failed}")
        try:
            self._sync(self._handle)
        except OSError as error:
            self._failed = f"sync failed: {error.strerror}; what the disk holds is unknown"
            raise JournalWriteError(f"{self.path}: {self._failed}; start again with resume") from error
        self._unsynced = 0

    def close(self) -> None:
        """Sync (unless the policy is "none" or the journal failed), release the lock, close. Twice does no harm."""
        if self._handle < 0:
            return
        try:
            if self._every and self._unsynced and not self._failed:
                self.sync()
        finally:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
