"""The tournament against lone evaluations, the joint network against single ones, the pool against its definition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lobgym.agents.earnhft.joint import JointQ
from lobgym.agents.earnhft.network import QPolicy, QWeights, q_values
from lobgym.agents.earnhft.segments import Segment
from lobgym.agents.earnhft.tournament import AgentPool, Scores, _seeds, choose_pool, play_segments, warm_steps
from lobgym.agents.errors import PolicyError, RunFolderError, TrainError
from lobgym.envs.pool import PolicyProfile, Pool, PositionProfile
from lobgym.envs.router_core import RouterCore
from lobgym.sim.desk import Desk
from lobgym.sim.errors import ParamsError
from lobgym.sim.latency import LatencyQuantiles, LatencyTable
from tests.agents.earnhft.made import COLUMNS, ROUTER_COLUMNS, SECOND, config_of, market_of, random_agent

TARGETS = (-1.0, -0.5, 0.0, 0.5, 1.0)
JITTER = LatencyQuantiles((0, 100_000_000, 700_000_000), (0, 50_000_000, 900_000_000))


def agents_of(count: int, hidden: int = 16) -> list[QWeights]:
    return [random_agent(seed, COLUMNS, TARGETS, hidden) for seed in range(count)]


# -- the joint network -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [1, 7, 128])
def test_each_row_gets_the_answer_of_its_own_network(hidden: int):
    agents = agents_of(6, hidden)
    rng = np.random.default_rng(9)
    who = rng.integers(6, size=500)
    rows = rng.uniform(-1, 1, (500, len(COLUMNS))).astype(np.float32)
    held = np.where(rng.random(500) < 0.5, rng.choice(TARGETS, 500), rng.uniform(-1.3, 1.3, 500)).astype(np.float32)
    joint = JointQ(agents)
    said = joint.q(who, rows, held)
    wanted = np.concatenate([q_values(agents[who[i]], rows[i : i + 1], held[i : i + 1]) for i in range(500)])
    # Sums of up to 133 float32 products in another order: their rounding is at most some 1e-6 of the terms' size.
    tolerance = 1e-5 * max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(said, wanted, rtol=0.0, atol=tolerance)
    ranked = np.sort(wanted, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 2 * tolerance
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(joint.act(who, rows, held)[clear], wanted.argmax(axis=1)[clear])


def test_a_row_does_not_depend_on_those_beside_it():
    agents = agents_of(3, 32)
    rng = np.random.default_rng(2)
    who = rng.integers(3, size=40)
    rows, held = rng.normal(size=(40, len(COLUMNS))).astype(np.float32), rng.uniform(-1, 1, 40).astype(np.float32)
    together = JointQ(agents).q(who, rows, held)
    for i in range(40):
        alone = JointQ([agents[who[i]]]).q([0], rows[i : i + 1], held[i : i + 1])
        assert alone.tobytes() == together[i : i + 1].tobytes()


def test_networks_that_do_not_fit_together_are_refused():
    agents = agents_of(2)
    with pytest.raises(PolicyError, match="same columns"):
        JointQ([agents[0], random_agent(1, COLUMNS[:-1], TARGETS)])
    with pytest.raises(PolicyError, match="at least one"):
        JointQ([])
    joint = JointQ(agents)
    for who, rows in (([2], (1, 5)), ([-1], (1, 5)), ([0], (2, 5)), ([0], (1, 4))):
        with pytest.raises(PolicyError, match=r"members must|expected features"):
            joint.q(who, np.zeros(rows, np.float32), np.zeros(rows[0], np.float32))


# -- the tournament ----------------------------------------------------------------------------------------------------


def segments_of(*spans: tuple[int, int]) -> list[Segment]:
    start = market_of().start_ns
    return [Segment(start + a * SECOND, start + b * SECOND, 0.0, k % 3) for k, (a, b) in enumerate(spans)]


def alone(agent: QWeights, position: int, segment: Segment) -> int:
    """One agent, one lane, one segment: a plain loop over the desk with the agent's policy."""
    market, spec = market_of(), config_of().low_spec(market_of())
    desk, policy = Desk(spec, market), QPolicy(agent, spec)
    warm = warm_steps(spec)
    desk.reset(segment.low_ns - warm * spec.interval_ns, 12345)  # nothing in this venue is drawn
    for _ in range(warm):
        observations, _ = desk.step(np.array([[position]], np.int32))
    assert desk.session.account(0).position_lots == spec.target_lots[position]
    before = desk.equity()
    while desk.t_ns[0] + spec.interval_ns <= segment.high_ns:
        observations, _ = desk.step(policy.act(observations)[:, None].astype(np.int32))
    return desk.equity() - before


