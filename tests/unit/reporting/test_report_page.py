"""The report: stands alone, and shows the metrics of the evaluation and no others."""

import math
import re
from functools import reduce
from html.parser import HTMLParser

import pytest
from judged import make_world, probabilities_for, strict_json

from lesionflow.artifacts.images import write_taxonomy
from lesionflow.reporting.placed import Placed, small
from lesionflow.taxonomy import HAM10000, Taxonomy

TRUTH = [label for label in HAM10000.codes for _ in range(6)]
PREDICTED = ["mel" if row % 9 == 0 else dx for row, dx in enumerate(TRUTH)]


class Page(HTMLParser):
    """What a reader of the page needs: references, metrics with where they come from, images, headings, loose text."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.metrics: list[tuple[str, str, str]] = []
        """Place in the evaluation, form, text."""
        self.drawn: list[dict[str, str | None]] = []
        """Marks of the bars: their place in the evaluation and their geometry."""
        self.images: list[dict[str, str | None]] = []
        self.headings: list[int] = []
        self.loose = ""
        """Text outside of metrics, pictures and settings."""
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.references += [str(given[name]) for name in ("src", "href", "xlink:href", "srcset") if name in given]
        self._open += [] if tag in self.VOID else [(tag, given)]
        if tag == "img":
            self.images.append(given)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "data-json" in given and "data-form" not in given:
            self.drawn.append(given)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        place, form = (self._open[-1][1].get(name) if self._open else None for name in ("data-json", "data-form"))
        if place and form:
            self.metrics.append((place, form, data))
        elif not {"svg", "style", "title", "code"} & {tag for tag, _ in self._open} and not any(
            given.get("class") == "facts" or "data-metric" in given for _, given in self._open
        ):
            self.loose += data


def look_up(document: object, place: str) -> object:
    """What stands at a place like metrics.per_class.mel.f1.value."""
    return reduce(
        lambda value, key: None if value is None else value[int(key) if isinstance(value, list) else key],
        place.split("."),
        document,
    )


def as_text(value: object, form: str) -> str:
    """A metric as a page writes it, put down here a second time."""
    match form, value:
        case "interval", [float(low), float(high)]:
            return f"{low:.3f} to {high:.3f}"
        case "count", dict(parts):
            return f"{sum(parts.values()):,}"
        case "count", int(whole):
            return f"{whole:,}"
        case "percent", float(share):
            return f"{100 * share:.1f} %"
        case "small", float(number) if 0 < number < 0.001:
            return f"{number:.{1 - math.floor(math.log10(number))}f}"
        case "number", int(number) | float(number):
            return f"{number:.3f}"
    assert value is None or value == [None, None], (value, form)
    return "n/a"


@pytest.mark.parametrize(
    ("value", "text"), [(0.000413, "0.00041"), (0.0005, "0.00050"), (0.001, "0.001"), (0.0, "0.000")]
)
def test_a_threshold_that_three_places_would_show_as_0_has_two_digits(value, text):
    assert f">{text}</span>" in small(Placed({"threshold": value}).threshold)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """A function that evaluates and returns (page text, page, evaluation)."""

    def evaluate(synthetic: bool = False, predicted: list[str] = PREDICTED, **policy):
        world = make_world(tmp_path, TRUTH, synthetic)
        world.describe()
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


def test_every_metric_of_the_report_is_that_of_the_evaluation(judged):
    _, page, evaluation = judged()

    wrong = [(place, text) for place, form, text in page.metrics if as_text(look_up(evaluation, place), form) != text]
    assert wrong == []
    shown = {place for place, _, _ in page.metrics}
    metrics = ["gate.clauses.0.value", "data.counts.test", "calibration.before.ece.value", "abstention.aurc.value"]
    metrics += [
        f"metrics.averages.{name}.value"
        for name in ("macro_f1", "weighted_f1", "balanced_accuracy", "accuracy", "macro_auc")
    ]
    metrics += [
        f"metrics.per_class.{label}.{name}.{part}"
        for label in HAM10000.codes
        for name in ("precision", "recall", "f1", "auc")
        for part in ("value", "interval")
    ]
    metrics += [f"metrics.confusion_matrix.{row}.{column}" for row in range(7) for column in range(7)]
    metrics += [
        f"data.{name}.{label}" for name in ("counts.train", "counts.test", "balanced") for label in HAM10000.codes
    ]
    metrics += [f"subgroups.by.{by}.groups.0.{name}" for by in ("sex", "age") for name in ("images", "lesions")]
    metrics += ["subgroups.by.sex.groups.0.metrics.malignant_sensitivity.value"]
    metrics += [f"operating_points.questions.{question}.auc.value" for question in ("melanoma", "malignant")]
    assert set(metrics) <= shown


def test_no_metric_stands_on_the_page_without_its_place_in_the_evaluation(judged):
    _, page, evaluation = judged(threshold=0.99)

    sentences = evaluation["gate"]["reasons"]  # their metrics have four digits, to tell 0.6996 from 0.7
    loose = reduce(lambda text, sentence: text.replace(sentence, ""), sentences, page.loose)
    assert re.findall(r"\d\.\d{3,}", loose) == []


def test_the_bars_are_drawn_where_the_metrics_are(judged):
    _, page, evaluation = judged()

    assert {mark["data-json"] for mark in page.drawn} >= {
        "metrics.averages.macro_f1.value",
        "metrics.per_class.mel.recall.interval",
    }
    lengths = {float(mark["x1"]) / look_up(evaluation, mark["data-json"]) for mark in page.drawn if "x1" in mark}
    assert {round(length) for length in lengths} == {120, 400}
    for mark in page.drawn:
        if "width" in mark:
            low, high = look_up(evaluation, mark["data-json"])
            length = 400 if mark is page.drawn[0] else 120
            assert float(mark["x"]) == pytest.approx(length * low, abs=0.01)
            assert float(mark["width"]) == pytest.approx(length * (high - low), abs=0.01)


def test_groups_too_small_to_judge_are_marked(judged):
    text, _, evaluation = judged()

    groups = evaluation["subgroups"]["by"]["sex"]["groups"]
    assert [group["too_small"] for group in groups] == [True, True]
    table = text[text.index('id="groups-sex"') : text.index('id="groups-age"')]
    for group in groups:
        row = table[table.index(f'data-group="{group["group"]}"') :].partition("</tr>")[0]
        assert row.index("too small to judge") < row.index("<td")
        assert row.count("too small: ") == sum(metric["value"] is not None for metric in group["metrics"].values()) - 1


def test_headings_leave_out_no_level_and_begin_with_one_title(judged):
    _, page, _ = judged()

    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(page.headings, page.headings[1:], strict=False))


def test_what_scrolls_can_be_reached_with_the_keyboard_and_every_column_is_named(judged):
    text, _, _ = judged()

    assert all('tabindex="0"' in tag and "aria-label" in tag for tag in re.findall(r'<div class="scroll"[^>]*>', text))
    assert '<html lang="en">' in text
    heads = re.findall(r"<th(?:\s[^>]*)?>", text)
    assert heads
    assert [head for head in heads if "scope=" not in head] == []


def test_the_verdict_and_its_reasons_come_first(judged):
    text, _, evaluation = judged(threshold=0.99)

    assert evaluation["verdict"] == "failed"
    assert text.index("The model failed the gate") < text.index(evaluation["gate"]["reasons"][0]) < text.index("<h2")
    assert re.sub("<[^>]*>", "", text).count("42 test images of 21 lesions") == 1
    assert "Not a medical device" in text


def test_synthetic_data_is_announced_loudly_and_only_then(judged):
    text, _, _ = judged(synthetic=True)

    assert text.index('id="synthetic"') < text.index('id="verdict"')
    assert "(synthetic data)" in text[text.index("<title>") : text.index("</title>")]


def test_real_data_is_not_called_synthetic(judged):
    text, _, _ = judged()

    assert "ynthetic" not in text


def test_the_worst_mistakes_are_shown_with_truth_and_prediction_and_where_it_looked(judged):
    text, page, evaluation = judged()
    shown = [str(image["alt"]) for image in page.images]

    looked = [alt for alt in shown if alt.startswith("Where it looked")]
    named = [alt for alt in shown if alt not in looked]
    mistakes = [f"{dx}, predicted mel" for dx, said in zip(TRUTH, PREDICTED, strict=True) if dx != said]
    assert sorted(alt for alt in named if not re.fullmatch(r"(\w+), predicted \1", alt)) == sorted(mistakes)
    assert {alt for alt in named if alt not in mistakes} == {f"{label}, predicted {label}" for label in HAM10000.codes}
    assert len(looked) == len(named)
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in page.images)
    assert [example["dx"] for example in evaluation["examples"]["right"]] == list(HAM10000.codes)
    for example in evaluation["examples"]["wrong"] + evaluation["examples"]["right"]:
        assert example["image_id"] in text
        assert f'<span data-metric="probability">{example["probability"]:.3f}</span>' in text
        assert example["strongest"] is None  # what the model of these tests answers is the same whatever is covered
    assert set(looked) == {"Where it looked: no single place decides"}


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


def test_classes_that_do_not_say_leave_no_section(tmp_path, monkeypatch):
    world = make_world(tmp_path, TRUTH)
    world.describe()
    classes = tuple(each.model_copy(update={"malignant": None}) for each in HAM10000.classes)
    write_taxonomy(tmp_path / "images", Taxonomy(name="plain", classes=classes))

    world.evaluate(monkeypatch, probabilities_for(PREDICTED))

    text, evaluation = world.out("report").read_text(encoding="utf-8"), strict_json(world.out("evaluation"))
    assert evaluation["operating_points"] == {"reason": None, "questions": {}}
    [male] = [group for group in evaluation["subgroups"]["by"]["sex"]["groups"] if group["group"] == "male"]
    assert sorted(male["metrics"]) == ["accuracy", "balanced_accuracy"]
    assert male["malignant_lesions"] is None
    for page in (text, world.out("model_card").read_text(encoding="utf-8")):
        assert "alignan" not in page
        assert "perating point" not in page.partition("## Reporting checklist")[0]
    assert 'id="calibration"' in text
    assert strict_json(world.out("classification"))["roc"] is None
