"""Recipes from names, files and text."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lesionflow.errors import UserError
from lesionflow.models.backbones import BACKBONES
from lesionflow.recipe import PRESETS, PhaseName, Recipe, load_recipe

phases = st.fixed_dictionaries(
    {"epochs": st.integers(1, 99), "learning_rate": st.floats(1e-7, 1), "trainable": st.floats(0, 1)}
)
recipes = st.fixed_dictionaries(
    {},
    optional={
        "backbone": st.sampled_from(sorted(BACKBONES)),
        "input_size": st.integers(32, 600),
        "batch_size": st.integers(1, 256),
        "dropout": st.floats(0, 0.99),
        "head": phases,
        "partial": phases,
        "full": phases,
    },
)


@given(recipes)
def test_a_recipe_reads_the_same_from_yaml_json_and_python(fields: dict[str, object]):
    expected = Recipe.model_validate(fields)
    assert load_recipe("\n" + yaml.safe_dump({"name": "custom", **fields})) == expected
    assert load_recipe(json.dumps(fields)) == expected
    assert load_recipe(expected.model_dump_json()) == expected


@given(st.text())
def test_any_text_is_a_recipe_or_a_user_error(text: str):
    with suppress(UserError):
        load_recipe(text)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_load_by_name_and_have_all_phases(name: str):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert [recipe.phase(phase).epochs >= 1 for phase in PhaseName] == [True] * 3


def test_a_file_is_read(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("input_size: 64\nhead: {epochs: 1, learning_rate: 0.01, trainable: 0}\n")
    recipe = load_recipe(str(tmp_path / "mine.yaml"))
    assert (recipe.input_size, recipe.head.epochs, recipe.partial) == (64, 1, Recipe().partial)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("absent", "no recipe 'absent'; expected one of"),
        ("{input_size: 7}", "input_size: .* received 7"),
        ("{backbone: vgg}", "backbone: .*'efficientnetv2b0'.* received 'vgg'"),
        ("{epochs: 3}", "epochs: there is no such field, only name, backbone, .*, full\\."),
        ("{augmentation: {rotate: 3}}", "augmentation.rotate: there is no such field, only rotation, "),
        ("{head: {epochs: 0, learning_rate: 1, trainable: 0}}", "head.epochs"),
        ("{full: {epochs: 1, learning_rate: .nan, trainable: 0}}", "full.learning_rate"),
        ("{balance: [sqrt, oversample]}", "balance: "),
        ("{ema: 1.0}", "ema: .* received 1.0"),
        ("{augmentation: {crop: 0}}", "augmentation.crop: .* received 0"),
        ("{", "not valid YAML"),
        ("- a\n- b\n", "recipe: "),
    ],
)
def test_a_bad_recipe_is_told_by_field(text: str, words: str):
    with pytest.raises(UserError, match=words):
        load_recipe(text)
