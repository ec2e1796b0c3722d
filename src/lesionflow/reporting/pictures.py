"""Diagrams as inline SVG for HTML pages.

Text and axes take the page's own text colour (`currentColor`), so one picture suits light, dark and
paper. The same data gives the same bytes.
"""

import hashlib
import io
import math
import re
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c")
"""Okabe and Ito's colours for colour-blind readers, dark enough for white and light enough for black."""

_INK = "#010203"  # stands for the page's text colour until the SVG is finished


def new_figure(width: float = 8.0, height: float = 3.2) -> "tuple[Figure, Axes]":
    """An empty metric in the pictures' style, and its one pair of axes.

    Args:
        width: inches; a page shows the picture as wide as its column, so this sets the relative text size.
        height: inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(colors=_INK, labelsize=10)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)
    figure.patch.set_visible(False)
    return figure, axes


def to_svg(figure: "Figure", title: str) -> str:
    """Render a metric as one `<svg>` element to stand inside an HTML page.

    Args:
        figure: a matplotlib figure, best from `new_figure`.
        title: what the picture shows, for screen readers and as a tooltip.

    Returns:
        Markup whose ids are unlike those of any picture with other content or title.
    """
    import matplotlib as mpl
    from matplotlib.colors import to_hex
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if to_hex(text.get_color()) == "#000000":
            text.set_color(_INK)
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "lesionflow", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)  # would style the whole page
    svg = svg.replace(_INK, "currentColor")
    svg = re.sub(r"font-family: [^;\"]+|font: ([\d.]+px) [^;\"]+", _page_font, svg)
    svg = _own_ids(svg, title)
    view_box = re.search(r'viewBox="[^"]+"', svg)
    assert view_box
    label = escape(title)
    head = f'<svg class="picture" role="img" aria-label="{label}" {view_box[0]} stroke-linejoin="round" '
    head += f'style="min-width: {figure.get_figwidth() * 3.6:.0f}rem" '  # on a phone it scrolls, still legible
    head += f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><title>{label}</title>'
    return head + svg[svg.index(">") + 1 :].strip()


def _page_font(style: re.Match[str]) -> str:
    """Use the page's font, keeping the size."""
    return f"font-size: {style[1]}; font-family: inherit" if style[1] else "font-family: inherit"


def _own_ids(svg: str, title: str) -> str:
    """Drop the ids to which nothing refers; make the others unlike those of other pictures."""
    prefix = "p" + hashlib.sha256((title + svg).encode()).hexdigest()[:8] + "-"
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", svg)


def class_bars(series: Mapping[str, Mapping[str, float]], title: str, axis: str = "") -> str:
    """Grouped bars: a group per class, in it a bar per series, its value written above.

    Args:
        series: name of the series -> class label -> value; NaN is drawn as "n/a". Classes appear in
            the order of the first series. Whole numbers are written as counts, others with two digits.
        title: what the picture shows, for screen readers.
        axis: label of the vertical axis.

    Returns:
        One `<svg>` element.
    """
    from matplotlib.ticker import MaxNLocator

    classes = list(next(iter(series.values())))
    values = {name: [float(row.get(label, math.nan)) for label in classes] for name, row in series.items()}
    shown = [value for row in values.values() for value in row if math.isfinite(value)]
    counts = all(value.is_integer() for value in shown) and max(shown, default=0) > 1
    form = "{:,.0f}" if counts else "{:.2f}"
    figure, axes = new_figure()
    width = 0.84 / len(values)
    for number, (name, row) in enumerate(values.items()):
        places = [group - 0.42 + width * (number + 0.5) for group in range(len(classes))]
        heights = [value if math.isfinite(value) else 0.0 for value in row]
        color = PALETTE[number % len(PALETTE)]
        bars = axes.bar(places, heights, width * 0.92, label=name, color=color)
        texts = [form.format(value) if math.isfinite(value) else "n/a" for value in row]
        axes.bar_label(bars, texts, fontsize=8 if len(values) < 3 else 7, padding=2, color=_INK)
    axes.set_xticks(range(len(classes)), classes)
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel(axis)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=counts))
    axes.yaxis.set_major_formatter("{x:,.0f}" if counts else "{x:.1f}")
    axes.margins(x=0.01, y=0.1)
    if len(values) > 1:
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(values), labelcolor=_INK)
    return to_svg(figure, title)
