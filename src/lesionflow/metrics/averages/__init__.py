"""The averages over classes. Each module here that defines `AVERAGE` is one; to add one, add a file."""

from lesionflow.metrics.average import AverageDefinition
from lesionflow.runtime.discover import find_all

ALL: dict[str, AverageDefinition] = {
    average.name: average
    for average in sorted(
        find_all(__name__, "AVERAGE", AverageDefinition).values(), key=lambda each: (each.place, each.name)
    )
}
"""Name -> average, in the order in which they are shown."""
