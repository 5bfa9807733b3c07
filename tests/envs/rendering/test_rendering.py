"""Goal: pictures show what is the case, cost the episode nothing, and are the same bytes for the same episode.

Method: the environment is run with and without a renderer; scenes are compared with what the session says; the painter
is tried on scenes made by hand, where it is known which pixel must have which colour.
"""

from __future__ import annotations

import copy
import hashlib
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from lobgym.envs import LobEnv, LobVectorEnv
from lobgym.envs.extras import ExtraMissingError
from lobgym.envs.rendering import RENDER_MODES, Level, OwnQuote, Renderer, Sample, Scene, as_text, paint
from lobgym.envs.rendering.camera import BOOK_LEVELS, Camera
from lobgym.envs.rendering.charts import ticks_of
from lobgym.envs.rendering.source import ReplaySource
from lobgym.envs.rendering.style import OWN
from lobgym.sim.records import BUY, LIVE, SELL, SENT

TAPE = "synth?seed=4&minutes=3"
SHORT: dict[str, Any] = {"tape": TAPE, "horizon": 40, "spec": {"interval_ns": 250_000_000}}


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def actions(env: Any, count: int, seed: int = 1) -> list[Any]:
    env.action_space.seed(seed)
    return [env.action_space.sample() for _ in range(count)]


def play(env: LobEnv, steps: int, render: bool) -> list[Any]:
    seen: list[Any] = [env.reset(seed=3)[0].tobytes()]
    for action in actions(env, steps):
        observation, reward, _, _, info = env.step(action)
        if render:
            env.render()
        seen.append((observation.tobytes(), reward, info))
    return [*seen, env.core.desk.session.run_digest()]


@pytest.mark.parametrize("kind", ["grid", "target"])
@pytest.mark.parametrize("mode", RENDER_MODES)
def test_an_episode_that_is_filmed_is_the_one_that_is_not(kind: str, mode: str) -> None:
    plain = play(LobEnv(kind, **SHORT), 30, False)
    filmed = LobEnv(kind, render_mode=mode, **SHORT)
    assert play(filmed, 30, True) == plain
    filmed.close()


def test_the_same_episode_has_the_same_pictures() -> None:
    digests = []
    for seed in (5, 5, 6):
        env = LobEnv("grid", render_mode="rgb_array", **SHORT)
        env.reset(seed=seed)
        frames = [env.render()]
        for action in actions(env, 12):
            env.step(action)
            frames.append(env.render())
        assert all(frame.shape == (540, 960, 3) and frame.dtype == np.uint8 for frame in frames)
        digests.append([hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames])
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]
    assert len(set(digests[0])) == 13


@pytest.mark.parametrize("kind", ["grid", "target"])
def test_a_scene_shows_what_the_session_says(kind: str) -> None:
    env = LobEnv(kind, **SHORT)
    camera = Camera(ReplaySource(env.core))
    env.core.watcher = camera
    env.reset(seed=3)
    session, made = env.core.desk.session, env.core.market.instrument
    lot = float(made.lot_size)
    own_seen = ahead_seen = fills = 0
    for action in actions(env, 40):
        info = env.step(action)[4]
        scene = camera.scene()
        fills += info["fills"]
        assert len(scene.fills) == fills
        assert scene.samples[-1].position == pytest.approx(sum(f.qty if f.buy else -f.qty for f in scene.fills))
        assert scene.samples[-1].position == pytest.approx(info["position_lots"] * lot)
        assert scene.samples[-1].pnl == pytest.approx(made.money_to_float(info["equity_units"]))
        assert 0.5 * (scene.samples[-1].bid + scene.samples[-1].ask) == pytest.approx(info["mid"])
        orders = session.orders()
        open_orders = orders[np.isin(orders["view_state"], (SENT, LIVE)) & (orders["view_leaves"] > 0)]
        for side, levels in ((BUY, scene.bids), (SELL, scene.asks)):
            assert len(levels) <= BOOK_LEVELS
            book = {made.ticks_to_price(tick): qty * lot for tick, qty in session.ladder(0, side, 100_000).tolist()}
            prices = [float(level.price.replace(",", "")) for level in levels]
            assert prices == sorted(prices, reverse=side == BUY)
            mine = {made.ticks_to_price(tick) for tick in open_orders["view_tick"][open_orders["side"] == side]}
            assert len(mine) <= BOOK_LEVELS - 1
            for price, level in zip(levels and [made.tick_size * round(p / float(made.tick_size)) for p in prices],
                                    levels, strict=True):  # fmt: skip
                assert level.qty == pytest.approx(book.get(price, 0.0))
                assert bool(level.own) == (price in mine)
                own_seen += len(level.own)
                ahead_seen += sum(quote.ahead is not None for quote in level.own)
            assert sum(len(level.own) for level in levels) == int((open_orders["side"] == side).sum())
    assert fills > 0
    assert kind == "target" or (own_seen > 20 and ahead_seen > 0)


