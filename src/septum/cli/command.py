"""How does a function become a command? It gets the options that every command has, and its answer is printed.

A command is a function `body(call, ...)` that returns an `Answer`. Options that every command takes are added here, so
none can forget them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from septum.cli.access import AccessFlags, resolve_access
from septum.cli.failures import UsageProblem
from septum.cli.output import Answer, Output
from septum.cli.run_names import meant

if TYPE_CHECKING:
    from septum.client import Client

Body = TypeVar("Body", bound=Callable[..., Answer])

_OUTPUT = "Output"
_COORDINATOR = "Coordinator"


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a command: where it writes to, and what it was told about the coordinator."""

    output: Output
    access: AccessFlags

    def client(self) -> Client:
        """The coordinator's client, for the access that flags, environment and files settle."""
        from septum.client import Access, Client  # httpx: 100 ms that `--help` does not pay

        found = resolve_access(self.access)
        return Client(Access(found.url, found.token, found.ca_file))


def command(app: typer.Typer, name: str, *, remote: bool = False) -> Callable[[Body], Body]:
    """Register a function as a command of `app`; `remote` ones take the options that name a coordinator."""

    def register(body: Body) -> Body:
        own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
        coordinator = _REMOTE if remote else ()  # `silo enroll` has a --url and a --token of its own
        runs = [item.name for item in own if remote and _names_runs(item)]
        added = [*coordinator, *_EVERYWHERE]

        def run(context: typer.Context, **values: object) -> None:
            flags = {item.name: str(values.pop(item.name)) for item in coordinator}
            for item in _EVERYWHERE:
                values.pop(item.name)  # `main` has read them already: usage errors need them, too
            output = context.obj
            assert isinstance(output, Output)
            call = Invocation(output, AccessFlags(**flags))
            for name in runs:
                values[name] = meant(call.client, values[name])
            raise typer.Exit(output.answer(body(call, **values)))

        context = Parameter("context", Parameter.KEYWORD_ONLY, annotation=typer.Context)
        parameters = [context, *(item.replace(kind=Parameter.KEYWORD_ONLY) for item in (*own, *added))]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads options from it
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        run.__doc__ = body.__doc__
        app.command(name)(run)
        return body

    return register


def _names_runs(item: Parameter) -> bool:
    """Whether a parameter takes a run, or runs: its metavar says so."""
    about = getattr(item.annotation, "__metadata__", ())
    return any(str(getattr(one, "metavar", None)).split(" ")[0] == "RUN" for one in about)


def noun(name: str, help_text: str) -> typer.Typer:
    """A group of commands about one thing."""
    app = typer.Typer(name=name, help=help_text, rich_markup_mode="rich")
    app.callback(invoke_without_command=True, help=help_text)(need_command)
    return app


def need_command(context: typer.Context) -> None:
    """A noun alone is no command: show the verbs, and fail as any usage error does."""
    if context.invoked_subcommand is not None:
        return
    output = context.obj
    assert isinstance(output, Output)
    if not output.json:
        output.text(context.get_help())
    raise UsageProblem(f"{context.command_path}: which command?", hint=f"{context.command_path} --help")


def _option(name: str, default: object, annotation: object) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


JsonFlag = Annotated[
    bool, typer.Option("--json", help="Print one JSON envelope; streams are JSON lines.", rich_help_panel=_OUTPUT)
]
QuietFlag = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no notes on standard error.", rich_help_panel=_OUTPUT)
]
_EVERYWHERE = (_option("json_", False, JsonFlag), _option("quiet", False, QuietFlag))
_REMOTE = (
    _option(
        "url",
        "",
        Annotated[str, typer.Option("--url", help="The coordinator's URL.", rich_help_panel=_COORDINATOR)],
    ),
    _option(
        "token",
        "",
        Annotated[
            str,
            typer.Option(
                "--token",
                help="Bearer token; SEPTUM_TOKEN keeps it out of the process list.",
                rich_help_panel=_COORDINATOR,
            ),
        ],
    ),
    _option(
        "ca",
        "",
        Annotated[
            str,
            typer.Option("--ca", help="File with the certificate to trust.", rich_help_panel=_COORDINATOR),
        ],
    ),
    _option(
        "operator_file",
        "",
        Annotated[
            str,
            typer.Option(
                "--operator-file",
                help="The operator.json in the coordinator's data directory: URL, token and certificate at once.",
                rich_help_panel=_COORDINATOR,
            ),
        ],
    ),
)
