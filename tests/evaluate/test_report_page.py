"""The report: stands alone, and shows the figures of the evaluation and no others."""

import re
from html.parser import HTMLParser

import pytest
from judged import make_world, probabilities_for, strict_json

from components.common.metrics import format_figure
from components.common.taxonomy import LABELS

TRUTH = [label for label in LABELS for _ in range(6)]
PREDICTED = ["mel" if row % 9 == 0 else dx for row, dx in enumerate(TRUTH)]


class Page(HTMLParser):
    """What a reader of the page needs: references, texts by their data-figure, tables, open elements."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.figures: dict[tuple[str, str], set[str]] = {}
        self.images: list[dict[str, str | None]] = []
        self.cells: list[str] = []
        self._row = ""
        self._open: list[str] = []
        self._figure: tuple[str, str] | None = None
        self._cell = False
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.references += [str(given[name]) for name in ("src", "href", "xlink:href", "srcset") if name in given]
        self._open += [] if tag in self.VOID else [tag]
        if tag == "tr":
            self._row = given.get("data-class") or ""
        if "data-figure" in given:
            self._figure = (self._row, str(given["data-figure"]))
        self._cell = "cell" in (given.get("class") or "").split()
        if tag == "img":
            self.images.append(given)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag
        self._row = "" if tag == "tr" else self._row
        self._figure = None
        self._cell = False

    def handle_data(self, data: str) -> None:
        if self._figure:
            self.figures.setdefault(self._figure, set()).add(data)
        if self._cell:
            self.cells.append(data)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """A function that evaluates and returns (page text, page, evaluation)."""

    def evaluate(synthetic: bool = False, predicted: list[str] = PREDICTED, **policy):
        world = make_world(tmp_path, TRUTH, synthetic)
        world.evaluate(monkeypatch, probabilities_for(predicted), **policy)
        text = world.out("report").read_text(encoding="utf-8")
        return text, Page(text), strict_json(world.out("evaluation"))

    return evaluate


def test_the_report_needs_nothing_but_itself(judged):
    text, page, _ = judged()

    assert page.references
    assert [reference for reference in page.references if not reference.startswith(("data:", "#"))] == []
    assert not re.search(r"url\((?!#)|@import|<script|<iframe", text)
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_every_figure_of_the_report_is_that_of_the_evaluation(judged):
    _, page, evaluation = judged()
    metrics = evaluation["metrics"]

    for name in ("macro_f1", "weighted_f1", "balanced_accuracy", "accuracy", "macro_auc"):
        assert page.figures["", name] == {format_figure(metrics[name])}
        low, high = metrics["intervals"][name]
        assert page.figures["", f"{name}_interval"] == {f"{low:.3f} to {high:.3f}"}
    for label in LABELS:
        for name in ("precision", "recall", "f1"):
            assert page.figures[label, name] == {format_figure(metrics["per_class"][label][name])}
        assert page.figures[label, "support"] == {"6"}
    assert [int(cell) for cell in page.cells] == [count for row in metrics["confusion_matrix"] for count in row]


def test_the_verdict_and_its_reasons_come_first(judged):
    text, _, evaluation = judged(threshold=0.99)

    assert evaluation["verdict"] == "failed"
    assert text.index("The model failed the gate") < text.index(evaluation["gate"]["reasons"][0]) < text.index("<h2>")
    assert "42 test images of 21 lesions" in text
    assert "Not a medical device" in text


def test_synthetic_data_is_announced_loudly_and_only_then(judged):
    text, _, _ = judged(synthetic=True)

    assert text.index('id="synthetic"') < text.index('id="verdict"')
    assert "(synthetic data)" in text[text.index("<title>") : text.index("</title>")]


def test_real_data_is_not_called_synthetic(judged):
    text, _, _ = judged()

    assert "ynthetic" not in text


def test_the_worst_mistakes_are_shown_with_truth_and_prediction(judged):
    _, page, _ = judged()
    shown = [image["alt"] for image in page.images]

    mistakes = [f"{dx}, predicted mel" for dx, said in zip(TRUTH, PREDICTED, strict=True) if dx != said]
    assert sorted(alt for alt in shown if not re.fullmatch(r"(\w+), predicted \1", alt)) == sorted(mistakes)
    assert {alt for alt in shown if alt not in mistakes} == {f"{label}, predicted {label}" for label in LABELS}
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.images)


def test_a_model_without_mistakes_has_none_to_show(judged):
    text, _, _ = judged(predicted=TRUTH)

    assert "There are none to show" in text


def test_a_class_that_is_never_recognised_is_pointed_out(judged):
    text, _, _ = judged(predicted=["nv" if dx == "df" else dx for dx in TRUTH])

    assert "Not one image of df was recognised" in text


def test_what_comes_from_outside_is_escaped(judged):
    text, _, _ = judged()

    assert "some/&lt;folder&gt;" in text
    assert "<folder>" not in text
