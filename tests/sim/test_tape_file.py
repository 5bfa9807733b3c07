"""Tapes on disk: what is loaded is what was saved, what was altered is refused, a failed save leaves nothing.

Method: real files; a full disk is the file-size limit of a process, and a failing write at every stage.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lobgym.sim import tape_file
from lobgym.sim.errors import TapeDigestError, TapeError, TapeFormatError
from lobgym.sim.tape import Tape

BYTES_PER_ROW_MAX = 12


@pytest.fixture
def saved(tmp_path: Path, small_tape: Tape) -> Path:
    path = tmp_path / "tape.parquet"
    small_tape.save(path)
    return path


def test_a_saved_tape_comes_back(saved: Path, small_tape: Tape) -> None:
    again = Tape.load(saved)
    assert again == small_tape
    assert again.events.tolist() == small_tape.events.tolist()
    assert (again.instrument, again.provenance) == (small_tape.instrument, small_tape.provenance)
    assert os.listdir(saved.parent) == ["tape.parquet"]


def test_saving_twice_gives_the_same_bytes(saved: Path, small_tape: Tape) -> None:
    before = saved.read_bytes()
    small_tape.save(saved)
    assert saved.read_bytes() == before


def test_a_row_costs_few_bytes(saved: Path, small_tape: Tape) -> None:
    assert saved.stat().st_size / len(small_tape) < BYTES_PER_ROW_MAX


def test_the_columns_are_plain_for_other_tools(saved: Path, small_tape: Tape) -> None:
    table = pq.read_table(saved)
    assert table.column("price_ticks").to_pylist() == small_tape.events["price_ticks"].tolist()


def rewrite(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        pq.write_table(change(pq.read_table(path)), path)

    return apply


def with_metadata(**values: str | None) -> Callable[[pa.Table], pa.Table]:
    def apply(table: pa.Table) -> pa.Table:
        metadata = {key.decode(): value for key, value in table.schema.metadata.items()}
        for name, value in values.items():
            metadata.pop(f"lobgym.{name}")
            if value is not None:
                metadata[f"lobgym.{name}"] = value
        return table.replace_schema_metadata(metadata)

    return apply


def with_column(name: str, make: Callable[[list[int]], Any]) -> Callable[[pa.Table], pa.Table]:
    def apply(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        made = make(table.column(name).to_pylist())
        return table.set_column(
            at, table.schema.field(name).with_nullable(True), pa.array(made, table.schema.types[at])
        )

    return apply


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 64] = bytes(64)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (Path.unlink, TapeError, "no such tape file"),
        (lambda path: path.write_bytes(b""), TapeFormatError, "not a readable Parquet file"),
        (lambda path: path.write_text("hello, this is no tape"), TapeFormatError, "not a readable Parquet file"),
        (cut, TapeFormatError, "not a readable Parquet file"),
        (flip, TapeError, "tape.parquet"),
        (lambda path: pq.write_table(pa.table({"x": [1]}), path), TapeFormatError, "but not a tape"),
        (rewrite(lambda table: table.drop_columns(["seq"])), TapeFormatError, "columns are exch_ns int64, local_ns"),
        (rewrite(lambda table: table.select(table.column_names[::-1])), TapeFormatError, "expected exch_ns int64"),
        (rewrite(with_metadata(format="lobgym.tape/0")), TapeFormatError, "lobgym.tape/1"),
        (rewrite(with_metadata(digest=None)), TapeFormatError, "broken metadata"),
        (rewrite(with_metadata(instrument="{}")), TapeFormatError, "broken metadata"),
        (rewrite(with_metadata(provenance="[1")), TapeFormatError, "broken metadata"),
        (rewrite(with_metadata(provenance="[]")), TapeFormatError, "provenance is no object"),
        (rewrite(with_metadata(digest="0" * 64)), TapeDigestError, "the file states 0000"),
        (rewrite(lambda table: table.slice(0, len(table) - 1)), TapeError, "tape.parquet"),
        (rewrite(lambda table: table.slice(0, 0)), TapeFormatError, "at least one row"),
        (rewrite(with_column("seq", lambda x: [x[0] + 1, *x[1:]])), TapeDigestError, "the content has the digest"),
        (rewrite(with_column("kind", lambda x: [99, *x[1:]])), TapeFormatError, "row 0 of"),
        (rewrite(with_column("seq", lambda x: [None, *x[1:]])), TapeFormatError, "column seq holds nulls"),
    ],
)
def test_a_file_that_is_no_whole_tape_is_refused_in_one_line(
    saved: Path, spoil: Callable[[Path], None], error: type[TapeError], says: str
) -> None:
    spoil(saved)
    with pytest.raises(error, match=says) as caught:
        Tape.load(saved)
    assert str(caught.value).startswith(f"{saved}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_tape(tmp_path: Path, small_tape: Tape) -> None:
    with pytest.raises(TapeError, match="no such tape file"):
        Tape.load(tmp_path)
    with pytest.raises(TapeError, match="cannot write the tape"):
        small_tape.save(tmp_path)
    with pytest.raises(TapeError, match="cannot write the tape: No such file"):
        small_tape.save(tmp_path / "none" / "tape.parquet")
    with pytest.raises(TapeError, match="names no file"):
        small_tape.save(Path("."))
    assert os.listdir(tmp_path) == []


def test_a_tape_never_takes_the_place_of_a_device_or_pipe(tmp_path: Path, small_tape: Tape) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(TapeError, match="no regular file"):
        small_tape.save(pipe)
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


def test_impossible_paths_are_refused_like_any_other(saved: Path, small_tape: Tape) -> None:
    for path in (saved / "x.parquet", saved.with_name("x" * 300)):
        with pytest.raises(TapeError, match="cannot write the tape"):
            small_tape.save(path)
        with pytest.raises(TapeError, match="no such tape file"):
            Tape.load(path)
    assert os.listdir(saved.parent) == ["tape.parquet"]


@pytest.mark.parametrize("stage", ["_write_rows", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_tape_and_nothing_else(
    saved: Path, small_tape: Tape, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = saved.read_bytes()
    monkeypatch.setattr(tape_file if stage == "_write_rows" else os, stage, full)
    with pytest.raises(TapeError, match="cannot write the tape: No space left on device"):
        small_tape.save(saved)
    assert os.listdir(saved.parent) == ["tape.parquet"]
    assert saved.read_bytes() == before


LIMITED = """
import resource, sys
from lobgym.sim.errors import TapeError
from lobgym.sim.tape import open_tape
tape = open_tape("synth?seed=1&minutes=2")
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    tape.save(sys.argv[1])
except TapeError as error:
    print(error)
"""


def test_a_write_that_stops_half_way_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tape.parquet"
    done = subprocess.run([sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{path}: cannot write the tape: File too large"
    assert os.listdir(tmp_path) == []


def test_an_interrupt_leaves_nothing(tmp_path: Path, small_tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small_tape.save(tmp_path / "tape.parquet")
    assert os.listdir(tmp_path) == []
