"""`python -m lobgym.experiments.pages.scenario_pictures FOLDER`: a small chart of each generated market.

The charts are for docs/scenarios.md. The line is the best bid as the feed said it, in ticks, over minutes.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Final

import numpy as np

from lobgym.experiments.files import write_text
from lobgym.experiments.pages.svg import Series, line_chart
from lobgym.sim.records import BBO, BUY
from lobgym.sim.scenarios import SCENARIOS, open_scenario
from lobgym.sim.tape import Tape

__all__ = ["main", "picture"]

POINTS: Final = 240
SIZE: Final = (460, 150)
_STYLE: Final = (
    "<style>.line{fill:none;stroke:#2f6fb0;stroke-width:1.3}.gridline{stroke:#8885;stroke-width:1}"
    ".tick{fill:#888;font:11px sans-serif}.end{text-anchor:end}.middle{text-anchor:middle}</style>"
)


def picture(name: str, tape: Tape) -> str:
    """A tape's best bid as an SVG file: of each of POINTS equal times the first quote, the lowest and the highest."""
    events = tape.events
    quotes = events[(events["kind"] == BBO) & (events["side"] == BUY) & (events["price_ticks"] > 0)]
    minutes = (quotes["exch_ns"] - tape.start_ns) / 60e9
    ticks = quotes["price_ticks"]
    cell = np.minimum((minutes / minutes[-1] * POINTS).astype(int), POINTS - 1)
    begins = np.flatnonzero(np.diff(cell, prepend=-1))
    rows: list[int] = []
    for low, high in itertools.pairwise([*begins.tolist(), len(ticks)]):
        part = ticks[low:high]
        rows += sorted({low, low + int(part.argmin()), low + int(part.argmax())})
    series = Series("best bid, ticks", "price", minutes[rows].tolist(), ticks[rows].tolist(), step=True)
    chart = line_chart([series], label=f"best bid of {name}, ticks", x_unit="min", size=SIZE)
    return chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace("</svg>", f"{_STYLE}</svg>")


def main(arguments: list[str] | None = None) -> int:
    """Write a picture of each scenario, by its defaults, into a folder; the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        print("usage: python -m lobgym.experiments.pages.scenario_pictures FOLDER", file=sys.stderr)
        return 2
    folder = Path(given[0])
    folder.mkdir(parents=True, exist_ok=True)
    for one in SCENARIOS:
        write_text(folder / f"{one}.svg", picture(f"synth:{one}", open_scenario(f"synth:{one}")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
