"""The Python client of the coordinator's public API."""

from septum.client.access import Access, operator_access
from septum.client.client import Client

__all__ = ["Access", "Client", "operator_access"]
