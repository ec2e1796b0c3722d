"""Metadata in other forms: a layout is added as a file, and nothing else changes."""

from pathlib import Path

import pytest

from lesionflow.data import layouts
from lesionflow.data.metadata import find_metadata, parse_metadata
from lesionflow.data.source import open_source
from lesionflow.errors import UserError
from lesionflow.taxonomy import HAM10000

ADDED = """
from lesionflow.data.layouts.layout import Layout


class Clinic(Layout):
    def knows(self, table, taxonomy):
        return {"picture", "patient", "finding"} <= set(table.columns)

    def read(self, table, companion, taxonomy):
        return table.rows().rename(columns={"picture": "image_id", "patient": "lesion_id", "finding": "dx"}), []


LAYOUT = Clinic()
"""


def test_the_layouts_that_there_are() -> None:
    assert list(layouts.layouts()) == ["isic_one_hot", "label_column"]


def test_a_layout_is_added_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "clinic.py").write_text(ADDED)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "visits.csv").write_text("patient,picture,finding\np1,a.jpg,NV\np1,b,mel\np2,c,df\n")
    monkeypatch.setattr(layouts, "__path__", [*layouts.__path__, str(tmp_path / "more")])
    layouts.layouts.cache_clear()
    try:
        metadata = find_metadata(open_source(str(tmp_path / "data")), HAM10000)
        rows = parse_metadata(metadata).rows
    finally:
        monkeypatch.undo()
        layouts.layouts.cache_clear()
    assert rows[["image_id", "lesion_id", "dx"]].to_numpy().tolist() == [
        ["a", "p1", "nv"],
        ["b", "p1", "mel"],
        ["c", "p2", "df"],
    ]


@pytest.mark.parametrize("name", ["labels.csv", "groups.csv"])
def test_a_table_without_rows_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "labels.csv").write_text("image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\na,1,0,0,0,0,0,0\n")
    (tmp_path / "groups.csv").write_text("image,lesion_id\na,l\n")
    (tmp_path / name).write_text((tmp_path / name).read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match=f"The metadata {name} has a header but no rows"):
        parse_metadata(find_metadata(open_source(str(tmp_path)), HAM10000))
