"""Cron as Kubeflow's Go library reads it, against that library's rules written down once more, naively."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionflow.kubeflow.schedule.cron import six_fields, times

RANGES = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]
NOW = datetime(2030, 1, 2, 12, 30, tzinfo=UTC)


def terms(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).map(lambda ends: f"{min(ends)}-{max(ends)}")
    ends = st.one_of(st.sampled_from(["*", "?"]), number.map(str), ranges)
    return st.tuples(ends, st.one_of(st.just(""), st.integers(1, 20).map("/{}".format))).map("".join)


FIELDS = [st.lists(terms(*ends), min_size=1, max_size=3).map(",".join) for ends in RANGES]


def fires(expression: str, moment: datetime) -> bool:
    """Whether robfig/cron v1 starts something at this second: sets of bits, and a star bit."""
    weekday = (moment.weekday() + 1) % 7
    values = (moment.second, moment.minute, moment.hour, moment.day, moment.month, weekday)
    hits, stars = [], []
    for (low, high), part, value in zip(RANGES, expression.split(), values, strict=True):
        hit = star = False
        for term in part.split(","):
            ends, _, step = term.partition("/")
            star = star or ends in ("*", "?")
            first, _, last = (f"{low}-{high}" if ends in ("*", "?") else ends).partition("-")
            last = last or (str(high) if step else first)
            hit = hit or value in range(int(first), int(last) + 1, int(step or 1))
        hits.append(hit)
        stars.append(star)
    days = hits[3] and hits[5] if stars[3] or stars[5] else hits[3] or hits[5]
    return all(hits[:3]) and hits[4] and days


@settings(deadline=None)  # a busy machine is no mistake
@given(st.tuples(*FIELDS).map(" ".join))
def test_the_times_are_the_servers(expression: str) -> None:
    try:
        assert six_fields(expression) == expression
    except ValueError as error:
        assert "never comes" in str(error)  # noqa: PT017
        return
    found = list(islice(times(expression, NOW), 3))
    assert all(fires(expression, moment) for moment in found)
    # Nothing is left out: each second of the first hours, and that time of each day since.
    for second in range(1, 4 * 3600, 7):
        moment = NOW + timedelta(seconds=second)
        assert moment in found or not fires(expression, moment) or moment > found[-1]
    day = found[0].replace(year=NOW.year, month=NOW.month, day=NOW.day)
    while day < found[0]:
        assert day <= NOW or not fires(expression, day)
        day += timedelta(days=1)


@given(st.tuples(*FIELDS[1:]).map(" ".join))
def test_five_fields_mean_what_crontab_means(expression: str) -> None:
    try:
        six = six_fields(expression)
    except ValueError:
        return
    assert six == f"0 {expression}"
    assert all(moment.second == 0 for moment in islice(times(six, NOW), 3))


def test_five_fields_would_be_misread() -> None:
    """Why they are translated: Mondays at 3:00 would be hourly in January."""
    mondays = list(islice(times(six_fields("0 3 * * 1"), NOW), 2))
    assert [f"{moment:%a %d %H:%M:%S}" for moment in mondays] == ["Mon 07 03:00:00", "Mon 14 03:00:00"]


@pytest.mark.parametrize(
    ("text", "six"),
    [
        ("@daily", "0 0 0 * * *"),
        ("@Weekly", "0 0 0 * * 0"),
        ("30 6 * jan-mar MON,Fri", "0 30 6 * jan-mar MON,Fri"),
        ("0  0 3 ? * 1", "0 0 3 ? * 1"),
    ],
)
def test_what_is_understood(text: str, six: str) -> None:
    assert six_fields(text) == six


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("@every 1h", "interval: 6h"),
        ("@reboot", "expected one of @yearly"),
        ("0 0 3 * *  1 2030", "received 7"),
        ("", "received 0"),
        ("0 3 * * 7", "day of week: .* from 0 to 6 .* received '7'"),
        ("0 24 * * *", "hour: .* received '24'"),
        ("60 0 3 * * 1", "second: "),
        ("0 0 3 0 * *", "day of month: "),
        ("0 0 3 L * *", "received 'L'"),
        ("0 0 3 * * 1#2", "received '1#2'"),
        ("0 0 3 * * FRI-MON", "received 'FRI-MON'"),
        ("0 0 */0 * * *", "received '\\*/0'"),
        ("0 0 1-2-3 * * *", "received '1-2-3'"),
        ("0 0 1/2/3 * * *", "received '1/2/3'"),
        ("0 0 ,3 * * *", "received ''"),
        ("0 0 -3 * * *", "received '-3'"),
        ("0 0 3 30 2 *", "never comes"),
        ("TZ=UTC 0 0 3 * * 1", "CRON_SCHEDULE_TIMEZONE"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        six_fields(text)
