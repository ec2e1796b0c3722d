"""Metadata says the same in whatever form it comes."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionflow.data.layouts import layout_of
from lesionflow.data.metadata import Metadata, Parsed, parse_metadata
from lesionflow.data.source import Entry
from lesionflow.data.table_file import TableFile
from lesionflow.taxonomy import HAM10000

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")

rows = st.lists(
    st.fixed_dictionaries(
        {
            "lesion_id": st.integers(0, 9).map("HAM_{:07d}".format),
            "image_id": st.integers(0, 10**6).map("ISIC_{:07d}".format),
            "dx": st.sampled_from(HAM10000.codes),
            "dx_type": st.sampled_from(["histo", "follow_up", "consensus"]),
            "age": st.one_of(st.none(), st.integers(0, 120).map(float)),
            "sex": st.sampled_from(["male", "female", "unknown", None]),
            "localization": st.sampled_from(["lower extremity", "back", None, "unknown"]),
        }
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row["image_id"],
)
layouts = st.fixed_dictionaries(
    {
        "delimiter": st.sampled_from(",\t;"),
        "bom": st.booleans(),
        "newline": st.sampled_from(["\n", "\r\n"]),
        "quoting": st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
        "columns": st.permutations([*COLUMNS, "unrelated"]),
        "upper": st.booleans(),
        "padding": st.sampled_from(["", " "]),
        "missing": st.sampled_from(["", "NA", "nan", "NULL"]),
        "extension": st.sampled_from(["", ".jpg", ".JPG"]),
    }
)


def write(table: list[dict[str, Any]], layout: dict[str, Any]) -> bytes:
    text = io.StringIO(newline="")
    out = csv.writer(text, delimiter=layout["delimiter"], lineterminator=layout["newline"], quoting=layout["quoting"])
    out.writerow([name.upper() if layout["upper"] else name for name in layout["columns"]])
    for row in table:
        cells = {**row, "unrelated": "x", "image_id": row["image_id"] + layout["extension"]}
        if layout["upper"]:
            cells["dx"] = cells["dx"].upper()
        values = [layout["missing"] if cells[name] is None else cells[name] for name in layout["columns"]]
        out.writerow([f"{value}{layout['padding']}" for value in values])
    return (b"\xef\xbb\xbf" if layout["bom"] else b"") + text.getvalue().encode()


def parse(data: bytes, groupings: bytes | None = None) -> Parsed:
    def file(name: str, content: bytes) -> TableFile:
        found = TableFile.sniff(Entry(name, "", len(content), None), content)
        assert found is not None
        return found

    table = file("meta.csv", data)
    layout = layout_of(table, HAM10000)
    assert layout is not None
    companion = file("groups.csv", groupings) if groupings else None
    return parse_metadata(Metadata(table, layout, companion, HAM10000))


def cells(parsed: Parsed) -> list[dict[str, Any]]:
    table = parsed.rows[list(COLUMNS)].astype(object)
    return table.where(table.notna(), None).to_dict("records")


@settings(max_examples=60, deadline=None)
@given(rows, layouts)
def test_every_layout_of_a_table_says_the_same(table: list[dict[str, Any]], layout: dict[str, Any]) -> None:
    parsed = parse(write(table, layout))
    assert parsed.rejected == []
    assert parsed.total == len(table)
    assert cells(parsed) == sorted(table, key=lambda row: row["image_id"])


@settings(max_examples=40, deadline=None)
@given(rows, st.data())
def test_a_bad_row_is_rejected_with_its_line_and_no_other(table: list[dict[str, Any]], data: st.DataObject) -> None:
    bad = data.draw(st.integers(0, len(table) - 1))
    column, value, reason = data.draw(
        st.sampled_from(
            [
                ("dx", "scc", "unknown label"),
                ("dx", None, "unknown label"),
                ("age", 121, "impossible age"),
                ("age", "fifty", "impossible age"),
                ("sex", "m", "unknown sex"),
                ("lesion_id", None, "no lesion id"),
            ]
        )
    )
    broken = [{**row, column: value} if index == bad else row for index, row in enumerate(table)]
    plain = {"delimiter": ",", "bom": False, "newline": "\n", "quoting": csv.QUOTE_MINIMAL, "columns": COLUMNS}
    parsed = parse(write(broken, {**plain, "upper": False, "padding": "", "missing": "", "extension": ""}))
    (rejected,) = parsed.rejected
    assert rejected.item == table[bad]["image_id"]
    assert rejected.file == f"meta.csv, line {bad + 2}"
    assert rejected.reason.startswith(reason)
    assert sorted(parsed.rows["image_id"]) == sorted(row["image_id"] for row in table if row is not table[bad])


@settings(max_examples=30, deadline=None)
@given(rows)
def test_one_hot_columns_say_the_same_as_labels(table: list[dict[str, Any]]) -> None:
    truth = ["image,MEL,NV,BCC,AKIEC,BKL,DF,VASC"]
    order = truth[0].lower().split(",")[1:]
    for row in table:
        truth.append(",".join([row["image_id"], *("1.0" if row["dx"] == dx else "0.0" for dx in order)]))
    groupings = "\n".join(["image,lesion_id", *(f"{row['image_id']},{row['lesion_id']}" for row in table)])
    parsed = parse("\n".join(truth).encode(), groupings.encode())
    assert parsed.rejected == []
    assert "says nothing about lesions" not in str(parsed.warnings)
    expected = {row["image_id"]: (row["dx"], row["lesion_id"]) for row in table}
    found = parsed.rows.set_index("image_id")[["dx", "lesion_id"]]
    assert {image_id: tuple(row) for image_id, row in found.iterrows()} == expected


@pytest.mark.parametrize("values", ["0,0,0,0,0,0,0", "1,1,0,0,0,0,0", "x,0,0,0,0,0,0"])
def test_one_hot_rows_without_exactly_one_label_are_rejected(values: str) -> None:
    parsed = parse(f"image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\nISIC_1,{values}\nISIC_2,0,1,0,0,0,0,0\n".encode())
    assert [rejected.item for rejected in parsed.rejected] == ["ISIC_1"]
    assert parsed.rows["dx"].tolist() == ["nv"]


def test_repeated_rows_count_once_and_disputed_ones_not_at_all() -> None:
    parsed = parse(b"image_id,lesion_id,dx\na,l,nv\na,l,nv\nb,l,nv\nb,l,mel\nc,m,df\n")
    assert parsed.rows["image_id"].tolist() == ["a", "c"]
    assert [(rejected.item, rejected.file) for rejected in parsed.rejected] == [
        ("a", "meta.csv, line 3"),
        ("b", "meta.csv, line 4"),
        ("b", "meta.csv, line 5"),
    ]


def test_a_lesion_with_two_diagnoses_is_a_warning() -> None:
    parsed = parse(b"image_id,lesion_id,dx\na,l,nv\nb,l,mel\n")
    assert parsed.warnings == ["Lesions with more than one diagnosis: 1 (the first: l)."]
