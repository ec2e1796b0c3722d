"""Metadata in other forms: a layout is added as a file, and nothing else changes."""

from pathlib import Path

import pytest

from lesionflow.data import layouts
from lesionflow.data.metadata import find_metadata, parse_metadata
from lesionflow.data.source import open_source
from lesionflow.errors import UserError
from lesionflow.taxonomy import HAM10000, ISIC2019, Taxonomy

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


def test_a_layout_is_added_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "clinic.py").write_text(ADDED)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "visits.csv").write_text("patient,picture,finding\np1,a.jpg,NV\np1,b,mel\np2,c,df\n")
    layouts.__path__.append(str(tmp_path / "more"))
    layouts.layouts.cache_clear()
    try:
        metadata = find_metadata(open_source(str(tmp_path / "data")), HAM10000)
        rows = parse_metadata(metadata).rows
    finally:
        layouts.__path__.remove(str(tmp_path / "more"))
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


MAPPED = Taxonomy.model_validate(
    {
        "name": "clinic",
        "classes": [{"code": "mel", "name": "melanoma", "aliases": ["MM"]}, {"code": "Nevus", "name": "nevus"}],
        "columns": {"image": "File", "group": "Patient", "diagnosis": "Finding", "age": "Years", "site": "Where"},
    }
)


def test_a_taxonomy_names_the_columns_and_the_classes(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text(
        "Patient,FILE,Finding,Years,sex,Where,lesion_id\np1,a.JPG,mm,50,male,back,x\np1,b,NEVUS,,female,,y\np2,c,df,9,,,z\n"
    )

    parsed = parse_metadata(find_metadata(open_source(str(tmp_path)), MAPPED))

    assert parsed.rows[["image_id", "lesion_id", "dx", "sex"]].to_numpy().tolist() == [
        ["a", "p1", "mel", "male"],
        ["b", "p1", "Nevus", "female"],
    ]
    assert parsed.rows["age"].tolist()[0] == 50
    assert parsed.rows["localization"].tolist()[0] == "back"
    assert [rejected.reason for rejected in parsed.rejected] == ["unknown label: 'df' is not one of mel, Nevus"]
    assert "grouped by the column patient" in parsed.warnings[0]


def test_a_column_that_the_taxonomy_names_and_the_table_lacks_is_told(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("lesion_id,file,finding\nl,a,mel\n")
    with pytest.raises(UserError, match="has no column patient; it has lesion_id, file, finding, and file, patient"):
        find_metadata(open_source(str(tmp_path)), MAPPED)


def test_without_a_group_each_image_stands_for_itself(tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("file,finding\na.jpg,mel\nb.jpg,nevus\n")
    columns = MAPPED.columns.model_copy(update={"group": None})

    parsed = parse_metadata(find_metadata(open_source(str(tmp_path)), MAPPED.model_copy(update={"columns": columns})))

    assert parsed.rows["lesion_id"].is_unique
    assert "every image counts as a lesion of its own" in parsed.warnings[0]


def test_the_table_of_the_challenge_of_2019(tmp_path: Path) -> None:
    (tmp_path / "ISIC_2019_Training_GroundTruth.csv").write_text(
        "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\na,0.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0\n"
        "b,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,0.0\n"
    )
    (tmp_path / "ISIC_2019_Training_Metadata.csv").write_text(
        "image,age_approx,anatom_site_general,lesion_id,sex\na,55.0,anterior torso,L1,female\nb,,,L2,\n"
    )

    parsed = parse_metadata(find_metadata(open_source(str(tmp_path)), ISIC2019))

    assert parsed.rows[["image_id", "lesion_id", "dx"]].to_numpy().tolist() == [["a", "L1", "nv"], ["b", "L2", "scc"]]
    assert parsed.rows["age"].tolist()[0] == 55
    assert parsed.rows[["sex", "localization"]].to_numpy().tolist()[0] == ["female", "anterior torso"]
