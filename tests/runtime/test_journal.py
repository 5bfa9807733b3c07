"""The journal under a dying process, a full disk and a flipped bit.

Every cut of the last record and every flipped byte of the others is tried; the full disk is a real one (a file size
limit), in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lobgym.runtime.canonical import canonical_bytes
from lobgym.runtime.errors import JournalCorruptError, JournalError, JournalLockedError, JournalWriteError
from lobgym.runtime.journal import GENESIS, RECORD_BYTES_MAX, Journal, read_journal


def fill(path: Path, records: int = 4) -> bytes:
    with Journal(path, sync="none") as journal:
        for number in range(records):
            journal.append("step", {"n": number, "text": f'a "quoted" text {number}', "rows": [[number, -1]]})
    return path.read_bytes()


def test_records_come_back_with_an_unbroken_chain(tmp_path: Path) -> None:
    fill(tmp_path / "j")
    content = read_journal(tmp_path / "j")
    assert [record.seq for record in content.records] == [0, 1, 2, 3]
    assert content.records[0].prev == GENESIS
    assert all(b.prev == a.hash for a, b in zip(content.records, content.records[1:], strict=False))
    assert content.records[2].body == {"n": 2, "text": 'a "quoted" text 2', "rows": [[2, -1]]}
    assert content.head == content.records[-1].hash
    assert content.torn == b""


def test_equal_bodies_give_equal_bytes(tmp_path: Path) -> None:
    assert fill(tmp_path / "a") == fill(tmp_path / "b")


def test_append_continues_an_existing_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    fill(path, 2)
    with Journal(path, sync="always") as journal:
        assert [record.body["n"] for record in journal.records] == [0, 1]
        journal.append("step", {"n": 2})
    assert [record.seq for record in read_journal(path).records] == [0, 1, 2]


def test_a_tail_torn_at_any_byte_is_set_aside_and_cut(tmp_path: Path) -> None:
    data = fill(tmp_path / "whole")
    start = data.rstrip(b"\n").rfind(b"\n") + 1
    for cut in range(start + 1, len(data)):
        path = tmp_path / f"j{cut}"
        path.write_bytes(data[:cut])
        with Journal(path, sync="none") as journal:
            assert len(journal.records) == 3
            assert journal.torn_copy is not None
            assert journal.torn_copy.name == f"j{cut}.torn-0"
            assert journal.torn_copy.read_bytes() == data[start:cut]
            journal.append("step", {"n": 3, "text": 'a "quoted" text 3', "rows": [[3, -1]]})
        assert path.read_bytes() == data


def test_a_tail_of_zeros_is_torn(tmp_path: Path) -> None:
    data = fill(tmp_path / "j")
    (tmp_path / "j").write_bytes(data + bytes(100))
    with Journal(tmp_path / "j") as journal:
        assert len(journal.records) == 4


def test_a_second_torn_tail_does_not_replace_the_first(tmp_path: Path) -> None:
    path = tmp_path / "j"
    fill(path, 1)
    for number in range(3):
        with path.open("ab") as file:
            file.write(b'{"seq":1,')
        with Journal(path) as journal:
            assert journal.torn_copy == tmp_path / f"j.torn-{number}"


def test_a_flipped_bit_in_any_byte_of_any_record_refuses_to_start(tmp_path: Path) -> None:
    data = fill(tmp_path / "whole", records=3)
    path = tmp_path / "j"
    for place in range(len(data)):
        for bit in (0, 5):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(JournalCorruptError, match="WAL_CORRUPT"):
                Journal(path)
            assert path.read_bytes() == flipped, "a corrupt journal is left as it is"
    assert not list(tmp_path.glob("*.torn-*"))


@pytest.mark.parametrize("damage", ["drop", "swap", "repeat"])
def test_a_missing_moved_or_repeated_record_refuses_to_start(tmp_path: Path, damage: str) -> None:
    a, b, c, d = fill(tmp_path / "j").splitlines(keepends=True)
    lines = {"drop": [a, c, d], "swap": [a, c, b, d], "repeat": [a, b, b, c, d]}[damage]
    (tmp_path / "j").write_bytes(b"".join(lines))
    with pytest.raises(JournalCorruptError, match="record"):
        Journal(tmp_path / "j")


def test_a_tail_that_no_interrupted_write_leaves_is_corruption(tmp_path: Path) -> None:
    data = fill(tmp_path / "j")
    (tmp_path / "j").write_bytes(data + b"x" * (RECORD_BYTES_MAX + 1))
    with pytest.raises(JournalCorruptError, match="no interrupted write"):
        Journal(tmp_path / "j")


@pytest.mark.parametrize("body", [{"a": 1.5}, {"a": [1, {"b": 1e30}]}, {"a": None}, {"a": float("nan")}])
def test_bodies_hold_no_floats(tmp_path: Path, body: dict[str, object]) -> None:
    with Journal(tmp_path / "j") as journal:
        with pytest.raises(TypeError, match="fixed point"):
            journal.append("step", body)
        journal.append("step", {"text": '1.5 null 2e3 \\" 1.5'})
    assert len(read_journal(tmp_path / "j").records) == 1


def test_canonical_bytes_do_not_depend_on_the_order_of_keys() -> None:
    assert canonical_bytes({"b": 1, "a": {"d": (1, 2), "c": True}}) == b'{"a":{"c":true,"d":[1,2]},"b":1}'
    assert canonical_bytes({"a": {"c": True, "d": [1, 2]}, "b": 1}) == b'{"a":{"c":true,"d":[1,2]},"b":1}'


def test_a_record_too_large_is_refused_and_the_journal_goes_on(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        with pytest.raises(JournalError, match="maximum"):
            journal.append("step", {"text": "x" * RECORD_BYTES_MAX})
        journal.append("step", {"n": 0})


def test_a_short_write_is_cut_back_and_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j"
    data = fill(path)
    with Journal(path) as journal:
        monkeypatch.setattr(Journal, "_write", staticmethod(lambda handle, line: os.write(handle, line[:50])))
        with pytest.raises(JournalWriteError, match="short write: 50 of"):
            journal.append("step", {"n": 4})
        assert path.read_bytes() == data
        monkeypatch.undo()
        with pytest.raises(JournalWriteError, match="takes no more"):
            journal.append("step", {"n": 4})
    assert path.read_bytes() == data


def test_a_full_disk_leaves_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "j"
    script = textwrap.dedent("""
        import resource, signal, sys
        from lobgym.runtime.errors import JournalWriteError
        from lobgym.runtime.journal import Journal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        journal = Journal(sys.argv[1], sync="none")
        try:
            for number in range(100):
                journal.append("step", {"n": number})
        except JournalWriteError as error:
            print(error)
    """)
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert "short write" in done.stdout
    content = read_journal(path)
    assert content.torn == b""
    assert 0 < len(content.records) < 100
    assert content.good_bytes == path.stat().st_size <= 1000


def test_a_failed_sync_is_never_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(handle: int) -> None:
        calls.append(handle)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Journal, "_sync", staticmethod(fail))
    with Journal(tmp_path / "j", sync="batch:2") as journal:
        journal.append("step", {"n": 0})
        with pytest.raises(JournalWriteError, match="sync failed"):
            journal.append("step", {"n": 1})
        for _ in range(2):
            with pytest.raises(JournalWriteError):
                journal.append("step", {"n": 2})
        with pytest.raises(JournalWriteError):
            journal.sync()
    assert len(calls) == 1


@pytest.mark.parametrize(("policy", "syncs"), [("none", 0), ("always", 7), ("batch:3", 3), ("batch:100", 1)])
def test_sync_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, syncs: int) -> None:
    calls: list[int] = []
    monkeypatch.setattr(Journal, "_sync", staticmethod(calls.append))
    with Journal(tmp_path / "j", sync=policy) as journal:
        for number in range(7):
            journal.append("step", {"n": number})
    assert len(calls) == syncs


@pytest.mark.parametrize("policy", ["", "batch", "batch:0", "batch:-1", "batch:x", "often"])
def test_wrong_sync_policies_are_named(tmp_path: Path, policy: str) -> None:
    with pytest.raises(JournalError, match="sync policy must be"):
        Journal(tmp_path / "j", sync=policy)
    assert not (tmp_path / "j").exists()


def test_a_second_runtime_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "j"
    script = "import sys; from lobgym.runtime.journal import Journal; Journal(sys.argv[1])"
    with Journal(path), pytest.raises(JournalLockedError, match="another runtime"):
        Journal(path)
    with Journal(path):
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
        assert "JournalLockedError" in done.stderr
    with Journal(path):
        pass


def test_a_journal_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        Journal(tmp_path / "missing" / "j")
    with pytest.raises(JournalError, match="Is a directory"):
        Journal(tmp_path)
    with pytest.raises(JournalError, match="No such file"):
        read_journal(tmp_path / "j")


def test_what_is_no_regular_file_is_no_journal(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path(os.devnull), Path("/dev/zero")):  # the last one would be read for ever
        with pytest.raises(JournalError, match="not a regular file"):
            Journal(path)
        with pytest.raises(JournalError, match="not a regular file"):
            read_journal(path)
