"""Which commands are there? Each noun is a module; what a command line does not name is not loaded, only listed.

So `septum --help` and each command start as fast with a hundred commands as with ten. A test compares what is listed
here with what the modules say.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType, ModuleType

import typer

HELP = "Cross-silo federated learning: organisations train one model together, and no record leaves its owner."

# By module, the commands that it registers, and what each says of itself.
COMMANDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "demo": {
            "demo": "Four hospitals train one heart-disease model over HTTPS, on this machine, in nine processes."
        },
        "simulate": {
            "simulate": "Run an app's whole federation in this one process: same rounds, same model as over the "
            "network.",
        },
        "doctor": {
            "doctor": "Check this machine: versions, extras, coordinator, clock, directory, disk, training processes."
        },
        "login": {
            "login": "Sign in. Passwords and codes are asked for, or read from SEPTUM_PASSWORD, SEPTUM_NEW_PASSWORD "
            "and SEPTUM_CODE.",
            "logout": "End the session that `septum login` opened.",
            "whoami": "Say who you are to the coordinator, and what you may do there.",
        },
        "opening": {
            "open": "Open the web console in your browser, signed in as you are here. The link works once.",
        },
    }
)

# By its name, a noun's module, whose `app` it is, and what it says of itself.
NOUNS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "coordinator": ("coordinator", "Run the coordinator."),
        "silo": ("silo", "Bring silos in, and run one beside its data."),
        "app": ("app_build", "Write an app, try it, and look at it before it runs anywhere."),
        "run": ("run", "Submit runs, look at them, watch and steer them."),
        "log": ("log", "See what has happened in the federation, and what is told of runs."),
        "audit": ("audit", "The coordinator's audit log: read it, check that nobody changed it, keep it elsewhere."),
        "model": ("model", "List the models that runs made, download them, and deploy them to silos."),
        "metric": ("metric", "Look at what was measured of each model of a run, and write it to a file."),
        "roster": ("roster", "Make and sign the list of a federation's silos and their keys."),
        "stats": ("stats", "Ask for statistics over silos, in masked sums, without any training."),
        "group": ("group", "Groups of silos: what projects run over."),
        "project": ("project", "Projects: what runs belong to, over the silos of a group."),
        "org": ("org", "Organisations: the members of the federation, which own silos and people."),
        "user": (
            "user",
            "People: who may sign in, with which roles; and your own password and second factor.",
        ),
        "token": ("token", "Your own tokens, by which programs speak for you with some of your rights."),
        "plugin": ("plugin", "See what other packages add to septum."),
        "config": ("config", "See which coordinator the commands speak to, and who says so."),
    }
)


def grow(root: Callable[..., None], named: str = "") -> typer.Typer:
    """The tree of commands over `root`; of what is not `named` names and help alone. Without a name all of it."""
    app = typer.Typer(name="septum", help=HELP, rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(root)
    for module, commands in COMMANDS.items():
        if not named or named in commands:
            _module(module).register(app)
        else:
            for name, text in commands.items():
                app.command(name, help=text)(_not_named)
    for name, (module, text) in NOUNS.items():
        app.add_typer(_module(module).app if named in ("", name) else typer.Typer(name=name, help=text))
    return app


def _not_named() -> None:
    """A command that this command line does not name."""


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"septum.cli.{name}")
