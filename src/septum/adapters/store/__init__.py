"""Runs and silos in SQLite."""
