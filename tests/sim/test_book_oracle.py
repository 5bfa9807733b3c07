"""The compiled book against the reference of docs/market.md, number for number.

Goal: bests, sizes at the bests, quantities, ladders and known-ness at random times, in the exchange's order and in the
order of arrival, with and without corrections. Method: synthetic tapes, the beginnings of the recordings, and tiny
tapes made by hypothesis to set the rules against each other.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, note, settings

from lobgym.sim import records as rec
from lobgym.sim.book import MESSAGE_END, NO_ASK, NO_BID
from lobgym.sim.errors import TapeFormatError
from lobgym.sim.market import Market
from lobgym.sim.synthetic import synthetic_tape
from lobgym.sim.tape import Tape
from lobgym.sim.view import best_ask, best_ask_qty, best_bid, best_bid_qty, cursor_at
from tests.recordings import BINANCE
from tests.sim.columns import columns_of
from tests.sim.oracle import compare_books, recording, tape_of
from tests.sim.reference import RefBook, messages_of
from tests.sim.strategies import tapes


def compare_market(market: Market, times: list[int]) -> int:
    tape, implied = market.tape, market.print_implied_depth
    compared = compare_books(tape.events, market.exch, "exch_ns", implied, times)
    return compared + compare_books(tape.events[tape.local_order()], market.local, "local_ns", implied, times)


def random_times(tape: Tape, count: int, seed: int) -> list[int]:
    """Stamps of the tape, of both kinds, and the nanoseconds around them."""
    chance = Random(seed)
    stamps = np.concatenate([tape.events["exch_ns"], tape.events["local_ns"]])
    return sorted(int(chance.choice(stamps)) + chance.choice((-1, 0, 0, 1)) for _ in range(count))


@pytest.mark.parametrize("implied", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_synthetic(seed: int, implied: bool) -> None:
    tape = synthetic_tape(seed=seed, minutes=1)
    assert compare_market(Market.compile(tape, implied), random_times(tape, 300, seed)) > 20_000


@pytest.mark.parametrize("implied", [True, False])
@pytest.mark.parametrize("name", BINANCE)
def test_recordings(name: str, implied: bool, recordings_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    tape = recording(name, recordings_dir, tmp_path_factory.getbasetemp())
    assert compare_market(Market.compile(tape, implied), random_times(tape, 100, 7)) > 5_000


@settings(max_examples=250, deadline=None)
@given(tapes())
def test_adversarial_tapes(tape: Tape) -> None:
    note(str(tape.events.tolist()))
    times = list(range(tape.start_ns - 1, tape.end_ns + 2))
    for implied in (True, False):
        compare_market(Market.compile(tape, implied), times)


@settings(max_examples=100, deadline=None)
@given(tapes())
def test_never_crossed_at_the_end_of_a_message(tape: Tape) -> None:
    for implied in (True, False):
        market = Market.compile(tape, implied)
        for book in (market.exch, market.local):
            rows = columns_of(book)
            both = ((rows.flags & MESSAGE_END) != 0) & (rows.bid != NO_BID) & (rows.ask != NO_ASK)
            assert (rows.bid[both] < rows.ask[both]).all()


def test_one_sided_tape_is_refused() -> None:
    with pytest.raises(TapeFormatError, match="bid and an ask at once"):
        Market.compile(tape_of([(5, 5, [(rec.DEPTH, rec.BUY, 10, 1, 1)])]))


@pytest.mark.parametrize("name", BINANCE)
def test_best_quotes_are_the_best(name: str, recordings_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """After a best quote that is newer than the last depth message, the effective best is that quote."""
    tape = recording(name, recordings_dir, tmp_path_factory.getbasetemp())
    events = tape.events
    market = Market.compile(tape)
    # Only the last message of a stamp can be told from outside, hence one more condition than the rule needs.
    following = np.append(events["exch_ns"][1:], -1)
    last_of_stamp = (events["exch_ns"] != following) & (events["kind"] == rec.BBO)
    depth_seq = np.maximum.accumulate(np.where(np.isin(events["kind"], (rec.DEPTH, rec.SNAPSHOT)), events["seq"], 0))
    book, compared = market.exch_view[0], 0
    for k in np.flatnonzero(last_of_stamp & (events["seq"] > depth_seq)):
        cursor = cursor_at(book, events["exch_ns"][k])
        for row in (events[k - 1], events[k]):
            if row["kind"] != rec.BBO or row["seq"] != events["seq"][k]:
                continue
            tick, lots = (best_bid, best_bid_qty) if row["side"] == rec.BUY else (best_ask, best_ask_qty)
            assert (tick(book, cursor), lots(book, cursor)) == (row["price_ticks"], row["qty_lots"])
            compared += 1
    assert compared > 200 or not (events["kind"] == rec.BBO).any()


def book_after(*messages: tuple[int, list[tuple[int, int, int, int, int]]]) -> RefBook:
    """Compile and compare at every stamp; return the reference's book at the end."""
    first = (1, [(rec.DEPTH, side, tick, 5, 1) for side, tick in ((1, 8), (1, 9), (-1, 11), (-1, 12), (-1, 13))])
    tape = tape_of([(ns, ns, rows) for ns, rows in (first, *messages)])
    compare_market(Market.compile(tape), list(range(12)))
    book = RefBook()
    for message in messages_of(tape.events):
        book.message(message)
    return book


