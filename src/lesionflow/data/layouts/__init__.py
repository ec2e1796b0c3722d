"""Layouts in which metadata is found. Each module here that defines `LAYOUT` is one; to add one, add a file."""

from functools import cache

from lesionflow.data.layouts.layout import Layout
from lesionflow.data.table_file import TableFile
from lesionflow.runtime.discover import find_all
from lesionflow.taxonomy import Taxonomy


@cache
def layouts() -> dict[str, Layout]:
    """All layouts by the names of their modules, in that order."""
    return find_all(__name__, "LAYOUT", Layout)


def layout_of(table: TableFile, taxonomy: Taxonomy) -> Layout | None:
    """The first layout that a table's header is of; None if no layout knows it."""
    return next((layout for layout in layouts().values() if layout.knows(table, taxonomy)), None)
