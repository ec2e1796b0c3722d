"""What the pipeline may be asked to do on a cluster, checked before anything is sent."""

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from lesionflow.errors import UserError
from lesionflow.kubeflow.short_text import short_policy, short_recipe, short_taxonomy
from lesionflow.models.published_weights import check_published
from lesionflow.pipelines.cross_validation import check_folds
from lesionflow.policy import PRESETS as POLICIES
from lesionflow.policy import Policy, check_classes, check_pooled, load_policy
from lesionflow.recipe import PRESETS, load_recipe
from lesionflow.runtime.container_image import WEIGHTS_FOLDER
from lesionflow.storage import Address
from lesionflow.taxonomy import HAM10000, TAXONOMIES, Taxonomy, load_taxonomy

_PLACES = {
    "source": (),
    "registry": (),
    "checkpoints": ("",),
    "duplicate_pairs": ("",),
    "fixed_test": ("",),
}
"""Parameters that name something which a pod has to reach, and words that mean something else there."""


def check_values(parameters: Mapping[str, Any], options: Mapping[str, str] | None = None) -> None:
    """Refuse what a run on a cluster would fail of, hours later.

    Args:
        parameters: of the training pipeline, each of its declared type; those left out have good defaults.
        options: parameter -> what the user calls it, where that is something else.

    Raises:
        UserError: a path of this machine, a recipe or taxonomy that is none, or a gate that cannot judge.
    """

    def called(name: str) -> str:
        return (options or {}).get(name, name)

    for name, words in _PLACES.items():
        if name in parameters:
            check_uri(called(name), parameters[name], words)
    if "weights" in parameters:
        _check_weights(called("weights"), parameters["weights"])
    if "recipe" in parameters:
        _check_sent(called("recipe"), parameters["recipe"], PRESETS)
        recipe = load_recipe(parameters["recipe"])
        if parameters.get("weights") == "imagenet":
            check_published(recipe.backbone)
    classes = HAM10000
    if "taxonomy" in parameters:
        _check_sent(called("taxonomy"), parameters["taxonomy"], TAXONOMIES)
        classes = load_taxonomy(parameters["taxonomy"])
    if "policy" in parameters:
        _check_sent(called("policy"), parameters["policy"], POLICIES)
        policy = load_policy(parameters["policy"])
        check_classes(policy, classes)
        if "registry" not in parameters:  # a cross-validation: it has none, and the training pipeline needs one
            check_pooled(policy)


def checked_parameters(
    values: Mapping[str, Any],
    recipe: str,
    policy: Policy,
    taxonomy: Taxonomy,
    folds: int | None,
    registry: str | None,
    fixed_test: str,
) -> dict[str, Any]:
    """The parameters of a run, as the options of `submit` ask for it.

    Args:
        values: those parameters that training and cross-validation have in common.
        recipe: a preset's name, or a file of this machine.
        policy: of the gate.
        taxonomy: of the classes.
        folds: of a cross-validation; None for a training.
        registry: for promoted models; a training needs one, a cross-validation takes none.
        fixed_test: list of the test images; empty for none.

    Raises:
        UserError: an option is missing or wrong, or a run on a cluster would fail of it.
    """
    parameters = {
        **values,
        "recipe": short_recipe(load_recipe(recipe)),
        "policy": short_policy(policy),
        "taxonomy": short_taxonomy(taxonomy),
    }
    if folds is not None:
        check_folds(folds, fixed_test, registry)
    elif registry is None:
        raise UserError("--registry is missing; give the gs:// or s3:// prefix for promoted models, or --folds.")
    else:
        parameters |= {"registry": registry, "fixed_test": fixed_test}
    options = {name: f"--{name.replace('_', '-')}" for name in parameters}
    check_values(parameters, options | {"source": "--data"})
    return parameters


def with_contents(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Put what a recipe's, policy's or taxonomy's file says where it is named, as pods see no file of this machine.

    Raises:
        UserError: the file is none of these.
    """
    read = dict(parameters)
    for name, contents in (("recipe", _recipe_in), ("policy", _policy_in), ("taxonomy", _taxonomy_in)):
        value = read.get(name)
        if isinstance(value, str) and value.endswith((".yaml", ".yml", ".json")) and Path(value).is_file():
            read[name] = contents(value)
    return read


def _recipe_in(file: str) -> str:
    return short_recipe(load_recipe(file))


def _policy_in(file: str) -> str:
    return short_policy(load_policy(file))


def _taxonomy_in(file: str) -> str:
    return short_taxonomy(load_taxonomy(file))


def check_uri(option: str, uri: str, words: tuple[str, ...] = ()) -> str:
    """Refuse a place that pods cannot see.

    Args:
        option: where `uri` came from.
        uri: an object store's URI, or one of `words`.
        words: that have a meaning of their own.

    Raises:
        UserError: it is a path of this machine, or a scheme that the steps do not read.
    """
    if uri in words:
        return uri
    try:
        is_remote = bool(uri) and Address.parse(uri).is_remote
    except UserError as error:
        raise UserError(f"{option} {error}") from None
    if is_remote:
        return uri
    among = f"{', '.join(words)}, " if any(words) else ""
    raise UserError(
        f"{option} {uri} is a path of this machine, which pods cannot see; expected {among}gs://bucket/... or "
        "s3://bucket/... ."
    )


def _check_weights(option: str, weights: str) -> None:
    if not weights.startswith(WEIGHTS_FOLDER):
        check_uri(option, weights, words=("imagenet", "none"))
    elif ".." in PurePosixPath(weights).parts:
        raise UserError(f"{option} {weights} leads out of its folder; expected a file below {WEIGHTS_FOLDER}.")


def _check_sent(option: str, text: str, presets: Collection[str]) -> None:
    """A preset, or the recipe, policy or taxonomy itself: pods see no file of this machine."""
    if text not in presets and "\n" not in text and not text.lstrip().startswith("{"):
        raise UserError(
            f"{option} {text} is no preset, and there is no such file here; expected one of {', '.join(presets)}, "
            f"a YAML or JSON file, or the {option.lstrip('-')} itself as JSON."
        )
