"""Pages and pictures stand alone, and several pictures can stand on one page."""

import math
import re
import xml.etree.ElementTree as ElementTree

from lesionflow.reporting.page import render_page
from lesionflow.reporting.pictures import class_bars
from lesionflow.taxonomy import HAM10000

BEFORE = {label: 10.0 * (i + 1) for i, label in enumerate(HAM10000.codes)}


def test_a_picture_is_the_same_bytes_every_time_and_says_what_it_shows():
    picture = class_bars({"before": BEFORE, "after": BEFORE}, "Images & <classes>", "images")

    assert picture == class_bars({"before": BEFORE, "after": BEFORE}, "Images & <classes>", "images")
    root = ElementTree.fromstring(picture)
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Images & <classes>"
    text = " ".join(root.itertext())
    assert all(label in text for label in HAM10000.codes)
    assert "70" in text


def test_pictures_do_not_share_ids_and_refer_only_to_their_own():
    pictures = [class_bars({"a": BEFORE}, "one"), class_bars({"a": BEFORE}, "two")]

    ids = [set(re.findall(r' id="([^"]+)"', picture)) for picture in pictures]
    used = [set(re.findall(r'(?:url\(#|href="#)([^")]+)', picture)) for picture in pictures]

    assert not ids[0] & ids[1]
    assert used[0]
    assert [used[i] <= ids[i] for i in range(2)] == [True, True]
    assert "<style" not in pictures[0]  # it would apply to the whole page


def test_a_missing_metric_is_drawn_as_such():
    picture = class_bars({"recall": {"mel": math.nan, "nv": 0.5}}, "recall")

    assert "n/a" in picture
    assert "0.50" in picture
    assert "nan" not in picture.lower()


def test_a_page_escapes_its_title_and_needs_no_network():
    page = render_page("a <b> & c", "<p>body</p>")

    assert "<title>a &lt;b&gt; &amp; c</title>" in page
    assert "<p>body</p>" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page
