"""Which lesions belong together, and which subset each such group goes to."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from lesionflow.errors import UserError
from lesionflow.taxonomy import Taxonomy


def join_groups(metadata: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> "pd.Series[str]":
    """Join lesions that share a duplicate pair or identical image content, directly or through others.

    Args:
        metadata: one row per image, with image_id, lesion_id and sha256.
        pairs: image ids that show the same thing.

    Returns:
        Per row the name of its group: the alphabetically first lesion in it.
    """
    lesions = DisjointSet(metadata["lesion_id"])
    lesion_of = dict(zip(metadata["image_id"], metadata["lesion_id"], strict=True))
    for one, other in pairs:
        lesions.merge(lesion_of[one], lesion_of[other])
    for _, same in metadata[metadata["sha256"].duplicated(keep=False)].groupby("sha256")["lesion_id"]:
        for lesion in same:
            lesions.merge(same.iloc[0], lesion)
    name_of = {lesion: min(group) for group in lesions.subsets() for lesion in group}
    return metadata["lesion_id"].map(name_of)


def assign_groups(
    dx: "pd.Series[str]", groups: "pd.Series[str]", shares: Mapping[str, float], seed: int, taxonomy: Taxonomy
) -> "pd.Series[str]":
    """Send whole groups to subsets so that every subset gets its share of every class's images.

    Why not scikit-learn's StratifiedGroupKFold: it makes subsets of equal size only, so 70/10/20 would be
    glued together from ten subsets of a dozen images of the rarest class each, and it lets a subset end up
    without a class. Here classes take turns, the rarest first (as in Sechidis et al. 2011, "On the
    stratification of multi-label data"), which also settles groups that hold several classes.

    Args:
        dx: label of each image.
        groups: group of each image.
        shares: subset -> its share of each class's images; they sum to 1.
        seed: another seed gives another split; the order of the rows does not matter.
        taxonomy: of the classes, all of which every subset gets.

    Returns:
        The subset of each image.

    Raises:
        UserError: a class has fewer groups than there are subsets.
    """
    rng = np.random.default_rng(seed)
    counts = pd.crosstab(groups, dx).reindex(columns=list(taxonomy.codes), fill_value=0)  # sorted by group name
    _require_enough_groups(counts, len(shares))
    sizes = counts.to_numpy(dtype=np.int64)  # groups x classes
    targets = np.outer(list(shares.values()), sizes.sum(axis=0))  # subsets x classes, images
    filled = np.zeros_like(targets)
    fold_of = np.full(len(sizes), -1)
    for label in np.argsort(sizes.sum(axis=0), kind="stable"):
        waiting = rng.permutation(np.flatnonzero((fold_of < 0) & (sizes[:, label] > 0)))
        # The largest first: the small ones even out what these leave.
        waiting = waiting[np.argsort(-sizes[waiting, label], kind="stable")]
        for left, group in zip(range(len(waiting), 0, -1), waiting, strict=True):
            chances = _chances(targets[:, label], filled[:, label], int(sizes[group, label]), left)
            fold_of[group] = rng.choice(len(chances), p=chances)
            filled[fold_of[group]] += sizes[group]
        _require_all_subsets(filled[:, label], taxonomy.codes[label], list(shares))
    names = pd.Series(list(shares), dtype="str")
    return groups.map(dict(zip(counts.index, names.iloc[fold_of], strict=True)))


def _chances(target: NDArray[np.float64], filled: NDArray[np.float64], size: int, left: int) -> NDArray[np.float64]:
    """Probability of each subset for a group of `size` images of one class, when `left` groups of it wait.

    In proportion to what a subset still needs, not "wherever most is needed": that would send every
    lesion that was photographed often to the training subset, and test on the others only.
    """
    empty = filled == 0
    if left <= empty.sum():
        return empty / empty.sum()
    need = np.maximum(target - filled, 0)
    if (need >= size).any():
        need = np.where(need >= size, need, 0)
    elif not need.any():  # a group of several classes has overfilled a subset
        need = filled / target == (filled / target).min()
    return need / need.sum()


def _require_enough_groups(counts: pd.DataFrame, subsets: int) -> None:
    present = (counts > 0).sum()
    for label in counts.columns:
        if present[label] < subsets:
            raise UserError(
                f"The class {label} has {present[label]} separate lesions to split; {subsets} subsets need at least "
                f"{subsets} (duplicates count as one lesion, and a fixed test set is set aside): add images of {label}."
            )


def _require_all_subsets(filled: NDArray[np.float64], label: str, subsets: list[str]) -> None:
    for subset, images in zip(subsets, filled, strict=True):
        if not images:
            raise UserError(
                f"No lesion of the class {label} is left for the {subset} subset, because pairs join its lesions to "
                f"those of other classes; add images of {label} or check the duplicate pairs."
            )
