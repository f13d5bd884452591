"""The name under which a silo tells its data says whether they are the same, and nothing to who guesses them."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from septum.protocol.plan import digest_of
from septum.silo.alias import alias_by

ROWS, OTHERS = digest_of(b"1,0\n"), digest_of(b"1,1\n")


def test_the_same_rows_have_the_same_name_in_every_run_and_others_another():
    seed = bytes(32)
    one, again = (alias_by(Ed25519PrivateKey.from_private_bytes(seed)) for _ in range(2))
    assert one(ROWS) == again(ROWS)
    assert len({ROWS, OTHERS, one(ROWS), one(OTHERS)}) == 4
    assert len(one(ROWS)) == len(ROWS)


def test_nobody_without_the_silos_key_can_check_a_guess():
    """Not by the rows, nor by another silo that has the same ones."""
    north, south = (alias_by(Ed25519PrivateKey.generate()) for _ in range(2))
    assert north(ROWS) not in (south(ROWS), digest_of(ROWS.encode()))
