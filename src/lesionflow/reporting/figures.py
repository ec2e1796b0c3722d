"""Figures as a page shows them: each names its place in the evaluation file, and none comes from anywhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Any

from markupsafe import Markup

from lesionflow.metrics.classification import format_metric


@dataclass(frozen=True)
class Figures:
    """The figures of an evaluation as markup.

    A place is the keys and positions on the way to a value, joined by dots: `metrics.per_class.mel.f1`. It goes
    into the markup as `data-json`, so that anybody (and a test) can hold the page against the file.
    """

    evaluation: Mapping[str, Any]

    def at(self, place: str) -> Any:
        """The value at a place; None if what should hold it is None."""
        return reduce(_step, place.split("."), self.evaluation)

    def number(self, place: str) -> Markup:
        """A figure with three digits, or n/a."""
        return self._shown(place, "number", format_metric(self.at(place)))

    def small(self, place: str) -> Markup:
        """As `number`, but with two digits that count where three places would show 0."""
        value = self.at(place)
        if not value or value >= 0.001:
            return self.number(place)
        return self._shown(place, "small", f"{Decimal(f'{value:.1e}'):f}")

    def percent(self, place: str) -> Markup:
        """A share in per cent with one digit, or n/a."""
        value = self.at(place)
        return self._shown(place, "percent", "n/a" if value is None else f"{value:.1%}".replace("%", " %"))

    def count(self, place: str) -> Markup:
        """A whole number; of a mapping or list, the sum of what it holds."""
        value = self.at(place)
        total = sum(value.values()) if isinstance(value, Mapping) else value
        return self._shown(place, "count", f"{total:,}")

    def interval(self, place: str) -> Markup:
        """A 95 % interval, or n/a."""
        low, high = self.at(place)
        text = "n/a" if low is None else f"{low:.3f} to {high:.3f}"
        return self._shown(place, "interval", text)

    def figure(self, place: str) -> Markup:
        """A figure with its interval, where one is kept as `value` and `interval`; n/a if it has none."""
        if self.at(f"{place}.value") is None:
            return self.number(f"{place}.value")
        return Markup('{} <span class="range">({})</span>').format(
            self.number(f"{place}.value"), self.interval(f"{place}.interval")
        )

    def bar(self, value: str, interval: str, limit: float | None = None, length: int = 120) -> Markup:
        """A figure in 0..1 and its interval on a line from 0 to 1. For the eye only: the numbers stand beside it.

        Args:
            value: place of the figure.
            interval: place of its interval.
            limit: where to draw a mark, in 0..1.
            length: of the line; the height is 16.
        """
        point, (low, high) = self.at(value), self.at(interval) or (None, None)
        parts = [Markup('<line class="axis" x1="0" x2="{}" y1="8" y2="8"/>').format(length)]
        if low is not None:
            band = Markup('<rect class="interval" data-json="{}" x="{:.2f}" width="{:.2f}" y="4" height="8" rx="2"/>')
            parts.append(band.format(interval, low * length, (high - low) * length))
        if limit is not None:
            mark = Markup('<line class="limit" x1="{0:.2f}" x2="{0:.2f}" y1="0" y2="16" stroke-dasharray="3 2"/>')
            parts.append(mark.format(limit * length))
        if point is not None:
            tick = Markup('<line class="value" data-json="{0}" x1="{1:.2f}" x2="{1:.2f}" y1="1" y2="15"/>')
            parts.append(tick.format(value, point * length))
        return Markup('<svg class="bar" viewBox="0 0 {} 16" aria-hidden="true" focusable="false">{}</svg>').format(
            length, Markup("").join(parts)
        )

    def _shown(self, place: str, form: str, text: str) -> Markup:
        return Markup('<span data-json="{}" data-form="{}">{}</span>').format(place, form, text)


def _step(value: Any, key: str) -> Any:
    if value is None:
        return None
    return value[int(key)] if isinstance(value, list | tuple) else value[key]
