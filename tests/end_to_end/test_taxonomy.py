"""Runs on other classes, and on images grouped by patient: by a file that describes the data, and no change of code."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from command import Site, lesionflow, summary_of

EIGHT = {
    "name": "eight",
    "classes": [
        {"code": "nv", "name": "melanocytic nevus", "malignant": False},
        {"code": "mel", "name": "melanoma", "malignant": True},
        {"code": "bcc", "name": "basal cell carcinoma", "malignant": True},
        {"code": "ak_back", "name": "actinic keratosis of the back", "malignant": True, "aliases": ["AK back"]},
        {"code": "ak_rest", "name": "actinic keratosis elsewhere", "malignant": True, "aliases": ["AK rest"]},
        {"code": "bkl", "name": "benign keratosis-like lesion", "malignant": False},
        {"code": "df", "name": "dermatofibroma", "malignant": False, "colour": "#123456"},
        {"code": "vasc", "name": "vascular lesion", "malignant": False},
    ],
    "columns": {"diagnosis": "Label"},
}
PATIENTS = {
    "name": "clinic",
    "classes": [{"code": code, "name": code} for code in ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")],
    "columns": {"image": "File", "group": "Patient", "diagnosis": "Finding", "age": "Years", "sex": "Gender"},
}
RENAMED = {"image_id": "File", "dx": "Finding", "age": "Years", "sex": "Gender"}


def described(folder: Path, site: Site, change: Callable[[list[dict[str, str]]], None], taxonomy: object) -> Path:
    """The site's images with a changed table beside them; returns the file of the taxonomy."""
    data = folder / "data"
    data.mkdir()
    for file in Path(site.data).glob("*.zip"):
        shutil.copy(file, data)
    with (Path(site.data) / "HAM10000_metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    change(rows)
    pd.DataFrame(rows).to_csv(data / "table.csv", index=False)
    (folder / "taxonomy.yaml").write_text(yaml.safe_dump(taxonomy))
    return folder / "taxonomy.yaml"


@pytest.mark.timeout(600)
def test_a_table_of_eight_classes_from_ingest_to_the_champions_prediction(site: Site, tmp_path: Path) -> None:
    def split_akiec(rows: list[dict[str, str]]) -> None:
        lesions = sorted({row["lesion_id"] for row in rows if row["dx"] == "akiec"})
        backs = set(lesions[::2])
        for row in rows:
            dx = row.pop("dx")
            row["Label"] = dx.upper() if dx != "akiec" else "AK back" if row["lesion_id"] in backs else "AK rest"

    taxonomy = described(tmp_path, site, split_akiec, EIGHT)
    mine = Site(tmp_path, tmp_path / "data", site.recipe)
    codes = [str(each["code"]) for each in EIGHT["classes"]]  # pyright: ignore[reportIndexIssue, reportArgumentType]

    result = mine.run(tmp_path / "out", "--taxonomy", taxonomy, "--no-leak-guard", "--min-f1", "0.02")

    assert result.returncode == 0, result.stdout + result.stderr
    summary = summary_of(tmp_path / "out")
    assert list(summary["metrics"]["per_class"]) == codes
    assert all(entry["support"] for entry in summary["metrics"]["per_class"].values())
    evaluation = json.loads(Path(summary["artifacts"]["evaluation"]).read_text())
    assert evaluation["operating_points"]["questions"]["malignant"]["classes"] == ["mel", "bcc", "ak_back", "ak_rest"]
    report = (tmp_path / "out" / "report.html").read_text()
    assert "actinic keratosis of the back" in report
    assert "#123456" in report

    with_model = lesionflow(
        "predict", "--model", tmp_path / "out" / "registry", tmp_path / "data", "--output", tmp_path / "said.csv",
        cwd=tmp_path,
    )  # fmt: skip

    assert with_model.returncode == 0, with_model.stdout + with_model.stderr
    said = pd.read_csv(tmp_path / "said.csv")
    assert list(said.columns) == ["image_id", *codes, "predicted", "abstain", "error"]
    assert said[codes].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-4)
    verified = lesionflow("verify", tmp_path / "out" / "registry", cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.timeout(600)
def test_images_without_lesion_ids_are_grouped_by_patient(site: Site, tmp_path: Path) -> None:
    patients: dict[str, str] = {}

    def by_patient(rows: list[dict[str, str]]) -> None:
        """Two lesions of one diagnosis to a patient."""
        for dx in {row["dx"] for row in rows}:
            for place, lesion in enumerate(sorted({row["lesion_id"] for row in rows if row["dx"] == dx})):
                patients[lesion] = f"{dx}-{place // 2}"
        for row in rows:
            row["Patient"] = patients[row.pop("lesion_id")]
            for ours, theirs in RENAMED.items():
                row[theirs] = row.pop(ours)

    taxonomy = described(tmp_path, site, by_patient, PATIENTS)
    mine = Site(tmp_path, tmp_path / "data", site.recipe)

    result = mine.run(tmp_path / "out", "--taxonomy", taxonomy, "--no-leak-guard", "--min-f1", "0.02")

    assert result.returncode == 0, result.stdout + result.stderr
    summary = summary_of(tmp_path / "out")
    tables = {name: pd.read_parquet(summary["artifacts"][name]) for name in ("train", "validation", "test")}
    sides = [set(table["lesion_id"]) for table in tables.values()]
    assert set().union(*sides) == set(patients.values())
    assert sum(map(len, sides)) == len(set(patients.values()))
    report = (tmp_path / "out" / "report.html").read_text()
    assert "alignan" not in report
    assert 'id="calibration"' in report
