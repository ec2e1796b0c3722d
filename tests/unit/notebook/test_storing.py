"""A cell run again finds what it made, and makes anew what it must."""

from pathlib import Path

import pytest

from lesionflow.notebook.markup import Page, class_table
from lesionflow.notebook.storing import stored


def test_the_same_inputs_are_made_once(tmp_path: Path):
    calls: list[Path] = []

    first = stored(tmp_path, "split", {"seed": 0}, calls.append)
    second = stored(tmp_path, "split", {"seed": 0}, calls.append)
    other = stored(tmp_path, "split", {"seed": 1}, calls.append)

    assert first == second == calls[0]
    assert other == calls[1] != first
    assert len(calls) == 2


def test_what_was_interrupted_is_made_again(tmp_path: Path):
    def interrupted(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path, "split", {"seed": 0}, interrupted)
    folder = stored(tmp_path, "split", {"seed": 0}, lambda folder: (folder / "table").write_text("whole"))

    assert (folder / "table").read_text() == "whole"


def test_other_code_makes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = stored(tmp_path, "split", {}, lambda folder: None)
    monkeypatch.setattr("lesionflow.notebook.storing.step_digest", lambda step: "edited")

    assert stored(tmp_path, "split", {}, lambda folder: None) != before


def test_a_page_is_shown_in_a_frame_that_runs_no_script(tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text('<p title="a">5 &lt; 6</p>')

    shown = Page(path)._repr_html_()

    assert 'srcdoc="&lt;p title=&quot;a&quot;&gt;5 &amp;lt; 6&lt;/p&gt;"' in shown
    assert "allow-scripts" not in shown


def test_names_from_data_are_escaped():
    assert '<td style="text-align:left">&lt;b&gt;</td>' in class_table({"images": {"<b>": 1}}, "counts")
