"""Stage I: same seed same bytes, killed and resumed too; what counts what; and it learns what a planted signal says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lobgym.agents.earnhft import low
from lobgym.agents.earnhft.config import Corrections, EarnHftConfig
from lobgym.agents.earnhft.low import Chunks, schedule, train_low
from lobgym.agents.earnhft.network import QPolicy, QWeights
from lobgym.agents.earnhft.parts import Parts
from lobgym.agents.errors import RunFolderError, TrainError
from lobgym.sim.desk import Desk
from lobgym.sim.flow.dealer import planted_alpha_tape
from lobgym.sim.market import Market
from lobgym.sim.tape import Tape

SECOND = 1_000_000_000
COLUMNS = ("imbalance_1", "return_5s", "spread")


@pytest.fixture(scope="module")
def market() -> Market:
    return Market.compile(planted_alpha_tape(seed=11, hours=2.0, strength=1.0))


def tiny(**changes: object) -> EarnHftConfig:
    made = EarnHftConfig.profile_of(
        "tiny", tape="planted", targets=(-1.0, 0.0, 1.0), position_lots_max=100, columns=COLUMNS,
        router_columns=("return_60s",),
    )  # fmt: skip
    return made.replace(**changes)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_seed_leaves_the_same_bytes_and_another_does_not(market: Market, tmp_path: Path) -> None:
    config = tiny()
    parts = Parts.of(market, config)
    for name in ("one", "two"):
        paths = train_low(config, market, parts, 30.0, tmp_path / name)
        assert [path.name for path in paths] == ["agent_000.npz", "agent_001.npz"]
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert sorted(files(tmp_path / "one")) == ["agent_000.npz", "agent_001.npz", "low.json", "progress.csv"]
    other = train_low(config.replace(seed=1), market, parts, 30.0, tmp_path / "three")
    preference = train_low(config, market, parts, -30.0, tmp_path / "four")
    digests = {QWeights.load(one[-1]).digest for one in (paths, other, preference)}
    assert len(digests) == 3


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_run_goes_on_to_the_same_bytes(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    config = tiny()
    parts = Parts.of(market, config)
    train_low(config, market, parts, 30.0, tmp_path / "whole")
    monkeypatch.setattr(low, "SAVE_SECONDS", -1.0)
    seen: list[int] = []

    def kill(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_low(config, market, parts, 30.0, tmp_path / "killed", kill)
    assert ("state.npz" in files(tmp_path / "killed")) == (after >= 2)
    train_low(config, market, parts, 30.0, tmp_path / "killed", lambda done, total: seen.append(done))
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert len(seen) == (5 if after == 1 else 4) + (after == 3)  # what lies before a saved state is not done again


def test_a_finished_folder_is_left_alone_and_another_ones_refused(market: Market, tmp_path: Path) -> None:
    config = tiny()
    parts = Parts.of(market, config)
    train_low(config, market, parts, 30.0, tmp_path)
    called: list[int] = []
    train_low(config, market, parts, 30.0, tmp_path, lambda done, total: called.append(done))
    assert called == []
    with pytest.raises(RunFolderError, match="another configuration"):
        train_low(config.replace(seed=5), market, parts, 30.0, tmp_path)
    with pytest.raises(TrainError, match="unknown preference"):
        train_low(config, market, parts, 31.0, tmp_path)


def test_updates_per_transition_do_not_depend_on_the_lanes_unless_uncorrected(market: Market, tmp_path: Path) -> None:
    counts = {}
    for lanes in (4, 12):
        for corrected in (True, False):
            config = tiny(low=replace(tiny().low, lanes=lanes, chunk_ns=1_200 * SECOND, samples=2))
            if not corrected:
                config = config.replace(corrections=Corrections().without("lane_free_updates"))
            folder = tmp_path / f"{lanes}-{corrected}"
            train_low(config, market, Parts.of(market, config), 30.0, folder)
            counts[lanes, corrected] = msgspec.json.decode((folder / "low.json").read_bytes())
    assert counts[4, True]["taught"] == counts[12, True]["taught"] == 4_800
    assert counts[4, True]["own"] == 4_800
    assert counts[4, True]["updates"] == counts[12, True]["updates"] == 9_600 // 32
    assert (counts[4, False]["updates"], counts[12, False]["updates"]) == (2_400 // 512, 800 // 512)


def test_epsilon_decays_in_the_own_pass_only_unless_uncorrected(market: Market) -> None:
    config = tiny(low=replace(tiny().low, epsilon_share=1.0))
    parts = Parts.of(market, config)
    for corrections, after_teacher in ((Corrections(), 0.9), (Corrections().without("own_epsilon"), 0.6)):
        run = low._Run(config.replace(corrections=corrections), market, parts, 30.0)
        run.counts.taught = run.total // 4
        assert run.epsilon == pytest.approx(0.9 - (0.9 - 0.3) * (0.9 - after_teacher) / 0.6, abs=1e-3)
        run.counts.taught, run.counts.own = run.total // 2, run.total // 2
        assert run.epsilon == pytest.approx(0.3, abs=1e-3)


def test_a_schedule_falls_and_stays() -> None:
    assert [schedule(1.0, 0.0, 0.5, x) for x in (0.0, 0.25, 0.5, 1.0)] == [1.0, 0.5, 0.0, 0.0]


def test_chunks_lie_in_the_training_part_one_behind_the_other(market: Market) -> None:
    config = tiny()
    parts = Parts.of(market, config)
    chunks = Chunks.of(market, config, parts)
    length = chunks.steps * config.interval_ns
    assert (np.diff(chunks.starts) == length).all()
    assert chunks.starts[0] == parts.train.low_ns
    assert chunks.starts[-1] + length <= parts.train.high_ns < chunks.starts[-1] + 2 * length
    assert np.prod(1.0 + chunks.returns) - 1.0 == pytest.approx(_market_return(market, chunks, length))
    longer = tiny(low=replace(config.low, chunk_ns=10**15))
    assert len(Chunks.of(market, longer, parts).starts) == 1


def _market_return(market: Market, chunks: Chunks, length: int) -> float:
    desk = Desk(tiny().low_spec(market), market)
    mids = []
    for t in (int(chunks.starts[0]), int(chunks.starts[-1]) + length):
        desk.reset(t, 0)
        mids.append(desk.mid2())
    return mids[1] / mids[0] - 1.0


def test_nothing_beyond_the_training_part_is_looked_at(market: Market, tmp_path: Path) -> None:
    """Without the rest of the tape the agents are the same."""
    config = tiny()
    parts = Parts.of(market, config)
    events = market.tape.events
    cut = Market.compile(Tape(events[events["local_ns"] <= parts.train.high_ns + SECOND], market.instrument))
    assert len(cut.tape) < 0.7 * len(market.tape)
    whole = train_low(config, market, parts, 30.0, tmp_path / "whole")
    part = train_low(config, cut, parts, 30.0, tmp_path / "part")
    assert [path.read_bytes() for path in whole] == [path.read_bytes() for path in part]


def test_agents_learn_to_follow_a_strong_signal(market: Market, tmp_path: Path) -> None:
    """Most of what an always-informed rule earns, in seconds, on a part of the tape that was never seen."""
    config = tiny(
        hidden=32, gamma=0.98,
        low=replace(
            tiny().low, samples=12, checkpoint_every=12, chunk_ns=600 * SECOND, lookahead_ns=120 * SECOND, lanes=40,
            updates_per_transition=1 / 24, batch_size=128, buffer_size=30_000, rate_first=3e-3, rate_last=3e-4,
            tau=0.02, clip=10.0, kl_first=1.0, kl_last=0.0, kl_share=0.7, epsilon_last=0.1, reward_scale=0.1,
        ),
    )  # fmt: skip
    parts = Parts.of(market, config)
    spec = config.spec(market)
    policy = QPolicy(QWeights.load(train_low(config, market, parts, 30.0, tmp_path)[-1]), spec)
    desk = Desk(spec, market, 2)
    desk.reset(parts.validation.low_ns, 0)
    observed, earned = desk.observe(), np.zeros(2)
    signal = spec.layout.names.index("imbalance_1")
    for _ in range((market.end_ns - parts.validation.low_ns) // config.interval_ns):
        follow = 1 + int(np.sign(observed[1, signal])) * (abs(observed[1, signal]) > 0.3)
        observed, result = desk.step(np.array([[policy.act(observed[:1])[0]], [follow]], np.int32))
        earned += result.pnl
    assert earned[0] > 0.8 * earned[1] > 0.0
