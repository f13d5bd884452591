"""The coordinator: the service that runs the federation: its API, its run engine, its settings."""
