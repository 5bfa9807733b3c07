"""The market recordings that tests run on where they are present; they are no part of the repository.

They are looked for in the folder that LOBGYM_RECORDINGS names, else in `../shared/data` beside the repository.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

FOLDER: Final = Path(os.environ.get("LOBGYM_RECORDINGS") or Path(__file__).resolve().parents[1] / "../shared/data")


class Recording(NamedTuple):
    """One Binance recording: its files, in order, relative to the folder, and what the importer has to find out."""

    files: tuple[str, ...]
    venue: str
    symbol: str

    def paths(self, folder: Path) -> list[Path]:
        return [folder / file for file in self.files]


BINANCE: Final = {
    "usdm-btc-2023": Recording(("binance_usdm/btcusdt_20230404.dat.gz",), "binance-usdm", "BTCUSDT"),
    "usdm-btc-0718": Recording(
        ("binance_usdm/btcusdt_20240718.gz", "binance_usdm/btcusdt_20240719.gz"), "binance-usdm", "BTCUSDT"
    ),
    "usdm-btc-0808": Recording(("binance_usdm/btcusdt_20240808.gz",), "binance-usdm", "BTCUSDT"),
    "usdm-eth-0808": Recording(("binance_usdm/ethusdt_20240808.gz",), "binance-usdm", "ETHUSDT"),
    "coinm-btc-0808": Recording(
        ("binance_coinm/btcusd_perp_20240808.gz", "binance_coinm/btcusd_perp_20240809.gz"),
        "binance-coinm",
        "BTCUSD_PERP",
    ),
    "spot-btc-0808": Recording(
        ("binance_spot/btcusdt_20240808.gz", "binance_spot/btcusdt_20240809.gz"), "binance-spot", "BTCUSDT"
    ),
}


def missing() -> str:
    """Why the recordings cannot be used, or an empty text."""
    absent = [file for one in BINANCE.values() for file in one.files if not (FOLDER / file).is_file()]
    return (
        f"no recordings in {FOLDER} (LOBGYM_RECORDINGS names another folder): {absent[0]} is absent" if absent else ""
    )
