"""docs/notebook.py: every cell runs, on synthetic data, and what it shows can be shown."""

import ast
import contextlib
import io
import os
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebook.py"


def cells() -> list[str]:
    """The code cells, as jupytext's percent format has them."""
    parts = ("\n" + NOTEBOOK.read_text(encoding="utf-8")).split("\n# %%")
    return [part.partition("\n")[2] for part in parts[1:] if not part.startswith(" [markdown]")]


def run(cell: str, names: dict[str, Any]) -> Any:
    """Run a cell as Jupyter does: the value of its last expression, if it ends with one."""
    tree = ast.parse(cell)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


@pytest.fixture
def back_here() -> Any:
    with contextlib.chdir(Path.cwd()):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("back_here")
def test_every_cell_runs_and_shows_what_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[str, Any] = {}
    shown: dict[str, str] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for cell in cells():
            value = run(cell, names)
            if hasattr(value, "_repr_html_"):
                shown[type(value).__name__] = value._repr_html_()
            elif value is not None:
                assert repr(value)

    assert set(shown) >= {
        "Images",
        "Split",
        "Model",
        "Evaluated",
        "Page",
        "Judgement",
        "Compared",
        "Metrics",
        "DataFrame",
    }
    assert "210 images" in shown["Images"]
    assert Path("report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    evaluation, measured = names["evaluation"], names["lf"].measure
    scores = evaluation.scores
    assert measured(scores["dx"], scores, scores["lesion_id"]).macro_f1 == evaluation.metrics.macro_f1

    # A cell run again costs nothing: nothing is made anew.
    folders = sorted(Path("lesionflow-runs/notebook").iterdir())
    before = {folder: folder.stat().st_mtime_ns for folder in folders}
    lf, images = names["lf"], names["lf"].ingest("synthetic")
    again = lf.evaluate(lf.finetune(lf.split(images, seed=0), recipe=names["tiny"]), lf.split(images, seed=0).test)
    assert again.folder == evaluation.folder
    assert {folder: folder.stat().st_mtime_ns for folder in Path("lesionflow-runs/notebook").iterdir()} == before

    # A model is evaluated on images that it cannot know, only.
    with pytest.raises(lf.UserError, match="may know these images"):
        lf.evaluate(names["model"], lf.split(images, seed=5).test)
    with pytest.raises(lf.UserError, match="trained on"):
        lf.evaluate(names["model"], names["parts"].train)
    os.chdir(NOTEBOOK.parent)
    names["scratch"].cleanup()
