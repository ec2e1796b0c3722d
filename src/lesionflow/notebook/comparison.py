"""Two models, or more, on the images that all have scored."""

from dataclasses import dataclass
from pathlib import Path

from lesionflow.metrics.classification import AVERAGES
from lesionflow.notebook.evaluation import Evaluated
from lesionflow.notebook.markup import table
from lesionflow.registry.compare import Comparison, compared_metrics
from lesionflow.registry.compare import compare as compare_places
from lesionflow.runtime.metric_text import format_metric


@dataclass(frozen=True)
class Compared:
    """Differences to the first, by a paired bootstrap over lesions."""

    comparison: Comparison

    def __repr__(self) -> str:
        found = self.comparison
        lines = [f"Compared on {found.images:,} images of {found.lesions:,} lesions"]
        lines += [f"{name}: {', '.join(cells)}" for name, *cells in self._rows()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        found = self.comparison
        names = [run.name for run in found.runs]
        header = ("metric", names[0], *(text for name in names[1:] for text in (name, "difference, 95 % interval")))
        return table(header, self._rows(), f"On {found.images:,} images of {found.lesions:,} lesions")

    def _rows(self) -> list[tuple[str, ...]]:
        found = self.comparison
        rows: list[tuple[str, ...]] = []
        for name in compared_metrics(found.runs[0].codes):
            cells = [format_metric(found.metrics[0][name])]
            for metrics, differences in zip(found.metrics[1:], found.differences, strict=True):
                difference = differences[name]
                low, high = difference.interval
                shown = "n/a" if difference.value is None else f"{difference.value:+.3f}"
                cells += [
                    format_metric(metrics[name]),
                    shown + ("" if low is None else f" ({low:+.3f} to {high:+.3f})"),
                ]
            rows.append((AVERAGES.get(name, name.replace(":", " of ")), *cells))
        return rows


def compare(first: Evaluated | str | Path, *others: Evaluated | str | Path) -> Compared:
    """Compare evaluations with the first one, on the test images that all have scored.

    Args:
        first: what `evaluate` returned, the folder of a run, a version in a registry, or a registry (its champion).
        *others: likewise; at least one.

    Raises:
        UserError: they share no images, or contradict each other.
    """
    return Compared(
        compare_places([str(each.folder if isinstance(each, Evaluated) else each) for each in (first, *others)])
    )
