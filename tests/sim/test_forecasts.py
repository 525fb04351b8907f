"""Issued forecasts: what each model may know."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim import small
from wattshift.sim.forecasts import Issuer, to_core
from wattshift.sim.scenario import Forecasting, ForecastModel

STEPS = 288 * 20
HOUR = 3600.0
DAY = 86400.0


def issuer(values: np.ndarray, model: ForecastModel, **changes) -> Issuer:
    zone = changes.pop("time_zone", "UTC")
    start = changes.pop("start_time", small.START)
    return Issuer(
        values,
        Forecasting(model=model, **changes),
        step_seconds=300.0,
        start_time=start,
        time_zone=zone,
        seed=3,
    )


def wave() -> np.ndarray:
    return small.day(10, 20, STEPS)


@pytest.mark.parametrize(
    "model", [ForecastModel.PERSISTENCE, ForecastModel.DAY_OLD, ForecastModel.HOUR_OF_DAY]
)
@settings(max_examples=15, deadline=None)
@given(step=st.integers(1, STEPS - 1), delay=st.sampled_from([0.0, 5.0, 3600.0, 7200.0]))
def test_the_past_alone_decides(model, step, delay):
    now = step * 300.0
    values = np.random.default_rng(1).uniform(0, 9, STEPS)
    other = values.copy()
    known = int((now - delay) // 300.0)
    other[max(0, known + 1) :] = 1e6

    first = issuer(values, model, delay_seconds=delay).issue(now)
    second = issuer(other, model, delay_seconds=delay).issue(now)

    if first is None:
        assert second is None
    else:
        assert np.array_equal(first.values, second.values)
        assert np.array_equal(first.starts, second.starts)


def test_persistence_repeats_the_last_value():
    issue = issuer(wave(), ForecastModel.PERSISTENCE, delay_seconds=HOUR).issue(DAY)

    assert np.all(issue.values == wave()[288 - 12])


def test_a_repeating_day_is_known_to_the_day_old_and_the_hour_of_day_model():
    for model in (ForecastModel.DAY_OLD, ForecastModel.HOUR_OF_DAY):
        made = issuer(wave(), model, delay_seconds=HOUR)
        issue = made.issue(10 * DAY)
        found = to_core(issue, 0, 0.0, "x")
        for lead in (0.5, 2.5, 11.5, 22.5):
            truth = wave()[int((10 * DAY + lead * HOUR) // 300)]
            assert found.at(10 * DAY + lead * HOUR) == pytest.approx(truth, rel=0.03)


def test_hour_of_day_follows_a_day_that_is_unlike_the_others():
    values = wave()
    values[288 * 10 :] += 5.0
    issue = issuer(values, ForecastModel.HOUR_OF_DAY).issue(10.5 * DAY)
    soon, late = issue.values[1, 0], issue.values[-1, 0]

    assert soon == pytest.approx(values[int(10.5 * 288) + 1], rel=0.05)
    # a day ahead the deviation of now is forgotten; one of fourteen days that count was unlike
    usual = wave()[int(11.5 * 288) - 6]
    assert late == pytest.approx(usual, rel=0.06)


def test_noise_grows_with_lead_and_is_the_same_for_a_seed():
    values = np.full(STEPS, 100.0)
    made = issuer(values, ForecastModel.NOISY, relative_error=0.1)
    near, far = [], []
    for k in range(60):
        issue = made.issue(2 * DAY + k * 2 * HOUR)
        near.append(issue.values[6, 0] - 100)
        far.append(issue.values[-1, 0] - 100)
    again = issuer(values, ForecastModel.NOISY, relative_error=0.1).issue(2 * DAY)

    assert np.std(far) > 3 * np.std(near)
    assert 20 < np.std(far) < 80  # 0.1 x sqrt(24) = 0.49
    assert np.array_equal(
        again.values,
        issuer(values, ForecastModel.NOISY, relative_error=0.1).issue(2 * DAY).values,
    )


def test_bias_is_added_to_the_forecast_and_not_to_what_is_seen():
    made = issuer(wave(), ForecastModel.PERSISTENCE, bias=0.3)

    assert np.allclose(made.issue(DAY).values, wave()[288] * 1.3)
    assert made.seen(DAY)[1][0] == wave()[288]


def test_tomorrow_is_published_at_its_local_hour():
    made = issuer(wave(), ForecastModel.PUBLISHED, published_at_hour=13, time_zone="Asia/Tokyo")
    before = small.START + 3.9 * HOUR  # 12:54 in Tokyo
    assert datetime.fromtimestamp(before, UTC).hour == 3

    today = made.issue(3.9 * HOUR)
    tomorrow = made.issue(4.0 * HOUR)

    assert today.end == 15 * HOUR  # midnight in Tokyo
    assert tomorrow.end == 39 * HOUR
    found = to_core(tomorrow, 0, 0.0, "x")
    for hour in (5.0, 20.2, 38.9):
        assert found.at(hour * HOUR) == wave()[int(hour * 12)]


def test_a_day_that_is_23_hours_long_is_published_whole():
    # 2023-03-26: clocks in Berlin go forward
    start = datetime(2023, 3, 25, 12, tzinfo=UTC).timestamp()
    made = issuer(
        wave(),
        ForecastModel.PUBLISHED,
        published_at_hour=13,
        time_zone="Europe/Berlin",
        start_time=start,
    )
    assert made.issue(0.0).end == (11 + 23) * HOUR


def test_nothing_known_is_no_forecast():
    assert issuer(wave(), ForecastModel.PERSISTENCE, delay_seconds=HOUR).issue(0.0) is None
    assert issuer(wave(), ForecastModel.NONE).issue(DAY) is None


def test_many_series_at_once_equal_each_alone():
    both = np.stack([wave(), wave() * 2], axis=1)
    whole = issuer(both, ForecastModel.HOUR_OF_DAY).issue(5 * DAY)
    alone = issuer(both[:, 1], ForecastModel.HOUR_OF_DAY).issue(5 * DAY)

    assert np.allclose(whole.values[:, 1], alone.values[:, 0])


def test_a_noisy_forecast_of_late_data_knows_the_present_no_better_than_the_past():
    """Data that come two hours late: the present is a forecast of two hours' lead."""
    values = np.full(288 * 20, 100.0)
    now = 5 * DAY
    prompt = issuer(values, ForecastModel.NOISY, relative_error=0.1)
    late = issuer(values, ForecastModel.NOISY, relative_error=0.1, delay_seconds=2 * HOUR)
    error = late.issue(now).values[0, 0] / 100.0 - 1

    assert prompt.issue(now).values[0, 0] == 100.0
    # the same draw of the error, as at two hours' lead
    draw = prompt.issue(now).values[:, 0] / 100.0 - 1
    lead = (prompt.issue(now).starts - now) / HOUR
    at = int(np.argmax(lead >= 0.08))
    assert error == pytest.approx(draw[at] / np.sqrt(lead[at]) * np.sqrt(2.0), rel=0.5)
    assert error != 0.0
