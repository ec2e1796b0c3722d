"""What the pipeline may be asked to do on a cluster, judged before anything is sent."""

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from lesionflow.errors import UserError
from lesionflow.models.published_weights import check_published
from lesionflow.policy import PRESETS as POLICIES
from lesionflow.policy import check_pooled, load_policy
from lesionflow.recipe import PRESETS, load_recipe
from lesionflow.runtime.container_image import WEIGHTS_FOLDER
from lesionflow.storage import is_remote

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
        UserError: a path of this machine, a recipe that is none, or a gate that cannot judge.
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
    if "policy" in parameters:
        _check_sent(called("policy"), parameters["policy"], POLICIES)
        policy = load_policy(parameters["policy"])
        if "registry" not in parameters:  # a cross-validation: it has none, and the training pipeline needs one
            check_pooled(policy)


def check_uri(option: str, uri: str, words: tuple[str, ...] = ()) -> str:
    """Refuse a place that pods cannot see.

    Args:
        option: where `uri` came from.
        uri: an object store's URI, or one of `words`.
        words: that have a meaning of their own.

    Raises:
        UserError: it is a path of this machine, or a scheme that the steps do not read.
    """
    if uri in words or (is_remote(uri) and urlsplit(uri).netloc):
        return uri
    among = f"{', '.join(words)}, " if any(words) else ""
    reason = "names no bucket" if is_remote(uri) else "is a path of this machine, which pods cannot see"
    raise UserError(f"{option} {uri} {reason}; expected {among}gs://bucket/... or s3://bucket/... .")


def _check_weights(option: str, weights: str) -> None:
    if not weights.startswith(WEIGHTS_FOLDER):
        check_uri(option, weights, words=("imagenet", "none"))
    elif ".." in PurePosixPath(weights).parts:
        raise UserError(f"{option} {weights} leads out of its folder; expected a file below {WEIGHTS_FOLDER}.")


def _check_sent(option: str, text: str, presets: Collection[str]) -> None:
    """A preset, or the recipe or policy itself: pods see no file of this machine."""
    if text not in presets and "\n" not in text and not text.lstrip().startswith("{"):
        raise UserError(
            f"{option} {text} is no preset, and pods see no file of this machine; expected one of "
            f"{', '.join(presets)}, or the {option.lstrip('-')} itself as JSON."
        )
