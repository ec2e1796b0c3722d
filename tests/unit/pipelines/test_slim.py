"""What a compiled pipeline leaves out, and that its steps are the same without it."""

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionflow.components.gate.component import gate
from lesionflow.kubeflow.compile import compile_pipeline
from lesionflow.kubeflow.short_text import short_policy, short_recipe
from lesionflow.kubeflow.slim import without_comments
from lesionflow.policy import DEFAULT, Average, OfClass, OperatingPoint, Policy, Subgroup, floor, load_policy
from lesionflow.profile import load_profile
from lesionflow.recipe import PRESETS, Augmentation, Phase, Recipe, load_recipe


@pytest.fixture(scope="module", params=[None, 3])
def spec(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The training pipeline, and a cross-validation."""
    file = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compile_pipeline(file, load_profile("generic"), {}, kubernetes_manifest=False, folds=request.param)
    return next(yaml.safe_load_all(file.read_text()))


def sources(spec: Any) -> dict[str, str]:
    executors = spec["deploymentSpec"]["executors"]
    return {name: executor["container"]["command"][-1] for name, executor in executors.items()}


def test_pods_carry_no_descriptions_docstrings_and_comments(spec: Any) -> None:
    for name, source in sources(spec).items():
        assert '"""' not in source, name
        assert "#" not in source, name
        assert "Args:" not in source, name
    for name, component in spec["components"].items():
        assert "description" not in json.dumps(component), name


def test_the_descriptions_of_the_pipelines_parameters_stay(spec: Any) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert parameters["source"]["description"].startswith("folder, gs:// or s3:// prefix")
    assert all("description" in parameter for parameter in parameters.values())


def test_each_step_does_what_its_adapter_says(spec: Any) -> None:
    """The same statements and parameters as those of the adapter's file, but for the docstring."""
    for source in sources(spec).values():
        (carried,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
        module = __import__(f"lesionflow.components.{carried.name}.component", fromlist=["component"])
        whole = ast.parse(inspect.getsource(module))
        original = next(n for n in whole.body if isinstance(n, ast.FunctionDef) and n.name == carried.name)
        assert ast.dump(carried.args) == ast.dump(original.args)
        assert [ast.dump(n) for n in carried.body] == [ast.dump(n) for n in original.body[1:]]


def test_kfp_runs_a_step_without_its_comments(spec: Any, tmp_path: Path) -> None:
    """The gate, as a pod starts it, on an evaluation that is none: bad input, so exit status 2."""
    module = tmp_path / "ephemeral_component.py"
    module.write_text(sources(spec)["exec-gate"])
    (tmp_path / "evaluation.json").write_text("[]")
    artifact = {"name": "e", "uri": "", "metadata": {}, "type": {"instanceSchema": ""}}
    given_input = {
        "inputs": {"artifacts": {"evaluation": {"artifacts": [artifact | {"uri": str(tmp_path / "evaluation.json")}]}}},
        "outputs": {
            "parameters": {"Output": {"outputFile": str(tmp_path / "output")}},
            "outputFile": str(tmp_path / "metadata.json"),
        },
    }
    command = [sys.executable, "-m", "kfp.dsl.executor_main", "--component_module_path", str(module)]
    command += ["--executor_input", json.dumps(given_input), "--function_to_execute", gate.name]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"_KFP_RUNTIME": "true", "PATH": ""}
    )
    assert ended.returncode == 2, ended.stderr
    assert "gate: " in ended.stderr


def test_what_looks_like_a_comment_and_is_none_stays() -> None:
    source = 'def f(a="# no comment"):\n    """Gone."""\n    # gone\n    return """kept""" + a  # gone\n'
    namespace: dict[str, Any] = {}
    exec(without_comments(source), namespace)
    assert namespace["f"]() == "kept# no comment"
    assert "one" not in without_comments(source).replace("no comment", "")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_sent_by_its_name(name: str) -> None:
    assert short_recipe(load_recipe(name)) == name


def test_the_default_policy_is_sent_by_its_name() -> None:
    assert short_policy(DEFAULT) == "default"
    assert short_policy(floor("macro_f1", 0.999)) == "{clauses: [{kind: average, metric: macro_f1, at_least: 0.999}]}"


def test_a_preset_that_was_changed_is_not_taken_for_it() -> None:
    changed = PRESETS["published"].model_copy(update={"input_size": 96})
    assert load_recipe(short_recipe(changed)) == changed


PHASES = st.builds(
    Phase,
    epochs=st.integers(1, 99),
    learning_rate=st.floats(1e-9, 1, exclude_min=True),
    trainable=st.floats(0, 1),
)
RECIPES = st.builds(
    Recipe,
    name=st.text(max_size=20),
    input_size=st.integers(32, 600),
    balance=st.sampled_from(["none", "oversample", "sqrt"]),
    mix=st.sampled_from(["none", "cutmix"]),
    augmentation=st.builds(Augmentation, rotation=st.floats(0, 180), vertical_flip=st.booleans()),
    head=PHASES,
    full=PHASES,
)


@settings(deadline=None)
@given(RECIPES)
def test_a_recipe_is_read_as_it_was_sent(recipe: Recipe) -> None:
    assert load_recipe(short_recipe(recipe)) == recipe


CLAUSES = st.one_of(
    st.builds(Average, metric=st.just("macro_f1"), by=st.sampled_from(["value", "lower"]), at_least=st.floats(0.01, 1)),
    st.builds(OfClass, label=st.sampled_from(["nv", "mel"]), metric=st.just("recall"), at_least=st.floats(0.01, 1)),
    st.builds(
        OperatingPoint,
        question=st.just("melanoma"),
        metric=st.just("sensitivity"),
        at=st.just("specificity 0.9"),
        at_least=st.floats(0.01, 1),
    ),
    st.builds(
        Subgroup,
        field=st.just("localization"),
        group=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20),
        metric=st.just("accuracy"),
        at_least=st.floats(0.01, 1),
    ),
)


@settings(deadline=None)
@given(st.lists(CLAUSES, max_size=4))
def test_a_policy_is_read_as_it_was_sent(clauses: list[Any]) -> None:
    policy = Policy(clauses=(Average(metric="macro_f1", at_least=0.6), *clauses))
    assert load_policy(short_policy(policy)) == policy


def test_a_line_break_of_unicode_in_a_name_survives() -> None:
    recipe = Recipe(name="a\x85b\u2028c é", input_size=96)
    assert load_recipe(short_recipe(recipe)) == recipe


def test_a_recipe_is_sent_shorter_than_as_json() -> None:
    recipe = PRESETS["published"].model_copy(update={"name": "mine", "input_size": 96})
    assert short_recipe(recipe) == "{name: mine, input_size: 96}"
