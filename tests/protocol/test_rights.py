"""Roles give rights over scopes, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from septum.errors import ConfigError
from septum.protocol.codec import from_json, to_json
from septum.protocol.rights import (
    FEDERATION,
    GIVEN_OVER,
    RIGHTS,
    WHO,
    Grant,
    Over,
    Right,
    Role,
    Scope,
    may,
    may_give,
    may_somewhere,
    organisation,
    read_grant,
)

NAMES = ("a", "b", "c")
SCOPES = [FEDERATION, *(Scope(over, name) for over in (Over.ORGANISATION, Over.PROJECT) for name in NAMES)]
GRANTS = [Grant(role, scope) for role in Role for scope in SCOPES if scope.over in GIVEN_OVER[role]]
some_grants = st.lists(st.sampled_from(GRANTS), max_size=4)
rights = st.sampled_from(list(Right))
places = st.lists(st.sampled_from(SCOPES), max_size=3)


@given(some_grants, rights, places)
def test_nobody_gets_a_right_that_no_role_gives(grants, right, within):
    giving = [one for one in grants if right in RIGHTS[one.role] and one.scope in [FEDERATION, *within]]
    assert may(grants, right, *within) == bool(giving)


@given(some_grants, some_grants, rights, places)
def test_another_role_never_takes_a_right_away(grants, more, right, within):
    assert may(grants + more, right, *within) >= may(grants, right, *within)


@given(some_grants, rights, places)
def test_what_holds_over_the_federation_holds_everywhere(grants, right, within):
    assert may(grants, right, *within) >= may(grants, right)
    assert may_somewhere(grants, right) >= may(grants, right, *within)


@given(some_grants, rights, st.sampled_from(NAMES))
def test_a_role_over_one_organisation_is_nothing_over_another(grants, right, name):
    elsewhere = [one for one in grants if one.scope not in (FEDERATION, organisation(name))]
    assert not may(elsewhere, right, organisation(name))


@given(some_grants, st.sampled_from(GRANTS), rights, places)
def test_nobody_gives_more_than_they_have(giver, given_, right, within):
    """However many roles one gives oneself, no right comes with them."""
    if may_give(giver, given_):
        assert may([*giver, given_], right, *within) == may(giver, right, *within)


@given(some_grants, st.sampled_from(GRANTS))
def test_who_gives_a_role_manages_people_there(giver, given_):
    if may_give(giver, given_):
        assert may(giver, Right.USER_MANAGE, given_.scope)


def test_what_an_administrator_of_an_organisation_may_give():
    admin = [Grant(Role.SILO_ADMIN, organisation("a"))]
    given_ = {str(grant) for grant in GRANTS if may_give(admin, grant)}
    assert given_ == {"silo-admin@a", "auditor@a", "viewer@a"}


def test_only_the_federations_administrator_may_do_everything():
    assert [role for role in Role if RIGHTS[role] == frozenset(Right)] == [Role.FEDERATION_ADMIN]
    alone = RIGHTS[Role.FEDERATION_ADMIN].difference(*(RIGHTS[r] for r in Role if r is not Role.FEDERATION_ADMIN))
    assert alone == {
        Right.RUN_URGE,
        Right.RUN_SHRED,
        Right.ORG_MANAGE,
        Right.APP_REMOVE,
        Right.MODEL_PRUNE,
        Right.MODEL_DEPLOY,
        Right.ROSTER_PUSH,
        Right.GROUP_MANAGE,
        Right.PROJECT_MANAGE,
    }


def test_looking_changes_nothing():
    for role in (Role.VIEWER, Role.AUDITOR):
        assert {right.value.rpartition(".")[2] for right in RIGHTS[role]} == {"read"}


def test_every_role_says_who_it_is_for_and_over_what():
    assert set(RIGHTS) == set(WHO) == set(GIVEN_OVER) == set(Role)
    assert all(sentence.endswith(".") for sentence in WHO.values())


@pytest.mark.parametrize("grant", GRANTS, ids=str)
def test_a_role_is_read_as_it_is_written(grant):
    assert read_grant(str(grant)) == grant
    assert from_json(Grant, to_json(grant)) == grant


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("owner", "no role 'owner'"),
        ("viewer@", "the federation has no name, all else has one"),
        ("viewer@St Mary", "no name for an organisation"),
        ("viewer@group:x", "names no scope"),
        ("federation-admin@a", "given over a federation, not over organisation:a"),
        ("silo-admin@project:p", "given over a federation or organisation"),
        ("viewer@project:", "all else has one"),
        ("", "no role ''"),
    ],
)
def test_what_is_no_role_is_refused(text, problem):
    with pytest.raises(ConfigError) as refused:
        read_grant(text)
    assert problem in refused.value.message
