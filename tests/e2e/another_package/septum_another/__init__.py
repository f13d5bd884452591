"""A package of somebody else's that adds one of each kind to septum. docs/how-to/write-a-plugin.md explains it."""
