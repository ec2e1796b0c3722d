"""Cron as Kubeflow reads it: six fields, seconds first, in the grammar of the Go library robfig/cron, version 1."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _DAYS),
)
_DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}


def six_fields(text: str) -> str:
    """Check a cron expression and bring it to the form that Kubeflow reads as it was meant.

    A five-field one gets the second 0: Kubeflow accepts five fields but takes the first for the seconds, so that
    "0 3 * * 1", meant as Mondays at 3:00, runs every hour in January. So it never sees one.

    Args:
        text: six fields, the five of crontab, or one of @yearly, @monthly, @weekly, @daily, @hourly.

    Returns:
        Six fields.

    Raises:
        ValueError: what is wrong, and how it is written right.
    """
    if text.startswith("@"):
        if text.lower() not in _DESCRIPTORS:
            more = "; write `interval: 6h` instead of cron" if text.lower().startswith("@every") else ""
            raise ValueError(f"expected one of {', '.join(_DESCRIPTORS)}, received {text!r}{more}")
        return _DESCRIPTORS[text.lower()]
    fields = text.split()
    if fields and "=" in fields[0]:
        raise ValueError(f"received {text!r}; the time zone is the server's CRON_SCHEDULE_TIMEZONE, leave it out")
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise ValueError(
            f"expected six fields (second minute hour day-of-month month day-of-week) or crontab's five, "
            f"received {len(fields)} in {text!r}"
        )
    for field, part in zip(_FIELDS, fields, strict=True):
        for term in part.split(","):
            _numbers(field, term)
    expression = " ".join(fields)
    if next(_simulate(expression, datetime(2024, 1, 1)), None) is None:
        raise ValueError(f"{text!r} never comes: no such month has such a day")
    return expression


def times(expression: str, after: datetime) -> Iterator[datetime]:
    """Yield the times at which a six-field expression fires.

    Args:
        expression: from `six_fields`.
        after: the times yielded are later, and in its time zone.
    """
    return _simulate(expression, after)


def _simulate(expression: str, after: datetime) -> Iterator[datetime]:
    from cronsim import CronSim, CronSimError

    # cronsim has no "?" and counts days of the week up to 7, so "1/3" would mean Sunday as well: steps and ranges
    # are handed over as numbers. A star stays, and comes first: on it depends whether both days must match.
    fields: list[str] = []
    for field, part in zip(_FIELDS, expression.split(), strict=True):
        terms = sorted(part.replace("?", "*").split(","), key=lambda term: not term.startswith("*"))
        fields.append(",".join(t if t.startswith("*") else ",".join(map(str, _numbers(field, t))) for t in terms))
    try:
        yield from CronSim(" ".join(fields), after)
    except CronSimError:
        return  # the 30th of February


def _numbers(field: _Field, term: str) -> range:
    """What one term of a field stands for.

    Raises:
        ValueError: it stands for nothing.
    """
    ends, *steps = term.split("/")
    step = _number(steps[0]) if steps else 1
    if ends in ("*", "?"):
        low, high = field.low, field.high
    else:
        low, *rest = (_number(end, field) for end in ends.split("-"))
        # "N/step" runs to the field's end.
        high = rest[0] if rest else field.high if steps else low
        if len(rest) > 1:
            high = None
    if len(steps) > 1 or not step or low is None or high is None or not field.low <= low <= high <= field.high:
        names = f" or {' '.join(field.words)}" if field.words else ""
        raise ValueError(
            f"{field.name}: expected *, numbers from {field.low} to {field.high}{names}, ranges a-b and steps /n, "
            f"received {term!r}"
        )
    return range(low, high + 1, step)


def _number(text: str, field: _Field | None = None) -> int | None:
    if field and text.upper() in field.words:
        return field.words.index(text.upper()) + field.low
    return int(text) if text.isascii() and text.isdecimal() else None
