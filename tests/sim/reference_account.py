"""Sections 6 and 7 of docs/market.md in plain Python: cash, fees, funding and margin of one lane.

Written from that page; the numbers in the comments are its sections.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

from lobgym.sim import records as rec
from lobgym.sim.instrument import Instrument
from tests.sim.reference import SIDES, Row
from tests.sim.reference_messages import RefAnswer, RefMessages, RefOrder
from tests.sim.reference_rules import fee_rates, margin


class RefAccount(RefMessages):
    """The account at the exchange, and what the venue says beside the book."""

    def __init__(self, events: Any, local_order: Any, instrument: Instrument, params: Any, seed: int) -> None:
        super().__init__(events, local_order, instrument, params, seed)
        self.is_spot = instrument.kind == "spot"
        unit, own = instrument.money_unit, instrument.margin
        tiers = [(int(tier.notional_from / unit), tier.initial_ppm, tier.maintenance_ppm) for tier in own]
        self.margin_tiers = tiers if params.margin_tiers is None else params.margin_tiers
        extra = params.liquidation_fee_ppb
        self.liquidation_ppb: int = instrument.liquidation_fee if extra is None else extra
        maker, taker = params.maker_fee_ppb, params.taker_fee_ppb
        first = (0, instrument.maker_fee_ppb if maker is None else maker, instrument.taker_fee_ppb)
        self.fee_tiers = params.fee_tiers or ((*first[:2], first[2] if taker is None else taker),)
        if params.fee_tiers is None and maker is None and taker is None:
            rest = instrument.fee_tiers or ()
            self.fee_tiers += tuple((int(t.turnover_from / unit), t.maker_fee_ppb, t.taker_fee_ppb) for t in rest)
        self.position = self.cash = self.fees = self.funding = self.turnover = self.liquidations = 0
        self.halted = False
        self.mark: int | None = None  # 1e-8 quote units
        self.exch_bests: tuple[int, int] | None = None  # the exchange's last bid and ask together
        self.funding_rates: dict[int, int] = {}  # settlement -> rate in 1e-12, of those to come

    def equity(self) -> int:
        return self.money.equity(self.cash, self.fees, self.position, self.two_sided) - self.funding

    @property
    def fills(self) -> list[RefAnswer]:
        return [answer for answer in self.history if answer.kind == rec.FILL]

    def _economics(self, rows: list[Row]) -> bool:
        """Take what is not book from a message; return whether there was a mark price."""
        marked = False
        for row in rows:
            if row.kind == rec.STATUS:
                self.halted = row.qty != 0
            elif row.kind == rec.MARK and row.qty > 0:
                self.mark, marked = row.qty, True
            elif row.kind == rec.FUNDING and row.seq * 1_000_000 >= row.exch_ns:
                self.funding_rates[row.seq * 1_000_000] = row.qty
        return marked

    def _fill(self, order: RefOrder, tick: int, qty: int, maker: bool, now: int, extra_ppb: int = 0) -> None:
        cash = self.money.cash(order.side, tick, qty)
        maker_ppb, taker_ppb = fee_rates(self.fee_tiers, self.params.prior_turnover + self.turnover)
        self.branches[f"fee tier {(maker_ppb, taker_ppb)}"] += 1
        fee = self.money.fee(cash, (maker_ppb if maker else taker_ppb) + extra_ppb)
        self.position += order.side * qty
        self.cash += cash
        self.fees += fee
        self.turnover += abs(cash)
        order.leaves -= qty
        order.filled += qty
        if order.leaves == 0:
            order.state = rec.DONE
        reason = rec.OK if order.id else rec.LIQUIDATED
        self._give(rec.FILL, order, now, reason, tick, qty, cash, fee, int(maker))

    def _price(self) -> Fraction:
        mid = self.money.mid(self.exch_bests) or 0
        return Fraction(floor(mid * 10**8) if self.mark is None else self.mark, 10**8)

    def _settle(self, rate: int, now: int) -> None:
        if self.position == 0 or self.is_spot:
            return
        payment = self.money.funding(self.position, self._price(), rate)
        self.funding += payment
        self._give(rec.FUNDED, None, now, cash=-payment)
        self.branches["funding paid" if payment > 0 else "funding received or nothing"] += 1

    def _margin_equity(self) -> int:
        value = self.money.value(self.position, self._price())
        return self.params.capital + self.cash - self.fees - self.funding + value

    def _lacks_margin(self, order: RefOrder, leaves: int) -> bool:
        # 3.4
        if self.params.capital is None or self.is_spot:
            return False
        if order.side * self.position < 0 and leaves <= abs(self.position):
            self.branches["margin not asked: reduces"] += 1
            return False
        most = {side: leaves if side == order.side else 0 for side in SIDES}
        for other in self.orders.values():
            if other.state == rec.LIVE and other is not order:
                most[other.side] += other.leaves
        lots = max(abs(self.position + most[rec.BUY]), abs(self.position - most[rec.SELL]))
        need = margin(self.money.notional(lots, self._price()), self.margin_tiers, 1)
        return need > self._margin_equity()
