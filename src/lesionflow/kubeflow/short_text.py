"""A recipe, policy or taxonomy as short as it can be said: each task of a run carries it, several times over.

YAML in braces, which needs no quotes (each costs eight bytes where Argo keeps it), without what is the default anyway.
"""

from typing import Any

import yaml

from lesionflow.policy import PRESETS as POLICIES
from lesionflow.policy import Policy
from lesionflow.recipe import PRESETS as RECIPES
from lesionflow.recipe import Recipe
from lesionflow.taxonomy import TAXONOMIES, Taxonomy


def short_recipe(recipe: Recipe) -> str:
    """What `load_recipe` reads as the same recipe: its name if it is a preset, which the image's code knows."""
    preset = RECIPES.get(recipe.name)
    return recipe.name if recipe == preset else _in_braces(recipe.model_dump(mode="json", exclude_defaults=True))


def short_policy(policy: Policy) -> str:
    """What `load_policy` reads as the same policy."""
    for name, preset in POLICIES.items():
        if policy == preset:
            return name
    clauses = [
        {"kind": clause.kind, **clause.model_dump(mode="json", exclude_defaults=True)} for clause in policy.clauses
    ]
    return _in_braces({**policy.model_dump(mode="json", exclude_defaults=True), "clauses": clauses})


def short_taxonomy(taxonomy: Taxonomy) -> str:
    """What `load_taxonomy` reads as the same taxonomy."""
    if taxonomy == TAXONOMIES.get(taxonomy.name):
        return taxonomy.name
    return _in_braces(taxonomy.model_dump(mode="json", exclude_defaults=True))


def _in_braces(value: dict[str, Any]) -> str:
    # Not as it is what is no ASCII: YAML folds some line breaks of Unicode.
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf")).strip()