@pytest.mark.parametrize("lanes", [1, 40, 4096])
def test_a_tournament_is_so_many_lone_evaluations(lanes: int):
    market, spec = market_of(), config_of().low_spec(market_of())
    agents = agents_of(4)
    segments = segments_of((120, 150), (150, 161), (300, 345), (20, 31))
    scores = play_segments(market, spec, agents, segments, 7, lanes)
    assert scores.pnl.shape == (4, 5, 4)
    assert scores.steps.tolist() == [60, 22, 90, 22]
    assert scores.labels.tolist() == [0, 1, 2, 0]
    for agent, position, segment in ((0, 0, 0), (1, 4, 1), (2, 2, 2), (3, 1, 3), (0, 3, 2), (3, 4, 0)):
        assert scores.pnl[agent, position, segment] == alone(agents[agent], position, segments[segment])
    assert len(np.unique(scores.pnl)) > 40


def test_lanes_are_drawn_by_segment_and_position_and_all_agents_meet_the_same():
    """At a venue whose delays are drawn: the same agent twice earns twice the same, another draw something else."""
    spec = config_of().low_spec(market_of())
    drawn = spec.replace(params=spec.params.replace(latency=JITTER))
    agent = agents_of(1)[0]
    segments = segments_of((120, 150), (150, 161), (300, 345))
    for lanes in (1, 4096):
        scores = play_segments(market_of(), drawn, [agent] * 3, segments, 7, lanes)
        np.testing.assert_array_equal(scores.pnl[1], scores.pnl[0])
        np.testing.assert_array_equal(scores.pnl[2], scores.pnl[0])
        assert (play_segments(market_of(), drawn, [agent], segments, 8, lanes).pnl[0] != scores.pnl[0]).any()
    grid = np.meshgrid(np.arange(300), np.arange(5), indexing="ij")
    seeds = _seeds(7, grid[0].ravel(), grid[1].ravel())
    assert len(np.unique(seeds)) == seeds.size


SLOW = (
    JITTER,
    LatencyTable((0, 10**18), (900_000_000, 10**18 + 900_000_000), (1_400_000_000, 10**18 + 1_400_000_000)),
)


@pytest.mark.parametrize("model", SLOW)
def test_every_lane_has_its_start_position_however_long_the_way(model: LatencyQuantiles | LatencyTable):
    market, spec = market_of(), config_of().low_spec(market_of())
    slow = spec.replace(params=spec.params.replace(latency=model, submit_extra_ns=100_000_000))
    assert warm_steps(slow) > warm_steps(spec)
    desk, places = Desk(slow, market, 40), np.arange(40) % 5
    starts = market.start_ns + (60 + np.arange(40)) * SECOND
    desk.reset(starts, np.arange(40).astype(np.uint64))
    for _ in range(warm_steps(slow)):
        desk.step(places.astype(np.int32)[:, None])
    held = [desk.session.account(lane).position_lots for lane in range(40)]
    assert held == [slow.target_lots[place] for place in places]


def test_a_segment_at_the_tapes_begin_leaves_time_to_take_the_position():
    market, spec = market_of(), config_of().low_spec(market_of())
    scores = play_segments(market, spec, agents_of(1), segments_of((0, 10)), 0)
    assert scores.steps.tolist() == [20 - warm_steps(spec)]
    with pytest.raises(TrainError, match="at least one step"):
        play_segments(market, spec, agents_of(1), segments_of((0, 1)), 0)


