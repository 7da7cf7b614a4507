from __future__ import annotations

import math

import numpy as np

from search.engine.curves import best_so_far, extended_values, is_flat


def test_a_short_curve_grows_by_what_longer_ones_gained_after_its_end() -> None:
    values = extended_values([[0.1, 0.2, 0.5], [0.2, 0.4, 0.5], [0.3], [0.1, 0.3]])
    # After epoch 1 three trials went on and gained .1, .2 and .2; after epoch 2 two did and gained .3 and .1.
    np.testing.assert_allclose(values, [0.5, 0.5, 0.3 + 0.5 / 3 + 0.2, 0.3 + 0.2])


def test_full_curves_keep_their_best_value_whatever_comes_after() -> None:
    np.testing.assert_allclose(extended_values([[0.1, 0.6, 0.4], [0.2, 0.3, 0.3]]), [0.6, 0.3])


def test_the_order_of_trials_stopped_at_one_epoch_stays_theirs() -> None:
    values = extended_values([[0.3, 0.9], [0.2], [0.1], [0.25]])
    assert values[3] > values[1] > values[2]


def test_what_was_given_up_as_no_better_stays_as_it_was_and_has_gained_nothing_for_others() -> None:
    curves = [[0.4, 0.6, 0.6, 0.5], [0.3, 0.5, 0.5, 0.5, 0.7, 0.8], [0.2, 0.4, 0.4, 0.45]]
    np.testing.assert_allclose(extended_values(curves), [0.9, 0.8, 0.75])
    np.testing.assert_allclose(extended_values(curves, [True, False, False]), [0.6, 0.8, 0.45 + 0.3 / 2])


def test_a_curve_is_flat_whose_last_epochs_brought_no_better_one() -> None:
    assert is_flat([0.1, 0.5, 0.4, 0.5, math.nan], 3) and not is_flat([0.1, 0.5, 0.4, 0.5, math.nan], 4)
    assert not is_flat([0.5, 0.4, 0.3], 3), "it has to have a better one to be measured by"
    assert not is_flat([math.nan] * 9, 3) and not is_flat([], 3)


def test_a_curve_without_a_finite_value_is_minus_infinity_and_counts_for_no_other() -> None:
    values = extended_values([[math.nan], [], [0.1, 0.2], [0.1]])
    assert list(values[:2]) == [-math.inf, -math.inf]
    np.testing.assert_allclose(values[2:], [0.2, 0.2])


def test_a_value_that_is_no_number_leaves_the_best_so_far() -> None:
    np.testing.assert_array_equal(best_so_far([math.nan, 0.2, math.inf, 0.1]), [-math.inf, 0.2, 0.2, 0.2])
