"""Runs of the package that every hospital has approved."""

from septum.cli import asking
from septum.cli.asking import Asked, Terms, query_of
from septum.cli.options import RunOptions
from septum.cli.planning import described_package, make_plan
from septum.protocol.plan import AppRef

APPROVED = "1.0.0"  # the version that the hospitals let in


def approved(client):
    """The version that the hospitals let in; others may have come in."""
    return next(app for app in client.apps() if app.version == APPROVED)


def plan_of(client, *, rounds=5, **options):
    """A plan over all hospitals."""
    app = approved(client)
    about = described_package(app.digest, client.app_description(app.digest), {})
    silos = [silo.name for silo in client.silos() if silo.enrolled_at]
    return make_plan(about, silos, RunOptions(rounds=rounds, **options))


ASKED = Asked("age,trestbps,sex", ("age",), ("thalach:8",), ("num:0",), ("sex,num",))


def question_of(client, asked=ASKED):
    """A plan that asks all hospitals for statistics."""
    app = approved(client)
    about = described_package(app.digest, client.app_description(app.digest), {})
    silos = [silo.name for silo in client.silos() if silo.enrolled_at]
    return asking.plan_of(AppRef(app.name, app.version, app.digest), query_of(about.columns, asked), silos, Terms())
