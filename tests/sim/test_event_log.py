"""Goal: an event log comes back as it was written, says what it holds to any reader, and is whole or not there.

Method: the log of a lane that does a bit of everything; files cut, changed and interrupted on purpose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from lobgym.experiments.cli import app
from lobgym.sim import records as rec
from lobgym.sim.errors import LogError, LogFormatError
from lobgym.sim.event_log import EVENT_NAMES, TIF_NAMES, EventLogWriter, read_log, write_log
from lobgym.sim.instrument import SYNTH
from lobgym.sim.market import Market
from lobgym.sim.session import Session
from lobgym.sim.tape import Tape


@pytest.fixture(scope="module")
def rows(small_tape: Tape) -> NDArray[np.void]:
    session = Session(Market.compile(small_tape), log="full", log_rows=999)
    bid, ask = session.bests()
    assert bid is not None
    assert ask is not None
    session.submit(0, rec.BUY, ask, 2, rec.IOC)
    session.submit(0, rec.SELL, bid, 1, rec.GTX)
    session.submit(0, rec.SELL, 1 << 40, 1)  # nobody knows what stands there
    order = session.submit(0, rec.BUY, bid - 1, 5)
    session.advance(session.t_ns() + 30_000_000)
    session.modify(0, order, bid - 2, 4)
    session.cancel(0, order)
    session.advance(session.end_ns)
    return session.drain_log()


def test_the_log_has_something_of_everything(rows: NDArray[np.void]) -> None:
    kinds = {EVENT_NAMES[kind] for kind in rows["kind"].tolist()}
    assert kinds >= {"sent_submit", "sent_modify", "sent_cancel", "ack", "fill", "expired", "rejected", "cancelled"}


def test_what_is_written_comes_back(rows: NDArray[np.void], tmp_path: Path) -> None:
    write_log(rows, SYNTH, tmp_path / "log.parquet")
    again = read_log(tmp_path / "log.parquet")
    assert again.rows.dtype == rec.LOG_DTYPE
    assert again.rows.tolist() == rows.tolist()
    assert again.instrument == SYNTH
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]


def test_an_empty_log_is_one(tmp_path: Path) -> None:
    write_log(np.zeros(0, rec.LOG_DTYPE), SYNTH, tmp_path / "log.parquet")
    assert len(read_log(tmp_path / "log.parquet").rows) == 0


def test_pieces_do_not_matter(rows: NDArray[np.void], tmp_path: Path) -> None:
    write_log(rows, SYNTH, tmp_path / "whole.parquet")
    with EventLogWriter(tmp_path / "pieces.parquet", SYNTH) as writer:
        for k in range(0, len(rows), 3):
            writer.append(rows[k : k + 3])
            writer.append(rows[:0])
        assert not (tmp_path / "pieces.parquet").exists()  # before it is whole
    assert writer.rows == len(rows)
    assert read_log(tmp_path / "pieces.parquet").digest == read_log(tmp_path / "whole.parquet").digest
    assert read_log(tmp_path / "pieces.parquet").rows.tolist() == rows.tolist()


def test_any_reader_finds_names_and_units(rows: NDArray[np.void], tmp_path: Path) -> None:
    write_log(rows, SYNTH, tmp_path / "log.parquet")
    table = pq.read_table(tmp_path / "log.parquet")
    assert table.column("kind_name").to_pylist() == [EVENT_NAMES[code] for code in rows["kind"].tolist()]
    assert table.column("reason_name").to_pylist() == [rec.REASON_NAMES[code] for code in rows["reason"].tolist()]
    assert table.column("tif_name").to_pylist() == [TIF_NAMES[code] for code in rows["tif"].tolist()]
    assert set(table.column("side_name").to_pylist()) == {"buy", "sell"}
    assert pa.types.is_dictionary(table.schema.field("kind_name").type)
    metadata = table.schema.metadata
    assert (metadata[b"tick_size"], metadata[b"lot_size"], metadata[b"money_unit"]) == (b"0.1", b"0.001", b"1E-8")


def test_every_kind_of_row_has_a_name() -> None:
    answers = {rec.ACK, rec.FILL, rec.CANCELLED, rec.EXPIRED, rec.REJECTED, rec.CANCEL_REJECTED, rec.MODIFIED}
    answers |= {rec.MODIFY_REJECTED, rec.FUNDED}
    assert set(EVENT_NAMES) == answers | {rec.SENT_SUBMIT, rec.SENT_CANCEL, rec.SENT_MODIFY}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_an_interrupted_run_leaves_what_was_appended(
    rows: NDArray[np.void], tmp_path: Path, stop: type[BaseException]
) -> None:
    def run() -> None:
        with EventLogWriter(tmp_path / "log.parquet", SYNTH) as writer:
            writer.append(rows[:4])
            raise stop

    with pytest.raises(stop):
        run()
    assert read_log(tmp_path / "log.parquet").rows.tolist() == rows[:4].tolist()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_log_that_was_there_stays_until_the_close(rows: NDArray[np.void], tmp_path: Path) -> None:
    write_log(rows[:2], SYNTH, tmp_path / "log.parquet")
    writer = EventLogWriter(tmp_path / "log.parquet", SYNTH)
    writer.append(rows)
    assert len(read_log(tmp_path / "log.parquet").rows) == 2
    writer.close()
    writer.close()
    assert len(read_log(tmp_path / "log.parquet").rows) == len(rows)
    with pytest.raises(LogError, match="closed"):
        writer.append(rows)


def _strange() -> NDArray[np.void]:
    made = np.zeros(2, rec.LOG_DTYPE)
    made["kind"] = [rec.FILL, 77]
    return made


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros(3), "drain_log"),
        (np.zeros(3, rec.FILL_DTYPE), "drain_log"),
        ([1, 2], "drain_log"),
        (_strange(), "no kind has the number 77"),
    ],
)
def test_what_is_no_log_is_refused(given: Any, says: str, tmp_path: Path) -> None:
    with pytest.raises(LogFormatError, match=says):
        write_log(given, SYNTH, tmp_path / "log.parquet")


def test_files_that_are_no_logs(rows: NDArray[np.void], tmp_path: Path) -> None:
    good = tmp_path / "good.parquet"
    write_log(rows, SYNTH, good)
    with pytest.raises(LogError, match="no such log"):
        read_log(tmp_path / "nothing.parquet")
    (tmp_path / "cut.parquet").write_bytes(good.read_bytes()[:-9])
    with pytest.raises(LogFormatError, match="not a readable"):
        read_log(tmp_path / "cut.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(LogFormatError, match="no event log"):
        read_log(tmp_path / "other.parquet")
    table = pq.read_table(good)
    changed = table.set_column(3, table.schema.field(3), pa.array(np.asarray(table.column(3)) + 1))
    with pq.ParquetWriter(tmp_path / "changed.parquet", table.schema) as writer:
        writer.write_table(changed)
        writer.add_key_value_metadata(pq.ParquetFile(good).metadata.metadata)
    with pytest.raises(LogFormatError, match="digest"):
        read_log(tmp_path / "changed.parquet")


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="cannot write the log"):
        EventLogWriter(tmp_path / "missing" / "log.parquet", SYNTH)
    with pytest.raises(LogError, match="no regular file"):
        EventLogWriter(tmp_path, SYNTH)


def test_the_command_shows_it(rows: NDArray[np.void], tmp_path: Path) -> None:
    write_log(rows, SYNTH, tmp_path / "log.parquet")
    plain = CliRunner().invoke(app, ["log", "show", str(tmp_path / "log.parquet")])
    assert plain.exit_code == 0
    assert f"{len(rows)} events" in plain.output
    shown = json.loads(CliRunner().invoke(app, ["log", "show", str(tmp_path / "log.parquet"), "--json"]).output)
    assert sum(one["rows"] for one in shown["counts"]) == shown["rows"] == len(rows)
    assert [one["row"] for one in shown["shown"]] == [*range(5), *range(len(rows) - 5, len(rows))]
    assert {"kind": "rejected", "reason": "unknown_level", "rows": 1} in shown["counts"]