def test_print_beyond_the_book_empties_it() -> None:
    book = book_after((2, [(rec.TRADE, rec.BUY, 12, 2, 1)]))
    assert book.ladder(rec.SELL, 9) == [(12, 3), (13, 5)]
    assert book_after((2, [(rec.TRADE, rec.BUY, 99, 2, 1)])).best(rec.SELL) is None


def test_depth_message_ends_older_corrections_only() -> None:
    sweep = (3, [(rec.TRADE, rec.BUY, 12, 2, 1)])
    assert book_after(sweep, (4, [(rec.DEPTH, rec.BUY, 8, 6, 2)])).ladder(rec.SELL, 9) == [(11, 5), (12, 5), (13, 5)]
    assert book_after(sweep, (3, [(rec.DEPTH, rec.BUY, 8, 6, 2)])).ladder(rec.SELL, 9) == [(12, 3), (13, 5)]
    named = book_after(sweep, (3, [(rec.DEPTH, rec.SELL, 12, 4, 2)]))
    assert named.ladder(rec.SELL, 9) == [(12, 4), (13, 5)]


def test_best_quote_that_depth_already_contains_is_ignored() -> None:
    assert book_after((3, [(rec.BBO, rec.SELL, 12, 1, 1)])).best(rec.SELL) == 11
    assert book_after((3, [(rec.BBO, rec.SELL, 12, 1, 2)])).ladder(rec.SELL, 9) == [(12, 1), (13, 5)]


def test_print_does_not_correct_a_quote_of_its_own_stamp() -> None:
    quote = (3, [(rec.BBO, rec.SELL, 11, 4, 2)])
    assert book_after(quote, (3, [(rec.TRADE, rec.BUY, 11, 3, 1)])).qty(rec.SELL, 11) == 4
    assert book_after(quote, (4, [(rec.TRADE, rec.BUY, 11, 3, 1)])).qty(rec.SELL, 11) == 1


def test_levels_outside_a_snapshot_are_unknown() -> None:
    snapshot = [(rec.CLEAR, 0, 0, 0, 5), (rec.SNAPSHOT, rec.BUY, 9, 1, 5), (rec.SNAPSHOT, rec.SELL, 11, 1, 5)]
    book = book_after((3, snapshot))
    assert [tick for tick in range(7, 15) if book.known(rec.SELL, tick)] == [9, 10, 11]
