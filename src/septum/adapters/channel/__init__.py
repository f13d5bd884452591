"""How messages travel between a silo and its coordinator: over HTTPS, or within one process."""
