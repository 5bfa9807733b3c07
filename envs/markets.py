"""Compiled markets, shared by all environments of a process: many environments on one tape compile it once."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias

from lobgym.sim.compile_depth import compile_depth_market
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape, open_tape

__all__ = ["TapeLike", "market_for"]

TapeLike: TypeAlias = "str | Path | Tape | Market"

_MARKETS_MAX: Final = 4
_markets: OrderedDict[tuple[str, bool, bool], Market] = OrderedDict()
_digests: OrderedDict[tuple[str, int, int], str] = OrderedDict()
_lock = Lock()


def market_for(tape: TapeLike, print_implied_depth: bool = True, depth_only: bool = False) -> Market:
    """The compiled market of a tape, of a name or a path that `open_tape` takes, or a market as it is.

    With `depth_only` it is one for the compatibility profiles (`compile_depth_market`).

    Keeps the last few. A file is opened again only if its modification time or size has changed.
    """
    if isinstance(tape, Market):
        return tape
    with _lock:
        name = None if isinstance(tape, Tape) else _name_key(tape)
        if name is not None and name in _digests:
            key = (_digests[name], print_implied_depth, depth_only)
            known = _markets.get(key)
            if known is not None:
                _markets.move_to_end(key)
                return known
        opened = open_tape(tape)
        key = (opened.digest, print_implied_depth, depth_only)
        if key not in _markets:
            made = compile_depth_market(opened) if depth_only else Market.compile(opened, print_implied_depth)
            _markets[key] = made
        _markets.move_to_end(key)
        if name is not None:
            _digests[name] = opened.digest
        while len(_markets) > _MARKETS_MAX:
            _markets.popitem(last=False)
        while len(_digests) > 4 * _MARKETS_MAX:
            _digests.popitem(last=False)
        return _markets[key]


def _name_key(tape: str | Path) -> tuple[str, int, int]:
    path = Path(tape)
    if path.exists():
        stat = path.stat()
        return str(path.resolve()), stat.st_mtime_ns, stat.st_size
    return str(tape), 0, 0
