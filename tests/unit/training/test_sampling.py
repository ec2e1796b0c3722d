"""Which rows an epoch draws."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lesionflow.training.sampling import epoch_rows

seeds = st.integers(0, 2**32 - 1)


@st.composite
def whole_draws(draw: st.DrawFn) -> np.ndarray:
    """Draws per row that sum to the number of rows, as the balance step writes them."""
    raw = np.array(draw(st.lists(st.floats(0.01, 50), min_size=1, max_size=60)))
    return raw * len(raw) / raw.sum()


@given(whole_draws(), seeds, st.integers(0, 100))
def test_an_epoch_has_as_many_rows_as_the_table_and_each_row_its_draws(draws: np.ndarray, seed: int, epoch: int):
    rows = epoch_rows(draws, seed, epoch)
    counts = np.bincount(rows, minlength=len(draws))
    assert len(rows) == len(draws)
    # Float draws within 1e-9 of a whole number count as that number.
    assert (counts >= np.floor(draws + 1e-9) - (np.abs(draws - np.round(draws)) < 1e-9)).all()
    assert (counts <= np.ceil(draws)).all()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), seeds)
def test_whole_draws_are_honoured_exactly_in_every_epoch(draws: list[int], seed: int):
    rows = epoch_rows(np.array(draws, float), seed, 0)
    assert np.bincount(rows, minlength=len(draws)).tolist() == draws


def test_rows_are_drawn_in_proportion_over_many_epochs():
    draws = np.array([0.1, 0.35, 2.05, 1.5])
    epochs = 2000
    counts = sum(np.bincount(epoch_rows(draws, 1, epoch), minlength=4) for epoch in range(epochs))
    np.testing.assert_allclose(counts / epochs, draws, atol=0.04)


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else():
    draws = np.ones(50)
    first = epoch_rows(draws, 7, 3)
    np.random.default_rng().random()
    np.testing.assert_array_equal(first, epoch_rows(draws, 7, 3))
    assert (first != epoch_rows(draws, 7, 4)).any()
    assert (first != epoch_rows(draws, 8, 3)).any()
