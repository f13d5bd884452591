"""Runs of the package that every hospital has approved."""

from septum.cli.options import RunOptions
from septum.cli.planning import described_package, make_plan

APPROVED = "1.0.0"  # the version that the hospitals let in


def plan_of(client, *, rounds=5, **options):
    """A plan over all hospitals."""
    app = next(app for app in client.apps() if app.version == APPROVED)  # others may have come in
    about = described_package(app.digest, client.app_description(app.digest), {})
    silos = [silo.name for silo in client.silos() if silo.enrolled_at]
    return make_plan(about, silos, RunOptions(rounds=rounds, **options))
