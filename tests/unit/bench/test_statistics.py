"""Medians, ratios within rounds, percentiles, and the plan of an open loop."""

from __future__ import annotations

import itertools

import pytest
from benchmarks import arrivals, run
from benchmarks.arrivals import Sent
from benchmarks.picture import Axis, Panel, draw

from stoker.bench import machine
from stoker.bench.spread import Spread, latencies, percentile, ratios, short


def test_a_spread_is_median_least_and_greatest() -> None:
    assert Spread.of([5.0, 1.0, 3.0]) == Spread(3.0, 1.0, 5.0, 3)
    assert Spread.of([]) is None


def test_ratios_compare_within_a_round_and_leave_out_rounds_that_one_side_lacks() -> None:
    assert ratios({0: 10.0, 1: 40.0, 2: 7.0}, {0: 5.0, 1: 10.0, 3: 1.0}) == [2.0, 4.0]
    assert ratios({0: 10.0}, {0: 0.0}) == []


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_the_nearest_rank(share: float, value: float) -> None:
    assert percentile([float(n) for n in range(1, 101)], share) == value


def test_one_value_is_every_percentile_and_none_is_an_error() -> None:
    assert set(latencies([7.0]).values()) == {7.0}
    assert latencies([]) == {}
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("value", "text"), [(12345.6, "12,346"), (123.4, "123"), (1.234, "1.23"), (0.01234, "0.0123"), (0, "0")]
)
def test_numbers_are_shown_to_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_a_single_round_shows_no_range() -> None:
    assert Spread(2.0, 2.0, 2.0, 1).text() == "2.00"
    assert Spread(2.0, 1.0, 3.0, 5).text() == "2.00 (1.00-3.00)"


# ------------------------------------------------------------------------------------------------ open loop


def test_arrivals_are_random_in_order_and_inside_the_time() -> None:
    times = arrivals.schedule(1000, 2.0, seed=1)
    assert times == sorted(times)
    assert times[0] >= 0 and times[-1] < 2.0
    assert 1800 < len(times) < 2200
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert 0.3 < sum(gap > 0.001 for gap in gaps) / len(gaps) < 0.44  # e^-1 = 0.37 of exponential gaps


def test_every_contender_gets_the_same_arrivals_and_every_round_others() -> None:
    assert arrivals.schedule(100, 1.0, seed=1) == arrivals.schedule(100, 1.0, seed=1)
    assert arrivals.schedule(100, 1.0, seed=1) != arrivals.schedule(100, 1.0, seed=2)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        arrivals.schedule(0, 1.0, seed=1)


def test_latency_counts_from_the_plan_not_from_the_sending() -> None:
    """A request that a busy generator sent late has waited all the same."""
    calls = [Sent(planned=1.0, sent=1.5, answered=1.6, ok=True), Sent(planned=2.0, sent=2.0, answered=2.1, ok=False)]
    assert arrivals.latencies_ms(calls) == [pytest.approx(600.0)]
    assert arrivals.generator_lag_ms(calls) == pytest.approx(500.0)


# ------------------------------------------------------------------------------------------------ report


def test_a_machine_is_named_by_its_processor_and_cores_alone() -> None:
    facts = {"cpu": "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "cores": "2"}
    assert run.short_name(facts) == "intel-xeon-e5-2680-v4-2-cores"
    assert machine.cpu_model("processor : 0\nmodel name\t: AMD EPYC\n") == "AMD EPYC"


def test_the_axis_is_logarithmic() -> None:
    axis = Axis(1.0, 100.0, 0.0, 200.0)
    assert [axis.at(value) for value in (1, 10, 100)] == pytest.approx([0.0, 100.0, 200.0])
    assert axis.decades() == [1, 2, 5, 10, 20, 50, 100]


def test_the_picture_is_well_formed_and_names_everyone() -> None:
    from xml.etree import ElementTree

    spread = Spread(2.0, 1.0, 3.0, 5)
    svg = draw([Panel("a < b", "ms", {"one & two": {1: spread, 16: spread}}), Panel("empty", "ms", {})], title="t")
    text = "".join(ElementTree.fromstring(svg).itertext())
    assert "one & two" in text and "a < b" in text and "not measured" in text
