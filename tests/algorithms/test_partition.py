"""Laws of the partition: every tensor is in exactly one part, and patterns that name nothing or everything are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.algorithms.partition import MAX_PATTERNS, check_covers, check_patterns, is_private, parted
from septum.errors import AppError, ConfigError

pytestmark = pytest.mark.laws

NAMES = st.from_regex(r"[a-c]{1,3}(\.[a-c]{1,3})?", fullmatch=True)
PATTERNS = st.lists(st.from_regex(r"[a-c*?]{1,3}(\.[a-c*?]{1,3})?", fullmatch=True), unique=True, max_size=4)


@given(st.dictionaries(NAMES, st.integers()), PATTERNS)
def test_joining_what_was_parted_gives_the_model_and_no_tensor_is_in_both(model, patterns):
    shared, private = parted(model, patterns)
    assert {**shared, **private} == model
    assert not shared.keys() & private.keys()
    assert all(is_private(name, patterns) for name in private)
    assert not any(is_private(name, patterns) for name in shared)


@given(st.dictionaries(NAMES, st.integers()), PATTERNS, PATTERNS)
def test_a_further_pattern_never_makes_a_private_tensor_shared(model, some, more):
    assert parted(model, some)[1].items() <= parted(model, [*some, *more])[1].items()


def test_parts_by_hand():
    model = {"body.0.weight": 1, "body.0.bias": 2, "head.weight": 3, "norm": 4}
    assert parted(model, ["head.*", "norm"]) == ({"body.0.weight": 1, "body.0.bias": 2}, {"head.weight": 3, "norm": 4})
    assert parted(model, ["*.bias"])[1] == {"body.0.bias": 2}
    assert parted(model, ["body.?.w*"])[1] == {"body.0.weight": 1}
    assert parted(model, ["HEAD.*"])[1] == {}
    assert parted(model, ["head"])[1] == {}  # the whole name, not its beginning


def test_a_pattern_that_names_no_tensor_is_told_with_the_nearest():
    with pytest.raises(AppError, match=r"'haed\.weight' matches no tensor; did you mean 'head\.weight'"):
        check_covers(["body", "head.weight"], ["haed.weight"], "small")


def test_patterns_that_leave_nothing_to_share_are_told():
    with pytest.raises(AppError, match="nothing is left to share"):
        check_covers(["body", "head"], ["b*", "h*"], "small")
    check_covers(["body", "head"], ["h*"], "small")
    check_covers(["body", "head"], [], "small")


@pytest.mark.parametrize("wrong", ["", "head weight", "head/weight", "a" * 201, 3, None])
def test_what_is_no_pattern_is_told(wrong):
    with pytest.raises(ConfigError, match="is no pattern of tensor names"):
        check_patterns("septum.toml", [wrong])


def test_patterns_are_sorted_each_once_and_not_too_many():
    assert check_patterns("here", ["b", "a*"]) == ("a*", "b")
    with pytest.raises(ConfigError, match="twice"):
        check_patterns("here", ["a", "a"])
    with pytest.raises(ConfigError, match=f"at most {MAX_PATTERNS}"):
        check_patterns("here", [f"a{number}" for number in range(MAX_PATTERNS + 1)])
