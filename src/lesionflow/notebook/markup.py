"""What notebooks show of our objects: small tables, and whole pages in a frame."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CELL = "text-align:left"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> str:
    """An HTML table of plain texts, in the style of the notebook that shows it."""

    def row(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} style="{_CELL}">{html.escape(str(cell))}</{tag}>' for cell in cells) + "</tr>"

    title = f'<caption style="{_CELL}">{html.escape(caption)}</caption>' if caption else ""
    body = "".join(row(cells, "td") for cells in rows)
    return f"<table>{title}<thead>{row(header, 'th')}</thead><tbody>{body}</tbody></table>"


def class_table(counts: Mapping[str, Mapping[str, int]], caption: str) -> str:
    """A table with a row per class and a column for each of the counts.

    Args:
        counts: heading -> class -> number of images.
        caption: above it, plain text.
    """
    classes = dict.fromkeys(label for each in counts.values() for label in each)
    rows = [(label, *(f"{each.get(label, 0):,}" for each in counts.values())) for label in classes]
    return table(("class", *counts), rows, caption)


def shown_path(path: Path) -> str:
    """A path as people want to read it: from where they are, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


@dataclass(frozen=True)
class Page:
    """A self-contained page that a step wrote; a notebook shows it in a frame."""

    path: Path
    height: int = 600
    """Of the frame, CSS pixels."""

    def __repr__(self) -> str:
        return f"Page({shown_path(self.path)!r})"

    def _repr_html_(self) -> str:
        content = html.escape(self.path.read_text(encoding="utf-8"))
        # No scripts are needed, so none may run; the links within the page work.
        return (
            f'<iframe sandbox="allow-popups" srcdoc="{content}" title="{html.escape(self.path.name)}" '
            f'style="box-sizing:border-box;width:100%;height:{self.height}px;border:1px solid #8888"></iframe>'
        )
