"""Whose keys are in this federation? The page shows those that the silos have, and takes what administrators signed."""

import re
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.adapters.identity.keys import load_private_key
from septum.adapters.identity.roster_keys import public_text, sign
from septum.client import Client
from septum.protocol.roster import SignedRoster, fingerprint, read_roster, write_roster
from septum.silo.line import KEY_NAME

pytestmark = pytest.mark.console


def hand_in(console, path):
    """By keyboard, as a person does: the button, the file, the button."""
    page = console.page
    dialog = page.get_by_role("dialog")
    if not dialog.is_visible():
        page.get_by_role("button", name="Hand in a signed roster").focus()
        page.keyboard.press("Enter")
    with page.expect_file_chooser() as chooser:
        dialog.get_by_role("button", name="Choose a file").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(path)
    dialog.get_by_role("button", name="Hand it in").focus()
    page.keyboard.press("Enter")


def test_keys_are_those_of_the_silos_and_what_administrators_signed_is_handed_in_by_keyboard(
    console, hospitals, tmp_path
):
    page, federation = console.page, hospitals.federation
    console.go("/roster")
    keys = page.get_by_role("table", name="Silos and their keys")
    for site in federation.sites:
        row = keys.get_by_role("row", name=re.compile(f"^{site.name}"))
        row.get_by_text("enrolled with this key").last.wait_for()
        own = public_text(load_private_key(site.folder / "state" / KEY_NAME))
        assert fingerprint(own) in row.inner_text()

    with Client(hospitals.admin) as client:
        first = read_roster(client.roster())
    silos = {**first.roster.silos, "zurich": public_text(Ed25519PrivateKey.generate())}
    roster = replace(first.roster, serial=2, previous=first.roster.digest, silos=silos)
    unsigned, signed = tmp_path / "unsigned.json", tmp_path / "r2.json"
    unsigned.write_bytes(write_roster(SignedRoster(roster)))
    signed.write_bytes(write_roster(sign(SignedRoster(roster), load_private_key(federation.base / "admin.key"))))
    hand_in(console, unsigned)
    console.see("roster 2 has 0 of the 1 signatures needed")
    hand_in(console, signed)
    console.see("Roster 2 of demo")
    console.see(roster.digest)
    keys.get_by_role("row", name=re.compile("^zurich")).get_by_text("not enrolled").last.wait_for()
    console.see(f"silo added: zurich, key {fingerprint(silos['zurich'])}")
    with Client(hospitals.admin) as client:
        assert client.roster() == signed.read_bytes()