def scene_of(**changes: Any) -> Scene:
    quiet: dict[str, Any] = {
        "title": "t", "subtitle": "s", "spread": "", "bids": (), "asks": (), "samples": (), "fills": (),
    }  # fmt: skip
    return Scene(**{**quiet, **changes})


def amber_columns(ahead: float) -> list[int]:
    """Columns of the queue bar in which the own order's mark is seen: one bid of quantity 10, drawn at full length."""
    pixels = paint(scene_of(bids=(Level("100.0", 10.0, (OwnQuote(1.0, ahead),)),)))
    bar = pixels[270:300, 105:222].astype(int)
    return sorted({int(x) for x in np.argwhere((np.abs(bar - OWN) < 12).all(axis=2))[:, 1]})


def test_the_place_in_the_queue_is_where_the_mark_is() -> None:
    first, half, last = amber_columns(0.0), amber_columns(5.0), amber_columns(10.0)
    assert 0 < len(first) <= 7
    assert half[0] - first[0] == pytest.approx((last[0] - first[0]) / 2, abs=1)
    assert last[0] - first[0] > 90
    assert amber_columns(50.0) == last  # the bar ends where the level does


def test_any_scene_can_be_drawn() -> None:
    """Empty books, no samples, prices that are missing or all equal, huge and tiny figures."""
    nan = float("nan")
    odd = [
        Sample(0.0, nan, nan, nan, nan, 0.0, 0.0),
        Sample(0.0, 1e9, 1e9, nan, 2e9, 1e12, -1e15),
        Sample(1e-9, 1e-9, 2e-9, 1e-9, nan, -1e-12, 1e-12, 5.0),
    ]
    for samples in ((), odd[:1], odd, odd[1:], odd[2:]):
        scene = scene_of(samples=tuple(samples), asks=(Level("1", 0.0, (OwnQuote(1.0),)), Level("2", 1e-9, gap=True)))
        assert paint(scene).shape == (540, 960, 3)
        assert "own 1" in as_text(scene)


@pytest.mark.parametrize(("low", "high", "most"), [(0.0, 1.0, 5), (-3.2, 7.7, 4), (1e-9, 3e-9, 3), (1e9, 1e9 + 7, 6)])
def test_axis_labels_are_round_and_few(low: float, high: float, most: int) -> None:
    ticks = ticks_of(low, high, most)
    assert 1 <= len(ticks) <= most + 1
    assert all(low - 1e-9 * abs(high) <= value <= high + 1e-9 * abs(high) for value in ticks)
    assert ticks_of(2.0, 2.0, 5) == [2.0]


def test_text_begins_with_the_line_and_has_own_quotes() -> None:
    env = LobEnv("grid", render_mode="ansi", **SHORT)
    env.reset(seed=3)
    own = 0
    for action in actions(env, 20):
        env.step(action)
        text = env.render()
        assert text.splitlines()[0] == env.core.line(0)
        own += text.count("own ")
    assert own > 5


