"""HTTP servers for the coordinator's ASGI app."""
