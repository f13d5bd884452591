"""The seams: what the services need from the outside world, as small Protocols with their contracts."""
