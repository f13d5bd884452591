"""What does `septum` do with its arguments? Every command hangs on this tree, and every failure ends here.

Start-up imports Typer and the standard library only: commands import what they need when they are called.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from septum import __version__
from septum.cli import (
    app_build,
    app_preset,
    config,
    coordinator,
    demo,
    doctor,
    group,
    login,
    metric,
    model,
    org,
    plugin,
    project,
    roster,
    run,
    silo,
    silo_app,
    silo_journal,
    silo_ledger,
    silo_model,
    silo_policy,
    silo_roster,
    silo_standing,
    simulate,
    stats,
    token,
    user,
)
from septum.cli.command import JsonFlag, QuietFlag, need_command
from septum.cli.failures import InternalError, Interrupted, UsageProblem
from septum.cli.output import Answer, Output
from septum.errors import SeptumError

# Typer carries its own copy of click since 0.26, so the classes are found by way of what Typer exports.
_NO_COMMAND = "No such command"
_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="septum",
    help="Cross-silo federated learning: organisations train one model together, and no record leaves its owner.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for noun in (
    coordinator.app,
    silo.app,
    app_build.app,
    run.app,
    model.app,
    metric.app,
    roster.app,
    stats.app,
    group.app,
    project.app,
    org.app,
    user.app,
    token.app,
    plugin.app,
    config.app,
):
    app.add_typer(noun)
app_build.app.add_typer(app_preset.app)
for noun in (
    silo_policy.app,
    silo_policy.receipts_app,
    silo_ledger.app,
    silo_journal.app,
    silo_model.app,
    silo_app.app,
):
    silo.app.add_typer(noun)
silo_roster.register(silo.app)
silo_standing.register(silo.app)
demo.register(app)
simulate.register(app)
doctor.register(app)
login.register(app)


def show_version(context: typer.Context, wanted: bool) -> None:
    """Eager: before Typer loads what it needs to read other options, which takes longer than all the rest."""
    if wanted:
        assert isinstance(context.obj, Output)
        raise typer.Exit(context.obj.answer(Answer({"version": __version__}, (f"septum {__version__}",))))


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=show_version, is_eager=True)
    ] = False,
    json_: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Cross-silo federated learning: organisations train one model together, and no record leaves its owner."""
    del version, json_, quiet  # the callback and `main` have read them already
    need_command(context)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; its exit code. Nothing is raised."""
    output, rest = _output_options(list(sys.argv[1:] if arguments is None else arguments))
    try:
        code = typer.main.get_command(app).main(args=rest, prog_name="septum", standalone_mode=False, obj=output)
    except SeptumError as error:
        return output.failure(error)
    except (KeyboardInterrupt, typer.Abort):
        return output.failure(Interrupted("interrupted"))
    except BrokenPipeError:
        return 1
    except _USAGE_ERROR as error:
        return output.failure(_usage_problem(error, rest))
    except Exception as error:  # noqa: BLE001 - the last resort: programs that read --json need an envelope now, too
        return output.failure(_internal(error))
    if code == Interrupted.exit_code:  # newer Typers turn Ctrl-C into this
        return output.failure(Interrupted("interrupted"))
    return code if isinstance(code, int) else 0


def _output_options(arguments: list[str]) -> tuple[Output, list[str]]:
    """`--json` and `--quiet` from anywhere before `--`, and the other arguments.

    >>> _output_options(["run", "list", "--json"])
    (Output(json=True, quiet=False), ['run', 'list'])
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    head, tail = arguments[:end], arguments[end:]
    output = Output(json="--json" in head, quiet="--quiet" in head or "-q" in head)
    return output, [item for item in head if item not in ("--json", "--quiet", "-q")] + tail


def _usage_problem(error: Exception, arguments: Sequence[str]) -> SeptumError:
    path = _command_path(arguments)
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if message.startswith(_NO_COMMAND) and (meant := _elsewhere(path, arguments)):
        return UsageProblem(f"{path}: {message.partition(' Did you mean')[0]}", hint=f"{meant} --help")
    return UsageProblem(f"{path}: {message}", hint=f"{path} --help")


def _elsewhere(path: str, arguments: Sequence[str]) -> str:
    """The one command that ends in the noun and verb that were asked for; empty if there is none, or several.

    >>> _elsewhere("septum app", ["app", "approve", "sepsis"]), _elsewhere("septum", ["data", "check", "heart"])
    ('septum silo app approve', 'septum silo data check')
    """
    at = len(path.split()) - 1
    words = [*path.split()[1:], *arguments[at : at + 2]]
    pairs = [f" {words[index]} {words[index + 1]}" for index in range(len(words) - 1)]
    found = {one for pair in pairs for one in _paths(typer.main.get_command(app), "septum") if one.endswith(pair)}
    return found.pop() if len(found) == 1 and path not in found else ""


def _paths(command: object, path: str) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children:
        yield path
    for name, child in children.items():
        yield from _paths(child, f"{path} {name}")


def _command_path(arguments: Sequence[str]) -> str:
    """The nouns and verbs at the front of the arguments. Not every usage error knows its command.

    >>> _command_path(["run", "show", "--nope"])
    'septum run show'
    """
    path, children = "septum", getattr(typer.main.get_command(app), "commands", {})
    for word in arguments:
        if word in children:
            path, children = f"{path} {word}", getattr(children[word], "commands", {})
    return path


def _internal(error: Exception) -> SeptumError:
    problem = InternalError(
        f"{type(error).__name__}: {error}",
        hint="this is a bug in septum, or the machine cannot go on; SEPTUM_DEBUG=1 shows the traceback",
    )
    problem.__cause__ = error
    return problem


if __name__ == "__main__":
    sys.exit(main())
