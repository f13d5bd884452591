"""What must every aggregation rule do? Subclass `StrategyContract`, name it `Test...`, and define `rule`.

The laws that durable, block-wise rounds rest on: the coordinator sends a model through a rule in blocks of a width
that depends on memory, and does a round again after a crash.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from septum.algorithms.gram import gram_matrix
from septum.algorithms.rule import Block, Rule, Vector
from septum.algorithms.strategy import Strategy, strategy_of_rule, too_few
from septum.errors import ConfigError

SILOS, SIZE = 9, 4_099  # a prime: no block width divides it
WIDTHS = (1, 7, 63, 1000)
WEIGHTS = (303.0, 261.0, 46.0, 130.0, 199.0, 172.0, 30.0, 85.0, 7.0)


class StrategyContract(ABC):
    """The contract of `algorithms.rule.Rule`, as tests."""

    @abstractmethod
    def rule(self) -> Rule:
        """The rule under test."""

    def settings(self) -> Mapping[str, float]:
        """Settings to test it with, for 9 silos and updates of norm 100; its defaults, if this is not overridden."""
        return {}

    @pytest.fixture
    def chosen(self) -> Strategy:
        """The strategy under test."""
        return strategy_of_rule(self.rule(), self.settings())

    @pytest.fixture
    def history(self) -> tuple[Vector, list[NDArray[np.float32]]]:
        """A model and some rounds of deltas (silos, width), at the scale of real ones."""
        rng = np.random.default_rng(7)
        base = rng.normal(size=SIZE).astype(np.float32)
        return base, [(rng.normal(size=(SILOS, SIZE)) * scale).astype(np.float32) for scale in (1e-2, 1e-4, 3e-2)]

    @pytest.mark.parametrize("width", WIDTHS)
    def test_any_block_width_gives_the_same_bits(
        self, chosen: Strategy, history: tuple[Vector, list[NDArray[np.float32]]], width: int
    ) -> None:
        """Also of the server optimizer's state, over several rounds."""
        base, rounds = history
        keep = 60 if width == 1 else SIZE
        base, rounds = base[:keep], [deltas[:, :keep] for deltas in rounds]
        assert _bits(_played(chosen, base, rounds, width)) == _bits(_played(chosen, base, rounds, keep))

    def test_doing_it_again_gives_the_same_bits(
        self, chosen: Strategy, history: tuple[Vector, list[NDArray[np.float32]]]
    ) -> None:
        """After a crash a round is combined again; what was made before must not matter."""
        base, rounds = history
        assert _bits(_played(chosen, base, rounds, SIZE)) == _bits(_played(chosen, base, rounds, SIZE))

    def test_arguments_are_left_as_they_are(
        self, chosen: Strategy, history: tuple[Vector, list[NDArray[np.float32]]]
    ) -> None:
        """They are buffers that the next block is read into; nothing of the results may lie in them either."""
        base, (deltas, *_) = history
        state = chosen.start(SIZE)
        given = [base, deltas, *state.values()]
        before = [array.copy() for array in given]
        mean = _combined(chosen, deltas, WEIGHTS)
        model, after = chosen.step(base, mean, state)
        assert [array.tobytes() for array in given] == [array.tobytes() for array in before]
        for made in (mean, model, *after.values()):
            assert not any(np.shares_memory(made, array) for array in given)

    def test_results_are_float32_vectors_of_the_blocks_width(
        self, chosen: Strategy, history: tuple[Vector, list[NDArray[np.float32]]]
    ) -> None:
        """And the state keeps the names that the rule lists."""
        base, (deltas, *_) = history
        state = chosen.start(SIZE)
        mean = _combined(chosen, deltas, WEIGHTS)
        model, after = chosen.step(base, mean, state)
        assert sorted(state) == sorted(after) == sorted(chosen.state_names)
        for made in (mean, model, *state.values(), *after.values()):
            assert made.dtype == np.float32
            assert made.shape == (SIZE,)

    def test_the_order_of_silos_changes_no_more_than_rounding(
        self, chosen: Strategy, history: tuple[Vector, list[NDArray[np.float32]]]
    ) -> None:
        """The order is the canonical one, by name; a silo's name must not decide how much it counts."""
        _, (deltas, *_) = history
        expected = _combined(chosen, deltas, WEIGHTS)
        scale = float(np.abs(deltas).max())
        for order in ([8, 7, 6, 5, 4, 3, 2, 1, 0], [2, 0, 8, 1, 3, 7, 5, 6, 4]):
            found = _combined(chosen, np.ascontiguousarray(deltas[order]), [WEIGHTS[silo] for silo in order])
            assert np.abs(found - expected).max() <= 1e-5 * scale

    def test_only_the_ratio_of_weights_counts(
        self, chosen: Strategy, history: tuple[Vector, list[NDArray[np.float32]]]
    ) -> None:
        """Twice the rows in every silo is the same mixture."""
        _, (deltas, *_) = history
        doubled = _combined(chosen, deltas, [2 * weight for weight in WEIGHTS])
        assert np.abs(doubled - _combined(chosen, deltas, WEIGHTS)).max() <= 1e-6 * float(np.abs(deltas).max())

    def test_silos_that_agree_are_taken_at_their_word(self, chosen: Strategy) -> None:
        """Where all deltas are one vector, so is the combined one."""
        one = np.linspace(-1, 1, 101, dtype=np.float32)
        found = _combined(chosen, np.ascontiguousarray(np.broadcast_to(one, (SILOS, 101))), WEIGHTS)
        assert np.abs(found - one).max() <= 1e-6

    def test_factors_are_made_of_the_gram_matrix_and_leave_it_as_it_is(
        self, chosen: Strategy, history: tuple[Vector, list[NDArray[np.float32]]]
    ) -> None:
        """One float64 a silo, finite, the same each time. Of a coordinate-wise rule there are none."""
        _, (deltas, *_) = history
        if chosen.weigh is None:
            return
        gram = gram_matrix([deltas], SILOS)
        before = gram.copy()
        factors = chosen.weigh(gram, WEIGHTS)
        again = chosen.weigh(gram, WEIGHTS)
        assert gram.tobytes() == before.tobytes()
        assert factors.shape == (SILOS,)
        assert factors.dtype == np.float64
        assert np.isfinite(factors).all()
        assert factors.tobytes() == again.tobytes()

    def test_a_rule_that_does_not_see_the_updates_is_the_mean_weighted_by_rows(
        self, chosen: Strategy, history: tuple[Vector, list[NDArray[np.float32]]]
    ) -> None:
        """It is all that a masked run can give it."""
        _, (deltas, *_) = history
        if chosen.sees_updates:
            return
        mean = np.average(deltas.astype(np.float64), axis=0, weights=WEIGHTS)
        assert chosen.weigh is None
        assert np.abs(chosen.combine(deltas, WEIGHTS) - mean).max() <= 1e-6 * float(np.abs(deltas).max())

    def test_it_says_how_many_silos_it_needs(self, chosen: Strategy) -> None:
        """And, where that is more than one, why; the suite's nine are enough for it."""
        assert 1 <= chosen.needs.silos <= SILOS
        assert too_few(chosen, SILOS) == ""
        if chosen.needs.silos > 1:
            assert chosen.needs.why
            assert chosen.needs.why in too_few(chosen, chosen.needs.silos - 1)

    def test_every_setting_has_a_default_in_its_own_range(self) -> None:
        """And a setting that the rule does not know is refused."""
        rule = self.rule()
        assert strategy_of_rule(rule).settings.keys() == {setting.name for setting in rule.settings}
        with pytest.raises(ConfigError):
            strategy_of_rule(rule, {"no_such_setting": 1.0})
        with pytest.raises(ConfigError):
            strategy_of_rule(replace(rule, settings=()), {"no_such_setting": 1.0})


