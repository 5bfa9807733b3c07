"""One account on several markets: its clock, its margin, its liquidation (docs/several-markets.md).

Each market is a world of its own, lane i of all of them one trader. The account brings them forward together and stops
at every stamp at which one market needs to know how the others stand: where the account is checked, and where a
request arrives that may need margin. At such a stamp every market first applies its book, marks and funding, then the
account is checked, then the requests arrive, market by market.
"""

from __future__ import annotations

from lobgym.sim.calls import call_advance, entry
from lobgym.sim.jit import njit_inner
from lobgym.sim.margin import initial_margin, maintenance_margin, mark_price, net_at, reach_after
from lobgym.sim.money import is_money, notional_at_mark
from lobgym.sim.records import ERR_LEDGER
from lobgym.sim.settlement import cancel_all, close_position
from lobgym.sim.timeline import FOREVER, is_check
from lobgym.sim.world import World, econ_of, lane_at, peer_at, request_at

__all__ = ["advance_account", "others_spare"]


@entry("advance_account")
def advance_account(w: World, i: int, t_ns: int) -> int:
    """Process everything stamped at or before `t_ns` for lane `i` of every market of the account of `w`.

    Returns 1 where a set `error` of one of them stopped all.
    """
    while True:
        before = lane_at(w, i)["t_ns"]
        stop = _next_meeting(w, i)
        if stop > t_ns:
            return int(_step_all(w, i, t_ns))
        # The rows and the funding of the stamp itself, but no requests yet: a lane waits where its `check_ns` is.
        for k in range(w["peer_count"]):
            lane_at(peer_at(w, k), i)["check_ns"] = stop
        if _step_all(w, i, stop):
            return 1
        if stop > before and _is_checked(w, stop):
            _check(w, i, stop)
        if _step_all(w, i, stop):
            return 1


@njit_inner
def _next_meeting(w: World, i: int) -> int:
    """The next stamp at which the account's markets have to stand together."""
    stop = FOREVER
    for k in range(w["peer_count"]):
        peer = peer_at(w, k)
        lane = lane_at(peer, i)
        stop = min(stop, lane["check_ns"])
        if peer["margin"] and lane["request_count"] > 0:
            stop = min(stop, request_at(peer, i, lane["request_head"])["due_ns"])
    return int(stop)


@njit_inner
def _step_all(w: World, i: int, t_ns: int) -> bool:
    """Advance lane `i` of one market after the other; whether one stands on an error."""
    for k in range(w["peer_count"]):
        peer = peer_at(w, k)
        peer["stepping"] = 1
        call_advance(peer, i, t_ns)
        peer["stepping"] = 0
        if lane_at(peer, i)["error"] != 0:
            return True
    return False


# -- margin ------------------------------------------------------------------------------------------------------------


@entry("others_spare")
def others_spare(w: World, i: int, ns: int) -> int:
    """What the account's other markets have made, less the initial margin that they need; may be negative."""
    spare = 0
    for k in range(w["peer_count"]):
        if k == w["peer_index"]:
            continue
        peer = peer_at(w, k)
        mark = mark_price(peer, ns, lane_at(peer, i)["exch_cursor"])
        made = net_at(peer, i, mark)
        spare += made
        if peer["margin"]:
            spare -= initial_margin(peer, notional_at_mark(econ_of(peer), reach_after(peer, i, 0, 0), mark))
        if not is_money(made) or not is_money(spare):
            lane_at(w, i)["error"] = ERR_LEDGER
            return 0
    return int(spare)


@njit_inner
def _is_checked(w: World, ns: int) -> bool:
    for k in range(w["peer_count"]):  # noqa: SIM110 - no generators in kernels
        if is_check(peer_at(w, k), ns):
            return True
    return False


@njit_inner
def _check(w: World, i: int, ns: int) -> None:
    """Liquidate an account that holds a position and has less than the sum of its maintenance margins."""
    equity = lane_at(w, i)["capital"]
    need = 0
    holds = False
    for k in range(w["peer_count"]):
        peer = peer_at(w, k)
        lane = lane_at(peer, i)
        mark = mark_price(peer, ns, lane["exch_cursor"])
        made = net_at(peer, i, mark)
        equity += made
        if peer["margin"]:
            need += maintenance_margin(peer, notional_at_mark(econ_of(peer), lane["position"], mark))
        holds = holds or lane["position"] != 0
        if not is_money(made) or not is_money(equity) or not is_money(need):
            lane["error"] = ERR_LEDGER
            return
    if holds and equity < need:
        _liquidate(w, i, ns)


@njit_inner
def _liquidate(w: World, i: int, ns: int) -> None:
    """Cancel what rests in any market, then close the positions, market by market."""
    for k in range(w["peer_count"]):
        lane_at(peer_at(w, k), i)["liquidations"] += 1
        cancel_all(peer_at(w, k), i, ns)
    holds = False
    for k in range(w["peer_count"]):
        peer = peer_at(w, k)
        lane = lane_at(peer, i)
        if lane["position"] != 0 and lane["error"] == 0:
            close_position(peer, i, ns, lane["exch_cursor"])
        holds = holds or lane["position"] != 0
    if holds:
        return
    equity = lane_at(w, i)["capital"]
    for k in range(w["peer_count"]):
        equity += net_at(peer_at(w, k), i, 0)
    for k in range(w["peer_count"]):
        lane = lane_at(peer_at(w, k), i)
        lane["deficit"] = max(lane["deficit"], -equity)
