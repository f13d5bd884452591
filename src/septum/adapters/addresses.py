"""May what nobody else is to read be sent to this address?"""

from __future__ import annotations

from urllib.parse import urlsplit

_HERE = ("127.0.0.1", "localhost", "::1")


def by_tls_or_here(url: str) -> bool:
    """Whether it goes under TLS, or stays on this machine.

    >>> by_tls_or_here("https://s3.example.org"), by_tls_or_here("http://[::1]:9000"), by_tls_or_here("http://s3")
    (True, True, False)
    """
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE))
