"""Votes on pairs of images: as many as there are, counted as if each pair were looked at alone."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionflow.data.near_duplicates import votes
from lesionflow.data.near_duplicates.votes import VOTES, Votes

Look = tuple[float, float]  # diameter, direction


def elected(images: int, mirrored: bool, cast: list[tuple[int, int, Look, Look]]) -> list[list[int]]:
    ballot = Votes(images, mirrored)
    for one, other, look, other_look in cast:
        looks = np.array([look], np.float32), np.array([other_look], np.float32)
        ballot.add(np.array([one], np.int32), np.array([other], np.int32), *looks)
    return ballot.pairs().tolist()


@pytest.mark.parametrize("mirrored", [False, True])
def test_votes_of_both_images_of_a_pair_count_together(mirrored: bool):
    """The second image is the first one turned by 100 degrees and zoomed by 3; two matches each way."""
    back = 100.0 if mirrored else -100.0
    cast = [(3, 5, (2, 0), (6, 100)), (5, 3, (6, 0), (2, back))] * 2
    assert elected(7, mirrored, cast) == [[3, 5]]
    assert elected(7, mirrored, cast[:3]) == []
    assert elected(7, mirrored, [*cast[:3], (5, 3, (6, 0), (2, back + 180))]) == []
    assert elected(7, mirrored, [*cast[:3], (5, 3, (0.5, 0), (2, back))]) == []
    assert elected(7, mirrored, [*cast[:3], (4, 3, (6, 0), (2, back))]) == []


@pytest.mark.parametrize("turn", range(0, 360, 10))
def test_no_rotation_or_zoom_lies_on_the_edge_of_all_bins(turn: int):
    for zoom in (0.3, 0.5, 0.707, 1, 1.414, 2, 3):
        cast = [(0, 1, (4, 0), (4 * zoom * near, turn + off)) for near, off in itertools.product((0.98, 1.02), (-5, 5))]
        assert elected(2, False, cast) == [[0, 1]]


@pytest.mark.slow
@given(data=st.data(), images=st.integers(2, 70), mirrored=st.booleans(), waiting=st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_neither_order_nor_other_pairs_change_who_is_elected(
    data: st.DataObject, images: int, mirrored: bool, waiting: int
):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    pairs = random.integers(0, images, (200, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]] % [min(images, 5), images]
    pairs = pairs[pairs[:, 0] != pairs[:, 1]].tolist()
    looks = random.choice([(2.0, 0.0), (2.0, 100.0), (7.0, 0.0)], (len(pairs), 2)).tolist()
    cast = [(one, other, look, there) for (one, other), (look, there) in zip(pairs, looks, strict=True)]
    alone: list[list[int]] = []
    for low, high in itertools.combinations(range(images), 2):
        own = [vote for vote in cast if {vote[0], vote[1]} == {low, high}]
        if len(own) >= VOTES:
            alone += elected(images, mirrored, own)
    random.shuffle(cast)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(votes, "_UNSORTED", waiting)
        assert elected(images, mirrored, cast) == alone


def test_without_votes_nobody_is_elected():
    assert Votes(9, False).pairs().shape == (0, 2)
