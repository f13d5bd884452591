"""How often may a password be tried? Per account and address, per account, and per address.

The generic cell rate algorithm (ITU-T I.371): one number a key. In memory: a restart forgives, which an attacker cannot
bring about and which costs a second each time. Successful sign-ins do not count.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from septum.errors import RateLimitedError

WINDOW_S = 900.0
PER_PAIR = 10  # of one account from one address: a person who has forgotten a password
PER_ACCOUNT = 100  # from everywhere: more would let many addresses guess; fewer would let anybody lock others out
PER_ADDRESS = 100  # of all accounts: many people can be behind one address
MAX_KEYS = 20_000  # some 3 MB; the oldest are forgotten

_Key = tuple[str, str]


@dataclass(slots=True)
class Attempts:
    """Failed attempts, by key the moment at which all of them are forgiven."""

    per_pair: int = PER_PAIR
    per_account: int = PER_ACCOUNT
    per_address: int = PER_ADDRESS
    _until: dict[_Key, float] = field(default_factory=dict)

    def take(self, account: str, address: str, now: float) -> None:
        """Count an attempt before it is looked at, so that many at one time count as well. `now`: monotonic seconds.

        Without an address the account's attempts alone are counted.

        Raises RateLimitedError.
        """
        keys = self._keys(account, address)
        wait_s = max(self._until.get(key, now) + WINDOW_S / most - now - WINDOW_S for key, most in keys)
        if wait_s > 1e-6:
            raise RateLimitedError(
                f"too many attempts to sign in; the next one is possible in {wait_s:.0f} s",
                hint="wait; an administrator can make a new password possible: septum user reset NAME",
                retry_after_s=wait_s,
            )
        for key, most in keys:
            self._until[key] = max(self._until.pop(key, now), now) + WINDOW_S / most
        while len(self._until) > MAX_KEYS:
            del self._until[next(iter(self._until))]

    def forgive(self, account: str, address: str) -> None:
        """The attempt was right: it does not count, and neither do those before it of that account from there."""
        self.take_back(account, address)
        self._until.pop(self._keys(account, address)[0][0], None)

    def take_back(self, account: str, address: str) -> None:
        """The attempt was none: it does not count. Those before it do."""
        for key, most in self._keys(account, address):
            if key in self._until:
                self._until[key] -= WINDOW_S / most

    def _keys(self, account: str, address: str) -> tuple[tuple[_Key, int], ...]:
        if not address:
            return (((account, ""), self.per_account),)
        where = _network(address)
        return ((account, where), self.per_pair), ((account, ""), self.per_account), (("", where), self.per_address)


def _network(address: str) -> str:
    """An address; of IPv6 the /64, which one machine can have all of.

    >>> _network("2001:db8::1:2:3:4")
    '2001:db8::/64'
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
