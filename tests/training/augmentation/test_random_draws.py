"""Random numbers: one value an image, within the limits, from one call of the generator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def test_values_are_within_their_limits_and_differ_from_image_to_image(make_draws, to_numpy):
    draws = make_draws(500)
    between, around, factor = (to_numpy(v) for v in (draws.between(2, 5), draws.around(3), draws.factor(0.5)))
    for values, low, high in ((between, 2, 5), (around, -3, 3), (factor, 1 / 1.5, 1.5)):
        assert values.shape == (500,)
        assert values.dtype == np.float32
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < values.max() <= high
    assert np.mean(factor < 1) == pytest.approx(0.5, abs=0.07)
    assert abs(np.corrcoef(between, around)[0, 1]) < 0.15


def test_nothing_to_vary_varies_nothing(make_draws, to_numpy):
    draws = make_draws(5)
    assert (to_numpy(draws.around(0)) == 0).all()
    assert (to_numpy(draws.factor(0)) == 1).all()


@pytest.mark.parametrize("probability", [0, 0.3, 1])
def test_chance_comes_as_often_as_asked(make_draws, to_numpy, probability):
    chosen = to_numpy(make_draws(1000).chance(probability))
    assert set(chosen) <= {0.0, 1.0}
    assert chosen.mean() == pytest.approx(probability, abs=0.05 if 0 < probability < 1 else 0)


@settings(max_examples=30, deadline=None)
@given(count=st.sampled_from([2, 3, 8, 33]), seed=st.integers(0, 1000))
def test_nobody_is_its_own_partner_and_everybody_is_someone_s(make_draws, to_numpy, count, seed):
    partners = to_numpy(make_draws(count, seed).partners())
    assert sorted(partners) == list(range(count))
    assert (partners != np.arange(count)).all()


def test_alone_in_a_batch_one_is_its_own_partner(make_draws, to_numpy):
    assert to_numpy(make_draws(1).partners()).tolist() == [0]


def test_partners_differ_from_batch_to_batch(make_draws, to_numpy):
    assert len({to_numpy(make_draws(8, seed).partners())[0] for seed in range(50)}) == 7


def test_one_call_of_the_generator_and_no_value_twice(make_draws, to_numpy):
    import keras

    from asl_edge.training.augmentation.random_draws import RandomDraws

    generator = keras.random.SeedGenerator(3)
    before = to_numpy(generator.state)
    draws = RandomDraws(4, generator)
    sampled = np.stack([to_numpy(draws.between(0, 1)) for _ in range(48)])
    assert len(np.unique(sampled)) == sampled.size
    assert (to_numpy(generator.state) - before).tolist() == [0, 1]
    with pytest.raises(RuntimeError, match="no more than 48"):
        draws.between(0, 1)
