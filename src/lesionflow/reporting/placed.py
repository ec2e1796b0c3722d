"""Figures as a page shows them: each carries its place in the evaluation file, and none comes from anywhere else."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, cast

from markupsafe import Markup
from pydantic import BaseModel

from lesionflow.runtime.metric_text import format_metric


class Placed:
    """A value of a document that knows where in the file it stands.

    Its fields, entries and elements are placed likewise. A place is the keys and positions on the way there, joined by
    dots: `metrics.per_class.mel.f1.value`. It goes into the markup as `data-json`, so that anybody (and a test) can
    hold the page against the file.
    """

    def __init__(self, value: Any, place: str = "") -> None:
        """Place a document, or a part of one."""
        self._value = value
        self._place = place

    def __getattr__(self, name: str) -> "Placed":
        """A field of a model, and nothing that is not in the file."""
        value = self._value
        if isinstance(value, BaseModel) and name in type(value).model_fields:
            return self._step(getattr(value, name), name)
        if isinstance(value, Mapping) and name in value:
            return self[name]
        raise AttributeError(f"{self._place or 'the document'} has no {name!r}")

    def __getitem__(self, key: str | int) -> "Placed":
        """An entry of a mapping, or an element of a list."""
        return self._step(self._value[key], key)

    def __iter__(self) -> Iterator["Placed"]:
        """The elements of a list."""
        for index in range(len(self._value)):
            yield self[index]

    def items(self) -> Iterator[tuple[str, "Placed"]]:
        """Keys and entries of a mapping."""
        for key in self._value:
            yield key, self[key]

    def _step(self, value: Any, key: str | int) -> "Placed":
        return Placed(value, f"{self._place}.{key}" if self._place else str(key))

    def raw(self) -> Any:
        """The value itself."""
        return self._value

    def shown(self, form: str, text: str) -> Markup:
        """Text that stands for it on the page."""
        return Markup('<span data-json="{}" data-form="{}">{}</span>').format(self._place, form, text)

    def mark(self, markup: str, *values: float) -> Markup:
        """A mark that is drawn for it: markup with `{0}` for its place, and then for values."""
        return Markup(markup).format(self._place, *values)


def number(of: Placed) -> Markup:
    """A figure with three digits, or n/a."""
    return of.shown("number", format_metric(of.raw()))


def small(of: Placed) -> Markup:
    """As `number`, but with two digits that count where three places would show 0."""
    value = of.raw()
    return number(of) if not value or value >= 0.001 else of.shown("small", f"{Decimal(f'{value:.1e}'):f}")


def percent(of: Placed) -> Markup:
    """A share in per cent with one digit, or n/a."""
    value = of.raw()
    return of.shown("percent", "n/a" if value is None else f"{value:.1%}".replace("%", " %"))


def count(of: Placed) -> Markup:
    """A whole number; of a mapping, the sum of what it holds."""
    value = of.raw()
    total = sum(cast(Mapping[str, int], value).values()) if isinstance(value, Mapping) else value
    return of.shown("count", f"{total:,}")


def interval(of: Placed) -> Markup:
    """A 95 % interval, or n/a."""
    low, high = of.raw()
    return of.shown("interval", "n/a" if low is None else f"{low:.3f} to {high:.3f}")


def figure(of: Placed) -> Markup:
    """A `Metric` with its interval; n/a if it has none."""
    if of.raw().value is None:
        return number(of.value)
    return Markup('{} <span class="range">({})</span>').format(number(of.value), interval(of.interval))


def bar(of: Placed, limit: float | None = None, length: int = 120) -> Markup:
    """A `Metric` in 0..1 on a line from 0 to 1. For the eye only: the numbers stand beside it.

    Args:
        of: the metric.
        limit: where to draw a mark, in 0..1.
        length: of the line; the height is 16.
    """
    value, (low, high) = of.raw().value, of.raw().interval
    parts = [Markup('<line class="axis" x1="0" x2="{}" y1="8" y2="8"/>').format(length)]
    if low is not None:
        band = '<rect class="interval" data-json="{0}" x="{1:.2f}" width="{2:.2f}" y="4" height="8" rx="2"/>'
        parts.append(of.interval.mark(band, low * length, (high - low) * length))
    if limit is not None:
        mark = Markup('<line class="limit" x1="{0:.2f}" x2="{0:.2f}" y1="0" y2="16" stroke-dasharray="3 2"/>')
        parts.append(mark.format(limit * length))
    if value is not None:
        tick = '<line class="value" data-json="{0}" x1="{1:.2f}" x2="{1:.2f}" y1="1" y2="15"/>'
        parts.append(of.value.mark(tick, value * length))
    return Markup('<svg class="bar" viewBox="0 0 {} 16" aria-hidden="true" focusable="false">{}</svg>').format(
        length, Markup("").join(parts)
    )


FORMS = {form.__name__: form for form in (number, small, percent, count, interval, figure, bar)}
"""As filters of a template."""
