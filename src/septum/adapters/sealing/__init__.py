"""Secrets under a key that lies elsewhere."""
