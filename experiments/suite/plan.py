"""`SuitePlan`: which markets and which episodes, and the markets themselves, each made ready once.

A folder of a suite holds

    plan.json         the plan, and in entrants.json who took part
    markets/<key>/    a market: its tape, how it is cut (`prepare_market`)
    models/           networks of training runs, by their sha256
    bundles/          bundles, by the sha256 of their manifest
    cells/<key>/      one policy on one market (`lobgym.experiments.suite.cells`)
    submissions/      what third parties handed in, and what came of it
    leaderboard.json, leaderboard.md, index.html

and nothing in it names the folder's own place: it may be moved.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

import lobgym
from lobgym.experiments.errors import EvaluationError
from lobgym.experiments.evaluation.study import Study
from lobgym.experiments.files import write_text
from lobgym.runtime.canonical import sim_source_sha256
from lobgym.sim.money import mark_value
from lobgym.sim.view import best_ask, best_bid, cursor_at

__all__ = ["DEFAULT_TAPES", "SEEDS_MIN", "TAPE_FILE", "SuitePlan", "prepare_market", "source_sha256"]

# Regimes that differ, of one instrument, so that what was trained on one of them can take part in each.
DEFAULT_TAPES: Final = tuple(
    f"synth:{name}"
    for name in ("calm", "trend-up", "trend-down", "sideways", "volatile", "thin-book", "wide-spread", "late-fills")
)
SEEDS_MIN: Final = 5
PLAN_FILE: Final = "plan.json"
TAPE_FILE: Final = "tape.parquet"
_MARKETS_MAX: Final = 64
_ROOMS: Final = ("sim", "envs", "agents")  # whose source decides a cell


@dataclass(frozen=True)
class SuitePlan:
    """What every policy of a suite meets.

    Attributes:
        tapes: names of generated tapes, or paths.
        seeds: how many; each fixes `episodes` starts on each market.
        interval_ns: time between two decisions of policies written by hand.
    """

    tapes: tuple[str, ...] = DEFAULT_TAPES
    seeds: int = 5
    episodes: int = 8
    interval_ns: int = 500_000_000

    def __post_init__(self) -> None:
        if not 1 <= len(self.tapes) <= _MARKETS_MAX or len(set(self.tapes)) != len(self.tapes):
            raise EvaluationError(f"expected 1 to {_MARKETS_MAX} distinct tapes, got {list(self.tapes)}")
        if self.seeds < SEEDS_MIN or self.episodes < 1:
            raise EvaluationError(
                f"expected at least {SEEDS_MIN} seeds of at least 1 episode, got {self.seeds} of {self.episodes}"
            )

    def save(self, root: Path) -> None:
        """Write the plan into a suite's folder."""
        write_text(root / PLAN_FILE, msgspec.json.format(msgspec.json.encode(asdict(self)), indent=2).decode() + "\n")

    @classmethod
    def load(cls, root: Path) -> SuitePlan:
        """The plan of a suite's folder.

        Raises:
            EvaluationError: there is none.
        """
        try:
            return msgspec.json.decode((root / PLAN_FILE).read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise EvaluationError(
                f"{root} holds no suite ({error}): run `lobgym leaderboard --suite --out {root}` first"
            ) from error

    @property
    def words(self) -> tuple[str, ...]:
        """The plan as words of a command line."""
        count = len(DEFAULT_TAPES)
        whole = self.tapes[:count] == DEFAULT_TAPES
        extra = self.tapes[count:] if whole else self.tapes
        return (
            "leaderboard",
            *(("--suite",) if whole else ()),
            *(word for tape in extra for word in ("--tape", tape)),
            *("--seeds", str(self.seeds), "--episodes", str(self.episodes)),
        )

    def market_tasks(self) -> list[dict[str, Any]]:
        """One task of `prepare_market` for each tape.

        Raises:
            EvaluationError: a path without a file.
        """
        tasks = []
        for tape in self.tapes:
            file = Path(tape)
            if file.suffix == ".parquet" and not file.is_file():
                raise EvaluationError(f"there is no tape {tape}: give the path of a .parquet file, or a generated one")
            made_by = {"file_sha256": _sha256(file)} if file.is_file() else {"sim": sim_source_sha256()}
            tasks.append({"tape": str(file.resolve()) if file.is_file() else tape, "name": _name(tape), **made_by})
        return [{**task, "interval_ns": self.interval_ns} for task in tasks]


def prepare_market(task: dict[str, Any], aside: Path) -> dict[str, Any]:
    """A job: open a tape, cut it, and keep it beside what a cell has to know of it.

    `worth_units` is what the position limit of the market's default desk is worth at the first mid, in money units:
    profits are stated in bps of it, so that markets of different currencies and prices compare.
    """
    study = Study.of(task["tape"], task["interval_ns"])
    market = study.market
    if Path(task["tape"]).is_file():
        shutil.copyfile(task["tape"], aside / TAPE_FILE)
    else:
        market.tape.save(aside / TAPE_FILE)
    spec, made = study.spec("target"), market.instrument
    local = market.local_view[0]
    cursor = cursor_at(local, market.start_ns)
    mid2 = int(best_bid(local, cursor) + best_ask(local, cursor))
    return {
        "name": task["name"],
        "tape_digest": market.tape.digest,
        "instrument": made.to_json(),
        "currency": made.base if made.is_inverse else made.quote,
        "params_digest": spec.params.digest,
        "position_lots": spec.position_lots_max,
        "worth_units": abs(int(mark_value(market.economics(), spec.position_lots_max, mid2))),
        "interval_ns": study.interval_ns,
        "episode_ns": study.horizon * study.interval_ns,
        "embargo_ns": study.embargo_ns,
        "train_span_ns": _inner(replace(study.evaluation(), split="train").span_ns(market, study.interval_ns)),
        "test_span_ns": list(study.test_span),
        "span_ns": [market.start_ns, market.end_ns],
    }


@lru_cache(maxsize=1)
def source_sha256() -> str:
    """sha256 over the modules that decide what a cell gives; the folder's cells are theirs alone."""
    root = Path(lobgym.__file__).parent
    digest = hashlib.sha256()
    for room in _ROOMS:
        folder = (root / room).resolve()
        for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
            content = path.read_bytes()
            digest.update(f"{room}/{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _inner(span_ns: tuple[int, int]) -> list[int]:
    """A span rounded inwards to microseconds: points spread over it in float64, 256 ns apart, stay within."""
    return [-(-span_ns[0] // 1_024) * 1_024, span_ns[1] // 1_024 * 1_024]


def _sha256(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _name(tape: str) -> str:
    return Path(tape).stem if tape.endswith(".parquet") else tape
