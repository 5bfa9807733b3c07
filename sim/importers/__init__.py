"""Raw recordings of venues, made into tapes."""

from __future__ import annotations

from lobgym.sim.importers.binance import import_binance
from lobgym.sim.importers.bitstamp import import_bitstamp
from lobgym.sim.importers.hftbacktest import export_hftbacktest, import_hftbacktest
from lobgym.sim.importers.lobster import import_lobster
from lobgym.sim.importers.order_tape import OrderTape
from lobgym.sim.importers.tardis import import_tardis

__all__ = [
    "OrderTape",
    "export_hftbacktest",
    "import_binance",
    "import_bitstamp",
    "import_hftbacktest",
    "import_lobster",
    "import_tardis",
]
