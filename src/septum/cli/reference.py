"""What does the reference page of the commands say?

It is made from the command tree: python -m septum.cli.reference > docs/reference/commands.md
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from septum.cli.main import app
from septum.cli.output import Output
from septum.errors import ExitCode

if TYPE_CHECKING:
    from typer._click.core import Command, Parameter

_EXIT_CODES = {
    ExitCode.OK: "It worked.",
    ExitCode.FAILED: "The run failed, a check of `septum doctor` failed, or the coordinator could not do it.",
    ExitCode.USAGE: "The command line, a file or a setting is wrong, or there is no such run, silo or model.",
    ExitCode.TIMEOUT: "It did not happen in time.",
    ExitCode.CONNECTION: "The coordinator cannot be reached, or went away.",
    ExitCode.AUTH: "No token or session, one that is not accepted or does not allow this, or too many attempts.",
    ExitCode.INTERRUPTED: "Ctrl-C. `run watch` has detached; the run goes on.",
}
_HEAD = """# Commands

Made by `python -m septum.cli.reference > docs/reference/commands.md`; a test checks that it is up to date.

## Output

Data goes to standard output, progress and notes to standard error. `--json` may stand anywhere in a command and makes
the output one line, also when the command fails or was not understood:

```json
{"schema_version": 1, "status": "ok", "exit_code": 0, "data": {"version": "0.1.0"}}
{"schema_version": 1, "status": "error", "exit_code": 2, "error": {"code": "usage", "message": "...", "hint": "..."}}
```

A command that found out that something failed has both `data` and `error`. `run watch` and `run submit --watch` print
one JSON object for each fact, `{"seq", "at", "fact": {"kind", ...}}`, and the envelope as the last line.
`error.code` is stable, `error.message` is for people, `error.hint` is the next command.

`RUN` is a run's id, or its name where one run alone has it.

`NO_COLOR` turns colours off. `SEPTUM_DEBUG=1` adds the traceback of an error to standard error. Where standard output
is no terminal, tables are plain lines and nothing is cut.

## Which coordinator

The first of these that has a value wins; `septum config show --origin` tells which one it was.

1. `--url`, `--token`, `--ca`
2. `--operator-file FILE`: the `operator.json` in the coordinator's data directory
3. `SEPTUM_URL`, `SEPTUM_TOKEN`, `SEPTUM_CA`
4. `SEPTUM_OPERATOR_FILE`
5. the project file: `septum.local.toml` in this directory or the nearest one above
6. the sessions of `septum login`, the newest first: `~/.config/septum/sessions.json`, mode 0600
7. the user file: `~/.config/septum/config.toml` (or under `XDG_CONFIG_HOME`)

The project and the user file have the keys `url`, `token` and `ca`, all texts; `ca` is relative to the file. What a
file says belongs together: its token and certificate are used for the URL beside them and no other. So a project file
in a repository that you cloned cannot have your user file's token sent to a coordinator of its choice. Keep files with
a token out of version control, with mode 0600.

## Exit codes
"""


def page() -> str:
    """The page as Markdown."""
    lines = [_HEAD, "| code | meaning |", "|---|---|"]
    lines += [f"| {int(code)} | {_EXIT_CODES[code]} |" for code in ExitCode]
    for path, command in commands():
        if not hasattr(command, "commands"):
            lines += ["", f"## `{usage(path, command)}`", "", first_line(command), *_options(command)]
    shared = "`--json`, `--quiet` and `--help` belong to every command"
    lines += ["", f"{shared}; `--url`, `--token`, `--ca` and `--operator-file` to those that ask a coordinator.", ""]
    return "\n".join(lines)


def commands() -> Iterator[tuple[str, Command]]:
    """Every noun and command with its path, nouns before their verbs."""
    waiting = [("septum", typer.main.get_command(app()))]
    while waiting:
        path, command = waiting.pop(0)
        yield path, command
        children = getattr(command, "commands", {})
        waiting[:0] = [(f"{path} {name}", child) for name, child in children.items()]


def usage(path: str, command: Command) -> str:
    """The command with its arguments."""
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    names = [str(item.metavar or item.name) for item in arguments]
    return " ".join([path, *names])


def first_line(command: Command) -> str:
    """The sentence that says what the command does."""
    return (command.help or "").strip().partition("\n\n")[0].replace("\n", " ")


def help_of(parameter: Parameter) -> str:
    """What an option's help says."""
    return str(getattr(parameter, "help", None) or "")


def _options(command: Command) -> list[str]:
    shown = [item for item in command.params if item.name not in _SHARED]
    if not shown:
        return []
    rows = []
    for item in shown:
        names = ", ".join(f"`{name}`" for name in (*item.opts, *item.secondary_opts))
        if item.param_type_name == "argument":
            names = f"`{getattr(item, 'metavar', None) or item.name}`"
        default = item.default
        told = f" Default: {default}." if default not in (None, "", False, 0) and not callable(default) else ""
        rows.append(f"| {names} | {help_of(item)}{told} |")
    return ["", "| option | meaning |", "|---|---|", *rows]


_SHARED = ("json_", "quiet", "url", "token", "ca", "operator_file", "help", "context")

if __name__ == "__main__":
    Output().text(page().rstrip("\n"))