def _weights(chosen: Strategy, blocks: Sequence[Block], rows: ArrayLike) -> ArrayLike:
    """What the coordinator gives `combine` for weights: the rows, or what the strategy makes of the Gram matrix."""
    return rows if chosen.weigh is None else chosen.weigh(gram_matrix(blocks, len(blocks[0])), rows)


def _combined(chosen: Strategy, deltas: Block, rows: ArrayLike) -> Vector:
    return chosen.combine(deltas, _weights(chosen, [deltas], rows))


def _played(
    chosen: Strategy, base: Vector, rounds: list[NDArray[np.float32]], width: int
) -> tuple[Vector, Mapping[str, Vector]]:
    """Some rounds as the coordinator does them: block after block, each with its own piece of the state."""
    size = len(base)
    blocks = [slice(at, min(at + width, size)) for at in range(0, size, width)]
    state: dict[str, Vector] = {}
    for number, deltas in enumerate(rounds):
        models, states = [], []
        weights = _weights(chosen, [np.ascontiguousarray(deltas[:, block]) for block in blocks], WEIGHTS)
        for block in blocks:
            before = (
                {name: np.ascontiguousarray(vector[block]) for name, vector in state.items()}
                if number
                else chosen.start(block.stop - block.start)
            )
            mean = chosen.combine(np.ascontiguousarray(deltas[:, block]), weights)
            model, after = chosen.step(base[block].copy(), mean, before)
            models.append(model)
            states.append(after)
        base = np.concatenate(models)
        state = {name: np.concatenate([piece[name] for piece in states]) for name in chosen.state_names}
    return base, state


def _bits(made: tuple[Vector, Mapping[str, Vector]]) -> tuple[bytes, dict[str, bytes]]:
    return made[0].tobytes(), {name: vector.tobytes() for name, vector in made[1].items()}
