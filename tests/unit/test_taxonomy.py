"""What a taxonomy may say, and how a mistake in one is told."""

from pathlib import Path

import pytest
import yaml

from lesionflow import taxonomy as module
from lesionflow.errors import UserError
from lesionflow.kubeflow.short_text import short_taxonomy
from lesionflow.policy import check_classes, load_policy
from lesionflow.taxonomy import HAM10000, ISIC2019, TAXONOMIES, Taxonomy, load_taxonomy

CLASSES = [
    {"code": "mel", "name": "melanoma", "malignant": True, "aliases": ["MM"]},
    {"code": "nevus", "name": "melanocytic nevus", "malignant": False},
]
PLAIN = {"name": "plain", "classes": [{"code": "A1", "name": "one"}, {"code": "b-2", "name": "two"}]}


def test_ham10000_is_what_it_has_always_been() -> None:
    assert HAM10000.codes == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
    assert HAM10000.malignant == ("akiec", "bcc", "mel")
    assert HAM10000.questions == {"melanoma": ("mel",), "malignant": ("akiec", "bcc", "mel")}
    assert list(HAM10000.words) == list(HAM10000.codes)


def test_isic2019_has_the_eight_classes_of_its_ground_truth() -> None:
    assert [code.upper() for code in ISIC2019.codes] == ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC"]
    assert ISIC2019.malignant == ("mel", "bcc", "ak", "scc")
    assert ISIC2019.words["akiec"] == "ak"


@pytest.mark.parametrize("name", sorted(TAXONOMIES))
def test_it_comes_back_from_the_parameter_that_it_becomes(name: str) -> None:
    taxonomy = load_taxonomy(name)
    assert load_taxonomy(taxonomy.text()) == taxonomy
    assert "\n" not in taxonomy.text()
    assert short_taxonomy(taxonomy) == name
    other = taxonomy.model_copy(update={"name": "other"})
    assert load_taxonomy(short_taxonomy(other)) == other


def test_the_example_in_the_module_is_one(tmp_path: Path) -> None:
    file = tmp_path / "clinic.yaml"
    file.write_text((module.__doc__ or "").split("\n\n")[1])

    taxonomy = load_taxonomy(str(file))

    assert taxonomy.codes == ("mel", "nevus")
    assert taxonomy.words == {"mel": "mel", "mm": "mel", "nevus": "nevus"}
    assert taxonomy.columns.required == ("file", "patient", "label")


def test_classes_without_a_flag_leave_questions_open() -> None:
    taxonomy = Taxonomy.model_validate(PLAIN)
    assert taxonomy.malignant == ()
    assert taxonomy.melanoma is None
    assert taxonomy.questions == {}


def test_classes_that_are_all_malignant_leave_nothing_to_ask() -> None:
    classes = [{**each, "malignant": True} for each in PLAIN["classes"]]
    assert Taxonomy.model_validate({**PLAIN, "classes": classes}).questions == {}


def test_every_class_has_a_colour_of_its_own_up_to_twelve() -> None:
    classes = [{"code": f"c{number}", "name": "a class"} for number in range(12)]
    classes[3]["colour"] = "#123456"
    colours = Taxonomy.model_validate({"name": "twelve", "classes": classes}).colours
    assert colours["c3"] == "#123456"
    assert len(set(colours.values())) == 12


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": CLASSES[:1]}, "classes: .*at least 2"),
        ({"classes": [CLASSES[0], {"name": "x"}]}, "class 2, code: Field required"),
        ({"classes": [CLASSES[0], {**CLASSES[1], "code": "a.b"}]}, r"class 2, code: .*'a\.b'"),
        ({"classes": [CLASSES[0], {**CLASSES[1], "color": "#000000"}]}, "class 2, color: there is no such field"),
        ({"classes": [CLASSES[0], {**CLASSES[1], "aliases": ["mm"]}]}, "'mm' stands for mel and for nevus"),
        ({"classes": [CLASSES[0], {**CLASSES[1], "code": "Error"}]}, "'Error' is the name of a column"),
        ({"classes": [CLASSES[0], {"code": "x", "name": "x"}]}, "only mel say whether they are malignant"),
        ({"columns": {"lesion": "x"}}, "columns.lesion: there is no such field"),
        ({"columns": {"image": "x", "diagnosis": "X"}}, "cannot be both the image and the diagnosis"),
        ({"columns": {"image": " "}}, "a column needs a name"),
        ({"name": "ham10000"}, "other classes than the built-in ham10000"),
        ({"name": "no name"}, "name: .*'no name'"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_class(tmp_path: Path, change: dict[str, object], says: str) -> None:
    file = tmp_path / "taxonomy.yaml"
    file.write_text(yaml.safe_dump({"name": "clinic", "classes": CLASSES, **change}))

    with pytest.raises(UserError, match=says) as raised:
        load_taxonomy(str(file))

    assert str(file) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_name_that_is_none_lists_those_that_there_are() -> None:
    with pytest.raises(
        UserError, match="no taxonomy 'ham'; expected one of ham10000, isic2019, or a YAML or JSON file"
    ):
        load_taxonomy("ham")


@pytest.mark.parametrize(
    ("clause", "says"),
    [
        ("{kind: class, class: nv, metric: recall, at_least: 0.5}", "the class 'nv', .* plain does not have"),
        ("{kind: calibration, metric: ece, class: nv, at_most: 0.5}", "expected one of A1, b-2"),
        ("{kind: operating_point, question: malignant, metric: auc, at_least: 0.9}", "asks what is malignant"),
        ("{kind: subgroup, field: sex, group: male, metric: malignant_auc, at_least: 0.9}", "asks what is malignant"),
    ],
)
def test_a_policy_asks_only_what_the_classes_can_answer(clause: str, says: str) -> None:
    policy = load_policy(f"clauses:\n  - {{kind: average, metric: accuracy, at_least: 0.5}}\n  - {clause}\n")

    check_classes(policy, HAM10000)
    with pytest.raises(UserError, match=says):
        check_classes(policy, Taxonomy.model_validate(PLAIN))


def test_a_changed_copy_is_asked_anew() -> None:
    assert HAM10000.index["vasc"] == 6
    assert HAM10000.model_copy(update={"classes": ISIC2019.classes}).codes == ISIC2019.codes
