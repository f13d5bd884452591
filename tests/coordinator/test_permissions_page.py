from pathlib import Path

from septum.coordinator.api.app import api_routes
from septum.coordinator.api.document import permission_of
from septum.coordinator.api.reference import page
from septum.protocol.rights import Right, Role

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "permissions.md"


def test_the_page_of_permissions_is_up_to_date():
    wanted = "run: python -m septum.coordinator.api.reference > docs/reference/permissions.md"
    assert PAGE.read_text() == page(), wanted


def test_every_route_role_and_right_is_on_it():
    text = page()
    for route in api_routes():
        assert f"{route.path}` |" in text
    for member in (*Role, *Right):
        assert f"`{member.value}`" in text


def test_every_right_is_asked_for_by_a_route_and_each_permission_says_one_sentence():
    permissions = [permission_of(route) for route in api_routes()]
    assert {one.right for one in permissions} - {None} == set(Right)
    for one in permissions:
        assert one.sentence[0].isupper()
        assert one.sentence.endswith(".")
        assert ". " not in one.sentence
