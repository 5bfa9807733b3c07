"""A gradient step against the same losses written with numpy and differences, and a small problem solved exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lobgym.agents.earnhft.learner import Learner
from lobgym.agents.earnhft.network import QNet, QWeights, q_values
from lobgym.agents.earnhft.replay import Batch
from lobgym.agents.errors import TrainError

COLUMNS = ("imbalance_1", "spread")
TARGETS = (-1.0, 0.0, 1.0)


def random_batch(size: int = 32, seed: int = 0) -> Batch:
    rng = np.random.Generator(np.random.PCG64(seed))

    def floats(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    position = rng.choice(np.array(TARGETS, np.float32), size)
    return Batch(
        floats(size, 2), position, rng.integers(0, 3, size), floats(size), floats(size, 2), position[::-1].copy(),
        floats(size, 3),
    )  # fmt: skip


def losses_by_hand(net: QWeights, target: QWeights, b: Batch, gamma: float, double: bool) -> tuple[float, float]:
    ahead = q_values(target, b.next_features, b.next_position).astype(np.float64)
    chosen = q_values(net, b.next_features, b.next_position).argmax(axis=1) if double else ahead.argmax(axis=1)
    rows = np.arange(len(b.action))
    wanted = b.reward + gamma * ahead[rows, chosen]
    values = q_values(net, b.features, b.position).astype(np.float64)
    td = ((values[rows, b.action] - wanted) ** 2).mean()

    def shares(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    p, q = shares(b.taught.astype(np.float64)), shares(values)
    return float(td), float((p * np.log(p / q)).sum(axis=1).mean())


@pytest.mark.parametrize("double", [True, False])
def test_losses_are_the_formulas(double: bool) -> None:
    net = QNet(2, TARGETS, 3, 8, seed=1)
    learner = Learner(net, 0.9, 0.05, 1.0, double)
    learner._target.w3.neg_()  # so that the two nets prefer different actions
    learner._target.b3.neg_()
    for one in (net, learner._target):
        one.embed.data.mul_(30.0)  # so that the position decides, too
    for k in range(4):
        before, kept = net.weights(COLUMNS, TARGETS), learner._target.weights(COLUMNS, TARGETS)
        batch = random_batch(seed=k)
        measured = learner.step(batch, 1e-2, 2.0, measured=True)
        assert measured is not None
        assert (measured.td, measured.kl) == pytest.approx(losses_by_hand(before, kept, batch, 0.9, double), rel=1e-4)
    here, there = (q_values(before, batch.next_features, held) for held in (batch.position, batch.next_position))
    assert (here.argmax(axis=1) != there.argmax(axis=1)).any()
    other = losses_by_hand(before, kept, batch, 0.9, not double)
    assert measured.td != pytest.approx(other[0], rel=1e-6)


def test_the_target_follows_by_its_share() -> None:
    net = QNet(2, TARGETS, 3, 8, seed=1)
    learner = Learner(net, 0.9, 0.25, 1.0)
    start = net.w1.detach().clone()
    learner.step(random_batch(), 1e-2, 1.0)
    expected = start + 0.25 * (net.w1.detach() - start)
    assert torch.allclose(learner._target.w1, expected, atol=1e-7)
    assert not torch.equal(net.w1.detach(), start)


def test_a_two_state_problem_is_solved() -> None:
    """Feature +1 or -1 by turns; action 2 earns the feature, action 0 its opposite: the best policy earns 1 a step."""
    rng = np.random.Generator(np.random.PCG64(3))
    learner = Learner(QNet(2, TARGETS, 3, 16, seed=2), 0.5, 0.05, 10.0)
    for _ in range(600):
        sign = rng.choice(np.array([-1.0, 1.0], np.float32), 64)
        action = rng.integers(0, 3, 64)
        position = rng.choice(np.array(TARGETS, np.float32), 64)
        here = np.stack([sign, np.zeros(64, np.float32)], axis=1)
        reward = (sign * (action - 1)).astype(np.float32)
        there = (action - 1).astype(np.float32)
        batch = Batch(here, position, action, reward, -here, there, np.zeros((64, 3), np.float32))
        learner.step(batch, 3e-3, 0.0)
    w = learner.net.weights(COLUMNS, TARGETS)
    values = q_values(w, np.array([[1.0, 0.0], [-1.0, 0.0]], np.float32), np.zeros(2))
    # 1 now and 1 in each step to come: 1 / (1 - 0.5) = 2 for the best action, 2 less for the worst.
    assert np.allclose(values, [[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]], atol=0.15)


def test_the_teachers_term_alone_makes_the_net_prefer_what_the_teacher_does() -> None:
    learner = Learner(QNet(2, TARGETS, 3, 16, seed=2), 0.0, 0.05, 10.0)
    batch = random_batch(64, seed=9)._replace(reward=np.zeros(64, np.float32))
    taught = np.where(batch.features[:, :1] > 0.0, [0.0, 0.0, 4.0], [4.0, 0.0, 0.0]).astype(np.float32)
    for _ in range(400):
        learner.step(batch._replace(taught=taught), 3e-3, 50.0)
    values = q_values(learner.net.weights(COLUMNS, TARGETS), batch.features, batch.position)
    assert (values.argmax(axis=1) == taught.argmax(axis=1)).mean() > 0.95


def test_a_restored_learner_goes_on_bit_for_bit() -> None:
    one = Learner(QNet(2, TARGETS, 3, 8, seed=1), 0.9, 0.1, 1.0)
    for k in range(3):
        one.step(random_batch(seed=k), 1e-2, 1.0)
    two = Learner(QNet(2, TARGETS, 3, 8, seed=5), 0.9, 0.1, 1.0)
    two.restore(one.state())
    for k in range(3, 6):
        one.step(random_batch(seed=k), 1e-2, 1.0)
        two.step(random_batch(seed=k), 1e-2, 1.0)
    assert one.net.weights(COLUMNS, TARGETS).digest == two.net.weights(COLUMNS, TARGETS).digest


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    learner = Learner(QNet(2, TARGETS, 3, 8, seed=1), 0.9, 0.1, 1.0)
    with pytest.raises(TrainError, match="no longer finite"):
        learner.step(random_batch()._replace(reward=np.full(32, np.inf, np.float32)), 1e-2, 1.0, measured=True)


def test_gradients_are_cut_to_the_clip() -> None:
    """What Adam was given still lies in the parameters: of the free step's direction, and no longer than the clip."""
    given = []
    for clip in (0.01, 1e9):
        net = QNet(2, TARGETS, 3, 8, seed=1)
        Learner(net, 0.9, 0.05, clip).step(random_batch(), 1e-2, 2.0)
        given.append(torch.cat([one.grad.ravel() for one in net.parameters() if one.grad is not None]))
    cut, free = given
    assert float(free.norm()) > 0.1
    assert float(cut.norm()) == pytest.approx(0.01, rel=1e-3)
    assert torch.allclose(cut / cut.norm(), free / free.norm(), atol=1e-5)


def test_the_rate_is_that_of_the_step() -> None:
    """Adam's first step is as long as its rate, in every weight that matters."""
    for rate in (1e-2, 1e-4):
        net = QNet(2, TARGETS, 3, 8, seed=1)
        before = net.w1.detach().clone()
        Learner(net, 0.9, 0.05, 1.0).step(random_batch(), rate, 2.0)
        assert float((net.w1.detach() - before).abs().max()) == pytest.approx(rate, rel=1e-2)
