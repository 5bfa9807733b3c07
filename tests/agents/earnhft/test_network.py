"""The numpy network, the torch one and a loop over plain numbers are one function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lobgym.agents.earnhft.network import QNet, QPolicy, QWeights, hat, q_values
from lobgym.agents.errors import PolicyError, RunFolderError
from lobgym.sim.desk_spec import DeskSpec
from lobgym.sim.market import Market
from lobgym.sim.observation import ObservationLayout
from lobgym.sim.tape import Tape

COLUMNS = ("spread", "imbalance_1", "microprice")
TARGETS = (-1.0, -0.5, 0.0, 1.0)  # gaps of different size


def weights(seed: int = 0, actions: int = 4, targets: tuple[float, ...] = TARGETS) -> QWeights:
    return QNet(len(COLUMNS), targets, actions, 8, seed).weights(COLUMNS, targets)


def batch(size: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.Generator(np.random.PCG64(seed))
    positions = rng.uniform(-1.2, 1.2, size).astype(np.float32)
    positions[: len(TARGETS)] = TARGETS
    return rng.uniform(-1.0, 1.0, (size, len(COLUMNS))).astype(np.float32), positions


def by_hand(w: QWeights, x: np.ndarray, p: float) -> list[float]:
    """The formula, number by number."""
    first = [max(0.0, b + sum(float(x[d]) * float(w.w1[d, h]) for d in range(len(x)))) for h, b in enumerate(w.b1)]
    share = [0.0] * len(w.targets)
    inside = min(max(p, w.targets[0]), w.targets[-1])
    for j in range(len(w.targets) - 1):
        if w.targets[j] <= inside <= w.targets[j + 1]:
            right = (inside - w.targets[j]) / (w.targets[j + 1] - w.targets[j])
            share = [0.0] * len(w.targets)
            share[j], share[j + 1] = 1.0 - right, right
    joined = first + [sum(share[j] * float(w.embed[j, e]) for j in range(len(share))) for e in range(len(share))]
    second = [max(0.0, float(w.b2[h]) + sum(v * float(w.w2[k, h]) for k, v in enumerate(joined))) for h in range(8)]
    return [float(w.b3[a]) + sum(v * float(w.w3[k, a]) for k, v in enumerate(second)) for a in range(w.actions)]


def test_numpy_and_torch_agree_with_the_formula() -> None:
    w = weights()
    x, p = batch()
    expected = np.array([by_hand(w, x[i], float(p[i])) for i in range(len(x))])
    assert np.abs(q_values(w, x, p) - expected).max() < 1e-5
    with torch.no_grad():
        ours = QNet.from_weights(w)(torch.from_numpy(x), torch.from_numpy(p)).numpy()
    assert np.abs(ours - expected).max() < 1e-5


def test_a_position_is_shared_between_its_neighbours_and_whole_on_a_target() -> None:
    shares = hat(TARGETS, np.array([-1.0, -0.5, 0.0, 1.0, 0.25, -0.75, 3.0, -3.0]))
    assert np.array_equal(shares[:4], np.eye(4, dtype=np.float32))
    assert np.allclose(shares[4:], [[0, 0, 0.75, 0.25], [0.5, 0.5, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    some = np.linspace(-1.5, 1.5, 101)
    assert np.abs(hat(TARGETS, some).sum(axis=1) - 1.0).max() < 1e-6


def test_a_seed_fixes_the_weights_and_another_changes_them() -> None:
    assert weights(1).digest == weights(1).digest != weights(2).digest


def test_weights_come_back_from_a_file_whose_bytes_repeat(tmp_path: Path) -> None:
    w = weights(3)
    one, two = w.save(tmp_path / "one.npz"), w.save(tmp_path / "two.npz")
    assert one.read_bytes() == two.read_bytes()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["one.npz", "two.npz"]
    back = QWeights.load(one)
    assert back.digest == w.digest
    assert (back.columns, back.targets) == (COLUMNS, TARGETS)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    with pytest.raises(RunFolderError, match="not a saved network"):
        QWeights.load(path)
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(RunFolderError, match="not a saved network"):
        QWeights.load(path)
    np.savez(path, w1=np.zeros(3))
    with pytest.raises(RunFolderError, match="not the arrays"):
        QWeights.load(path)


def test_weights_that_do_not_fit_or_are_not_finite_are_refused() -> None:
    w = weights()
    fields = {name: getattr(w, name) for name in w.__dataclass_fields__}
    with pytest.raises(PolicyError, match="w1 must be float32"):
        QWeights(**fields | {"w1": w.w1[:2]})
    with pytest.raises(PolicyError, match="not finite"):
        QWeights(**fields | {"b1": np.full(8, np.nan, np.float32)})
    with pytest.raises(PolicyError, match="columns"):
        QWeights(**fields | {"columns": ("spread", "imbalance_1", "inventory")})


def test_the_policy_reads_its_columns_by_name(small_tape: Tape) -> None:
    market = Market.compile(small_tape)
    targets = (-1.0, 0.0, 1.0)
    w = weights(5, 3, targets)
    narrow = DeskSpec.for_market(
        market, "target", targets=targets, layout=ObservationLayout((*COLUMNS, "inventory"))
    )  # fmt: skip
    wide = narrow.replace(layout=ObservationLayout(("pending", "inventory", *COLUMNS[::-1])))
    rng = np.random.Generator(np.random.PCG64(1))
    rows = rng.uniform(-1.0, 1.0, (200, 4)).astype(np.float32)
    other = np.concatenate([rows[:, :1], rows[:, 3:], rows[:, 2::-1]], axis=1)
    chosen = QPolicy(w, narrow).act(rows)
    assert np.array_equal(chosen, QPolicy(w, wide).act(other))
    assert np.array_equal(chosen, q_values(w, rows[:, :3], rows[:, 3]).argmax(axis=1))
    assert len(set(chosen.tolist())) > 1


def test_a_desk_that_does_not_fit_is_refused(small_tape: Tape) -> None:
    market = Market.compile(small_tape)
    layout = ObservationLayout((*COLUMNS, "inventory"))
    with pytest.raises(PolicyError, match="targets"):
        QPolicy(weights(), DeskSpec.for_market(market, "target", layout=layout))
    with pytest.raises(PolicyError, match="microprice"):
        QPolicy(
            weights(),
            DeskSpec.for_market(
                market, "target", targets=TARGETS, layout=ObservationLayout(("spread", "imbalance_1", "inventory"))
            ),
        )
    with pytest.raises(PolicyError, match="kind"):
        QPolicy(weights(), DeskSpec.for_market(market, "grid"))