def test_a_video_is_recorded(tmp_path: Path) -> None:
    """Gymnasium's own wrapper, as its documentation uses it."""
    pytest.importorskip("moviepy")
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    env = gymnasium.make("lobgym/Grid-v0", render_mode="rgb_array", **{**SHORT, "horizon": 12})
    env = gymnasium.wrappers.RecordVideo(env, str(tmp_path / "video"), episode_trigger=lambda episode: True)
    env.reset(seed=0)
    for action in actions(env, 12):
        env.step(action)
    env.close()
    (video,) = tmp_path.glob("video/*.mp4")
    frames, seconds = ffmpeg.count_frames_and_secs(str(video))
    assert frames == 13
    assert seconds == pytest.approx(1.3, abs=0.11)


def test_a_window_shows_and_can_be_closed_by_hand() -> None:
    pygame = pytest.importorskip("pygame")
    env = LobEnv("target", render_mode="human", **SHORT)
    env.reset(seed=0)
    assert env.render() is None
    screen = pygame.display.get_surface()
    assert screen.get_size() == (960, 540)
    before = pygame.image.tobytes(screen, "RGB")
    env.step(4)
    assert pygame.image.tobytes(screen, "RGB") != before
    env.close()
    assert not pygame.display.get_init()
    env.step(4)  # opens it again
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    env.step(4)
    assert not pygame.display.get_init()
    env.step(4)  # the episode goes on without it
    assert not pygame.display.get_init()


def test_vector_frames_are_those_of_scalar_environments() -> None:
    vector = LobVectorEnv("grid", num_envs=3, render_mode="rgb_array", autoreset_mode="SameStep", **SHORT)
    scalars = [LobEnv("grid", render_mode="rgb_array", **SHORT) for _ in range(3)]
    vector.reset(seed=8)
    for i, env in enumerate(scalars):
        env.reset(seed=8 + i)
    for action in actions(vector, 55):  # beyond the end of an episode
        ended = vector.step(action)
        for env, one in zip(scalars, action, strict=True):
            step = env.step(one)
            if step[2] or step[3]:
                env.reset()
    assert "final_obs" not in ended[4]
    frames = vector.render()
    assert frames is not None
    assert [frame.tobytes() for frame in frames] == [env.render().tobytes() for env in scalars]


def test_sb3_gets_the_pictures() -> None:
    sb3 = pytest.importorskip("lobgym.envs.sb3")
    venv = sb3.make_sb3_vec_env("lobgym/Grid-v0", 2, seed=1, render_mode="rgb_array", **SHORT)
    venv.reset()
    venv.step(np.zeros((2, 5), np.float32))
    images = venv.get_images()
    assert [image.shape for image in images] == [(540, 960, 3)] * 2
    assert venv.render("rgb_array").ndim == 3
    assert sb3.make_sb3_vec_env("lobgym/Grid-v0", 2, **SHORT).get_images() == [None, None]


def test_a_copy_goes_on_filming() -> None:
    env = LobEnv("grid", render_mode="rgb_array", **SHORT)
    env.reset(seed=3)
    for action in actions(env, 5):
        env.step(action)
    other = copy.deepcopy(env)
    assert other.render().shape == (540, 960, 3)
    zero = np.zeros(5, np.float32)
    assert other.step(zero)[0].tobytes() == env.step(zero)[0].tobytes()
    assert other.core.desk.session.run_digest() == env.core.desk.session.run_digest()


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    env = LobEnv("grid", render_mode="rgb_array", **SHORT)
    env.reset(seed=0)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(ExtraMissingError, match=r"pip install 'lobgym\[render\]'"):
        env.render()
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(gymnasium.error.DependencyNotInstalled, match="pygame"):
        LobEnv("grid", render_mode="human", **SHORT)


def test_without_a_mode_nothing_is_filmed() -> None:
    env = LobEnv("grid", **SHORT)
    assert Renderer.watching(env.core, None) is None
    assert env.core.watcher is None
    assert env.core.desk.session.log == "off"
    assert env.render() is None