def test_only_whole_steps_of_a_segment_are_played():
    (whole,) = segments_of((120, 130))
    almost = replace(whole, high_ns=whole.high_ns + SECOND // 2 - 1)
    scores = play_segments(market_of(), config_of().low_spec(market_of()), agents_of(1), [whole, almost], 0)
    assert scores.steps.tolist() == [20, 20]
    np.testing.assert_array_equal(scores.pnl[:, :, 0], scores.pnl[:, :, 1])


def test_cells_are_means_over_the_steps_of_a_label():
    rng = np.random.default_rng(0)
    pnl = rng.integers(-100, 100, (3, 2, 6))
    scores = Scores(pnl, np.array([10, 20, 30, 40, 50, 60]), np.array([0, 1, 0, 1, 0, 3]))
    for shrink in (0.0, 1.5):
        cells = scores.cells(4, shrink)
        for agent, place, label in np.ndindex(3, 2, 4):
            overall = pnl[agent, place].sum() / 210
            rows = [k for k in range(6) if scores.labels[k] == label]
            steps = sum(int(scores.steps[k]) for k in rows)
            total = sum(int(pnl[agent, place, k]) for k in rows)
            weight = shrink * 35
            wanted = (total + weight * overall) / (steps + weight) if steps + weight else overall
            assert cells[agent, place, label] == pytest.approx(wanted, rel=1e-12)
    assert np.abs(scores.cells(4, 1e9) - pnl.sum(axis=2)[:, :, None] / 210).max() < 1e-4
    joined = Scores.join([Scores(pnl[:1], scores.steps, scores.labels), Scores(pnl[1:], scores.steps, scores.labels)])
    np.testing.assert_array_equal(joined.pnl, pnl)


# -- the pool ----------------------------------------------------------------------------------------------------------


def made_pool(nearest: bool = True) -> tuple[AgentPool, list[QWeights], Scores]:
    agents = agents_of(9)
    pnl = np.random.default_rng(4).integers(-1000, 1000, (9, 5, 12))
    scores = Scores(pnl, np.full(12, 100), np.arange(12) % 3)
    return choose_pool(agents, scores, 3, nearest=nearest), agents, scores


def test_the_best_agent_of_each_cell_is_kept():
    pool, agents, scores = made_pool()
    for place, label in np.ndindex(5, 3):
        rows = [int(scores.pnl[agent, place, scores.labels == label].sum()) for agent in range(9)]
        assert pool.agents[pool.members[place, label]].digest == agents[rows.index(max(rows))].digest
    assert len({agent.digest for agent in pool.agents}) == len(pool.agents) < 9
    assert set(pool.members.ravel()) == set(range(len(pool.agents)))


def test_of_equally_good_agents_the_first_is_kept():
    agents = agents_of(4)
    pnl = np.array([1, 5, 5, 2])[:, None, None] * np.ones((4, 5, 6), np.int64)
    pool = choose_pool(agents, Scores(pnl, np.full(6, 10), np.arange(6) % 3), 3, general=True)
    assert [one.digest for one in pool.agents] == [agents[1].digest]
    assert pool.members.tolist() == [[0] * 4] * 5


def test_the_pool_is_chosen_by_what_is_earned_a_step_and_by_shrunk_means():
    """Two labels, one start position's worth of scores: by hand, with and without what shrinking adds."""
    agents = agents_of(2)
    # Label 0: one short segment in which the first agent is lucky; label 1: all the rest, where it loses.
    pnl = np.array([[30, -200, -200], [20, 100, 100]])[:, None, :] * np.ones((2, 5, 3), np.int64)
    scores = Scores(pnl, np.array([10, 45, 45]), np.array([0, 1, 1]))
    plain = choose_pool(agents, scores, 2)
    assert [plain.agents[k].digest for k in plain.members[0]] == [agents[0].digest, agents[1].digest]
    shrunk = choose_pool(agents, scores, 2, shrink=1.0)
    assert [shrunk.agents[k].digest for k in shrunk.members[0]] == [agents[1].digest] * 2


def test_the_general_choice_is_for_each_position_the_best_of_all_segments():
    _, agents, scores = made_pool()
    pool = choose_pool(agents, scores, 3, general=True)
    assert (pool.labels, pool.general) == (4, 3)
    for place in range(5):
        rows = [int(scores.pnl[agent, place].sum()) for agent in range(9)]
        assert pool.agents[pool.members[place, 3]].digest == agents[rows.index(max(rows))].digest
    np.testing.assert_array_equal(
        [[pool.agents[k].digest for k in row[:3]] for row in pool.members],
        [[made_pool()[0].agents[k].digest for k in row] for row in made_pool()[0].members],
    )


def test_positions_take_the_nearest_row_or_as_published_the_one_below():
    held = np.array([-1.2, -1.0, -0.76, -0.74, -0.1, 0.0, 0.1, 0.3, 0.49, 1.0, 1.3], np.float32)
    assert made_pool(True)[0].place(held).tolist() == [0, 0, 0, 1, 2, 2, 2, 3, 3, 4, 4]
    assert made_pool(False)[0].place(held).tolist() == [0, 0, 0, 0, 1, 2, 2, 2, 2, 4, 4]
    tenths = tuple(round(0.1 * k, 1) for k in range(11))
    agent = random_agent(0, COLUMNS, tenths)
    both = [AgentPool(tenths, (agent,), np.zeros((11, 2), np.int64), nearest) for nearest in (True, False)]
    for pool in both:
        assert pool.place(np.array(tenths, np.float32)).tolist() == list(range(11))
    assert both[0].agent(np.array([0.3], np.float32), np.array([1])).tolist() == [0]
    with pytest.raises(ParamsError, match="ascend"):
        replace(both[1].pool(config_of(targets=tenths).low_spec(market_of())).profiles[0], positions=tenths[::-1])


def test_a_pool_comes_back_from_its_folder_and_a_changed_one_does_not(tmp_path: Path):
    pool = replace(made_pool(False)[0], general=2)
    pool.save(tmp_path / "pool")
    back = AgentPool.load(tmp_path / "pool")
    assert back.positions == pool.positions
    assert back.nearest is False
    assert back.general == 2
    assert [a.digest for a in back.agents] == [a.digest for a in pool.agents]
    np.testing.assert_array_equal(back.members, pool.members)
    random_agent(99, COLUMNS, TARGETS).save(tmp_path / "pool" / "agent_001.npz")
    with pytest.raises(RunFolderError, match="not the one that was saved"):
        AgentPool.load(tmp_path / "pool")
    (tmp_path / "pool" / "agent_000.npz").unlink()
    with pytest.raises(RunFolderError, match="agent_000"):
        AgentPool.load(tmp_path / "pool")
    with pytest.raises(RunFolderError, match="no pool"):
        AgentPool.load(tmp_path / "nothing")


def test_members_that_do_not_fit_are_refused():
    agents = tuple(agents_of(2))
    for members in (np.zeros((4, 3)), np.full((5, 3), 2), np.full((5, 3), -1), np.zeros((5, 1))):
        with pytest.raises(TrainError, match="members must"):
            AgentPool(TARGETS, agents, members.astype(np.int64))
    with pytest.raises(TrainError, match="general must"):
        AgentPool(TARGETS, agents, np.zeros((5, 3), np.int64), general=3)
    spec = config_of(targets=(-1.0, 0.0, 1.0)).low_spec(market_of())
    with pytest.raises(TrainError, match="targets"):
        made_pool()[0].pool(spec)


def test_on_a_router_the_joint_actor_does_what_single_policies_do():
    market, config = market_of(), config_of()
    spec = config.spec(market)
    pool = made_pool()[0]
    joint = pool.pool(spec)
    policies = [
        PositionProfile(
            f"label-{label}",
            pool.positions,
            tuple(
                PolicyProfile(
                    f"{label} {row}", QPolicy(pool.agents[pool.members[row, label]], spec), spec.layout.columns
                )
                for row in range(5)
            ),
        )
        for label in range(3)
    ]
    ways = [
        RouterCore("target", market, 6, way, 12, 8, ROUTER_COLUMNS, spec, split="all")
        for way in (joint, Pool(joint.profiles), Pool(tuple(policies)))
    ]
    everyone = np.ones(6, np.bool_)
    for core in ways:
        core.seed(0, everyone)
        core.begin(everyone)
    traded = 0
    for choices in np.random.default_rng(3).integers(0, 3, (8, 6)):
        steps = [core.step(choices) for core in ways]
        for other in steps[1:]:
            np.testing.assert_array_equal(steps[0].observations, other.observations)
            assert {k: v.tolist() for k, v in steps[0].values.items()} == {
                k: v.tolist() for k, v in other.values.items()
            }
        traded += int(steps[0].values["fills"].sum())
    assert traded > 100
