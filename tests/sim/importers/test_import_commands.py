"""Goal: `lobgym tape import FORMAT` makes a tape of good files, and answers bad ones with one line and no file.

Method: the entry point itself, called in this process; bad files are good ones with bytes changed, cut out or repeated.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lobgym.experiments.cli import main
from lobgym.sim.importers.order_tape import OrderTape
from lobgym.sim.tape import Tape
from tests.sim.importers import files as f

Run = Callable[..., tuple[int, str, str]]
FORMATS = ("hftbacktest", "tardis", "lobster", "bitstamp")


def make(kind: str, folder: Path) -> tuple[list[Path], list[str]]:
    """Files of a format, and the options that they need."""
    instrument = folder / "instrument.json"
    instrument.write_text(json.dumps(f.LINEAR.to_json()))
    if kind == "hftbacktest":
        return [f.write_hft(folder / "events.npz", f.hft_events(f.hft_lines()))], ["--instrument", str(instrument)]
    if kind == "tardis":
        return f.write_tardis(folder, f.tardis_lines(), packed=False), ["--instrument", str(instrument)]
    if kind == "lobster":
        return f.write_lobster(folder, *f.lobster_lines()), ["--date", "2012-06-21", "--symbol", "ABC"]
    return [f.write_lines(folder / "feed.log", f.bitstamp_lines())], []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    def run_once(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lobgym", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        out, err = capfd.readouterr()
        return code, out, err

    return run_once


@pytest.mark.parametrize("kind", FORMATS)
def test_good_files_become_a_tape(kind: str, tmp_path: Path, run: Run) -> None:
    paths, options = make(kind, tmp_path)
    code, out, err = run("tape", "import", kind, *paths, "--out", tmp_path / "t.parquet", "--json", *options)
    assert (code, err) == (0, "")
    report = json.loads(out)
    tape = Tape.load(tmp_path / "t.parquet")
    assert report["digest"] == tape.digest
    assert tape.provenance["source"] == kind
    assert {one["name"] for one in tape.provenance["files"]} == {path.name for path in paths}
    assert str(tmp_path) not in json.dumps(tape.provenance)


def test_orders_are_written_where_asked(tmp_path: Path, run: Run) -> None:
    paths, _ = make("bitstamp", tmp_path)
    outs = ("--out", tmp_path / "t.parquet", "--orders-out", tmp_path / "o.parquet")
    assert run("tape", "import", "bitstamp", *paths, *outs)[0] == 0
    assert len(OrderTape.load(tmp_path / "o.parquet").events) == 12


def test_a_tape_is_exported_and_imported_again(tmp_path: Path, run: Run) -> None:
    code, out, _ = run("tape", "export", "synth?minutes=1", "--out", tmp_path / "e.npz", "--json")
    assert (code, json.loads(out)) == (0, {"rows_left_out_by_kind": {}})
    named = ("--venue", "synthetic", "--symbol", "SYNTH")
    assert run("tape", "import", "hftbacktest", tmp_path / "e.npz", "--out", tmp_path / "t.parquet", *named)[0] == 0
    code, _, err = run("tape", "export", "synth?minutes=1", "--out", tmp_path)
    assert code == 1
    assert "regular file" in err


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("hftbacktest", [], "give --venue and --symbol"),
        ("hftbacktest", ["--venue", "synthetic", "--symbol", "NONE"], "no built-in instrument synthetic NONE"),
        ("lobster", ["--date", "2012-06-21"], "give --symbol, or --instrument"),
        ("lobster", ["--date", "2012-06-21", "--symbol", "ABC", "--timezone", "Mars"], "timezone 'Mars' is unknown"),
        ("tardis", [], "no built-in instrument nowhere ABC-PERP"),
    ],
)
def test_what_the_files_do_not_say_must_be_said(
    kind: str, options: list[str], says: str, tmp_path: Path, run: Run
) -> None:
    paths, _ = make(kind, tmp_path)
    code, _, err = run("tape", "import", kind, *paths, "--out", tmp_path / "t.parquet", *options)
    assert code == 1
    assert says in err
    assert not (tmp_path / "t.parquet").exists()


BAD: list[tuple[str, str, Callable[[bytes], bytes]]] = [
    (kind, what, change)
    for kind in FORMATS
    for what, change in {
        "empty": lambda data: b"",
        "cut": lambda data: data[: len(data) * 2 // 3 + 1],
        "noise": lambda data: bytes(range(256)) * 8,
        "zeros": lambda data: data[:50] + bytes(len(data)),
        "another format": lambda data: b'{"hello": "world"}\n' * 20,
        "html": lambda data: b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
        "packed and cut": lambda data: b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + data[:20],
    }.items()
]


@pytest.mark.parametrize(("kind", "what", "change"), BAD, ids=[f"{kind}-{what}" for kind, what, _ in BAD])
def test_a_bad_file_is_one_line_and_no_tape(
    kind: str, what: str, change: Callable[[bytes], bytes], tmp_path: Path, run: Run
) -> None:
    paths, options = make(kind, tmp_path)
    paths[0].write_bytes(change(paths[0].read_bytes()))
    before = sorted(tmp_path.iterdir())
    code, out, err = run("tape", "import", kind, *paths, "--out", tmp_path / "t.parquet", *options)
    assert code == 1
    assert out == ""
    assert err.startswith("lobgym: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert paths[0].name in err or paths[-1].name in err
    assert sorted(tmp_path.iterdir()) == before


def test_what_is_no_file_is_refused(tmp_path: Path, run: Run) -> None:
    for kind in FORMATS:
        _, options = make(kind, tmp_path)
        for path in (tmp_path, tmp_path / "missing", "/dev/zero"):
            code, _, err = run("tape", "import", kind, path, "--out", tmp_path / "t.parquet", *options)
            assert code == 1
            assert err.count("\n") == 1
            assert "cannot read" in err


texts = st.sampled_from([b"", b"-", b",", b"\n", b"9", b"nan", b"\xff", b'"'])
edits = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 12), texts), min_size=1, max_size=4)


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.integers(0, 3), changes=edits)
def test_any_damage_ends_in_a_tape_or_in_one_line(
    kind: str, which: int, changes: list[tuple[int, int, bytes]], tmp_path: Path, run: Run
) -> None:
    paths, options = make(kind, tmp_path)
    path = paths[which % len(paths)]
    data = path.read_bytes()
    for place, length, new in changes:
        at = place % len(data)
        data = (data[:at] + new + data[at + length :]) or b"x"
    path.write_bytes(data)
    out_path = tmp_path / "t.parquet"
    out_path.unlink(missing_ok=True)
    code, _, err = run("tape", "import", kind, *paths, "--out", out_path, *options, "--json")
    assert (code, err.count("\n"), out_path.exists()) in ((0, 0, True), (1, 1, False))
    assert not list(tmp_path.glob(".tmp-*"))
    if code == 0:
        Tape.load(out_path)
