"""Names: what is read, what is refused and how; one text for one tape; the way through `open_tape`."""

from __future__ import annotations

import pytest

from lobgym.sim.errors import ScenarioError, TapeError
from lobgym.sim.scenarios import SCENARIOS, generate, open_scenario, read_name
from lobgym.sim.tape import open_tape


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("synth:calm", "synth:calm"),
        ("synth:calm?seed=0&minutes=20", "synth:calm"),
        ("synth:calm?minutes=20.0", "synth:calm"),
        ("synth:calm?hours=2&seed=3", "synth:calm?seed=3&minutes=120"),
        ("synth:calm?hours=0.5", "synth:calm?minutes=30"),
        ("synth:flash-crash?recovery=0.25&bps=300.0&seed=9", "synth:flash-crash?seed=9&bps=300&recovery=0.25"),
        ("synth:wide-spread?ticks=64", "synth:wide-spread?ticks=64"),
    ],
)
def test_two_names_of_one_tape_have_one_text(name: str, text: str) -> None:
    made = read_name(name)
    assert made.text == text
    assert read_name(text) == made
    assert read_name(made.full) == made


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("synth:clam", "no scenario 'synth:clam'; there are synth:calm, synth:trend-up"),
        ("calm", "there are synth:calm"),
        ("synth:", "there are synth:calm"),
        (
            "synth:calm?sed=3",
            "no parameter sed. It takes seed (integer from 0 to 9223372036854775807; default 0); minutes",
        ),
        ("synth:calm?bps=3", "no parameter bps"),
        ("synth:flash-crash?bp=3", "bps (number from 10 to 1500; default 200)"),
        ("synth:calm?seed=-1", "seed is '-1'; expected integer from 0"),
        ("synth:calm?seed=1.5", "seed is '1.5'; expected integer"),
        ("synth:calm?seed=x", "seed is 'x'"),
        ("synth:calm?seed=9223372036854775808", "seed is"),
        ("synth:calm?seed", "cannot read 'seed'"),
        ("synth:calm?seed=1&seed=2", "given twice"),
        ("synth:calm?minutes=0", "minutes is '0'; expected number above 0, up to 1440 (default 20)"),
        ("synth:calm?minutes=nan", "minutes is 'nan'"),
        ("synth:calm?minutes=inf", "minutes is 'inf'"),
        ("synth:calm?minutes=1441", "minutes is '1441'"),
        ("synth:calm?hours=25", "hours is '25'; expected a number above 0, up to 24"),
        ("synth:calm?hours=two", "hours is 'two'"),
        ("synth:calm?hours=1&minutes=60", "give one of them"),
        ("synth:wide-spread?ticks=17", "ticks is '17'; expected one of 4, 8, 16, 32, 64 (default 16)"),
    ],
)
def test_a_wrong_name_says_what_is_right(name: str, says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        open_scenario(name)
    assert says in str(caught.value)
    assert name.partition("?")[0] in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("synth:halt?minutes=1", "75 s from halfway on do not fit into 1 minutes; make it longer than 2.5 minutes"),
        ("synth:halt?minutes=2&seconds=1&auction_s=59.5", "do not fit"),
        ("synth:outage?minutes=0.5", "do not fit"),
        ("synth:flash-crash?minutes=2", "do not fit"),
        ("synth:trend-up?hours=24&bps_per_hour=500", "12,000 bps away, beyond the 2500"),
    ],
)
def test_what_does_not_fit_into_the_tape_is_refused(name: str, says: str) -> None:
    with pytest.raises(ScenarioError, match="synth:") as caught:
        generate(name)
    assert says in str(caught.value)


def test_every_bound_can_be_asked_for() -> None:
    """Each parameter at either end of what it allows, the others as they are, with as much time as that takes."""
    for scenario in SCENARIOS.values():
        minutes = 30 if scenario.name.startswith("trend") else 1440
        for one in scenario.extra:
            ends = one.choices or (one.low, one.high)
            for value in (ends[0], ends[-1]):
                made = read_name(f"synth:{scenario.name}?{one.name}={value}&minutes={minutes}")
                assert scenario.plan(made).flow.digest


def test_open_tape_knows_the_names(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = "synth:calm?minutes=0.05&seed=77"
    assert open_tape(name) == generate(name)
    assert open_tape("synth:calm?seed=77&minutes=0.0500") is open_tape(name)
    with pytest.raises(TapeError, match="no scenario 'synth:quiet'"):
        open_tape("synth:quiet")
    with pytest.raises(TapeError, match="synth:calm"):
        open_tape("quiet")
