"""The configuration round-trips, refuses nonsense, and its profiles count what they say they count."""

from __future__ import annotations

import msgspec
import pytest

from lobgym.agents.earnhft.config import (
    PROFILES,
    Corrections,
    EarnHftConfig,
    LowSettings,
    RouterSettings,
    TournamentSettings,
)
from lobgym.agents.earnhft.parts import Parts
from lobgym.agents.errors import TrainError
from lobgym.sim.market import Market
from lobgym.sim.params import SimParams
from lobgym.sim.tape import Tape, open_tape

SECOND = 1_000_000_000


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_survives_json(profile: str) -> None:
    config = EarnHftConfig.profile_of(
        profile, tape="synth:calm", seed=7, out="x", targets=(-1.0, 0.0, 1.0), params=SimParams(entry_ns=3)
    )
    plain = msgspec.json.decode(msgspec.json.encode(config.to_json()))
    assert EarnHftConfig.from_json(plain) == config
    assert config.profile == profile


def test_the_digest_is_of_what_decides_the_result() -> None:
    config = EarnHftConfig()
    assert config.digest == config.replace(out="elsewhere", workers=2).digest
    changed = [
        config.replace(seed=1),
        config.replace(corrections=Corrections().without("double")),
        config.replace(low=LowSettings(tau=0.1)),
        config.replace(frictionless=True),
    ]
    assert len({config.digest, *(one.digest for one in changed)}) == 5


def test_the_full_profile_counts_no_less_than_what_was_published() -> None:
    low, router = (lambda made: (made.low, made.router))(EarnHftConfig.profile_of("full"))
    assert (len(low.betas), low.samples, low.chunk_ns, low.lookahead_ns) == (4, 200, 14_400 * SECOND, 3_600 * SECOND)
    assert low.agents == 200
    transitions = low.samples * 2 * (low.chunk_ns // EarnHftConfig.profile_of("full").interval_ns)
    assert transitions * low.updates_per_transition == 11_250
    assert (low.batch_size, low.buffer_size) == (512, 100_000)
    assert (router.samples, router.episode_ns) == (100, 14_400 * SECOND)


def test_corrections_are_switched_one_by_one_or_all_at_once() -> None:
    assert not any(getattr(Corrections.reference(), name) for name in Corrections.names())
    for name in Corrections.names():
        one = Corrections().without(name)
        assert [other for other in Corrections.names() if not getattr(one, other)] == [name]
    with pytest.raises(TrainError, match="unknown correction 'all'"):
        Corrections().without("all")


def test_a_macro_step_is_a_minute_unless_said_otherwise() -> None:
    config = EarnHftConfig()
    assert config.macro_steps == 120
    assert config.replace(interval_ns=SECOND).macro_steps == 60
    assert config.replace(macro_steps=5).macro_steps == 5


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"targets": (0.0, -1.0)}, "ascending"),
        ({"targets": (-1.0, 1.0)}, "ascending"),
        ({"columns": ("imbalance_1", "inventory")}, "inventory"),
        ({"fractions": (0.6, 0.2, 0.3)}, "fractions"),
        ({"gamma": 1.5}, "gamma"),
        ({"profile": "slow"}, "profile"),
        ({"seed": -1}, "seed"),
        ({"interval_ns": 0}, "interval_ns"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, object], what: str) -> None:
    with pytest.raises(TrainError, match=what):
        EarnHftConfig(**changes)  # type: ignore[arg-type]


def test_nonsense_in_a_stage_is_refused() -> None:
    with pytest.raises(TrainError, match="saves no agent"):
        LowSettings(samples=3, checkpoint_every=4)
    with pytest.raises(TrainError, match="kl_first"):
        LowSettings(kl_first=1.0, kl_last=2.0)
    with pytest.raises(TrainError, match="labels"):
        TournamentSettings(labels=1)
    with pytest.raises(TrainError, match="epsilon_first"):
        RouterSettings(epsilon_first=0.1, epsilon_last=0.2)
    with pytest.raises(TrainError, match="unknown fields"):
        EarnHftConfig.from_json(EarnHftConfig().to_json() | {"speed": 1})
    with pytest.raises(TrainError, match=r"low\.samplez"):
        EarnHftConfig.from_json(EarnHftConfig().to_json() | {"low": {"samplez": 1}})


def test_the_desk_observes_what_was_asked_for_and_the_position(small_tape: Tape) -> None:
    market = Market.compile(small_tape)
    config = EarnHftConfig(
        columns=("imbalance_1",), router_columns=("return_60s", "imbalance_1"), targets=(-1.0, 0.0, 1.0),
        position_lots_max=50,
    )  # fmt: skip
    assert config.low_spec(market).layout.names == ("imbalance_1", "inventory")
    spec = config.spec(market)
    assert spec.layout.names == ("imbalance_1", "return_60s", "inventory")
    assert (spec.targets, spec.position_lots_max, spec.kind) == ((-1.0, 0.0, 1.0), 50, "target")


def test_frictionless_is_the_same_venue_without_latency_and_with_the_papers_fee(small_tape: Tape) -> None:
    market = Market.compile(small_tape)
    params = EarnHftConfig(frictionless=True).low_spec(market).params
    assert (params.entry_ns, params.response_ns, params.taker_fee_ppb) == (0, 0, 150_000)
    assert EarnHftConfig().low_spec(market).params.entry_ns > 0


def minutes_of(made: float) -> Market:
    return Market.compile(open_tape(f"synth:volatile?seed=5&minutes={made:g}"))


def test_a_tape_too_short_is_told_how_long_it_would_have_to_be_and_what_fits() -> None:
    """The router's default columns look back 301 s, and a macro step is 60 s: (301 + 60) s / 20% = 1805 s."""
    config = EarnHftConfig.profile_of("quick")
    said = (
        r"the training part .* 301 s behind it \(as far back as natr_300 looks\).* more than 1805 s, the profile short"
    )
    with pytest.raises(TrainError, match=said):
        Parts.of(minutes_of(6), config)
    with pytest.raises(TrainError, match="the validation part"):
        Parts.of(minutes_of(30.05), config)
    assert Parts.of(minutes_of(30.2), config).embargo_ns == 301 * SECOND


def test_the_short_profile_fits_a_recording_of_minutes() -> None:
    config = EarnHftConfig.profile_of("short")
    assert config.spec(minutes_of(6)).layout.lookback_ns <= config.embargo_ns == 5 * SECOND
    parts = Parts.of(minutes_of(1.6), config)
    assert parts.validation.length_ns > config.macro_steps * config.interval_ns
    with pytest.raises(TrainError, match=r"has no room .*\(embargo_ns\): take a tape of more than 50 s, other"):
        Parts.of(minutes_of(0.8), config)


def test_a_part_too_short_to_have_trends_is_refused_before_anything_is_learnt() -> None:
    config = EarnHftConfig.profile_of("short").replace(tournament=TournamentSettings(bar_ns=SECOND))
    with pytest.raises(TrainError, match="no room for 16 s"):
        Parts.of(minutes_of(1.6), config)
