"""Which coordinator does a command speak to, with which token, and who said so?

Places, the first that has a value wins: flags, `--operator-file`, SEPTUM_URL / SEPTUM_TOKEN / SEPTUM_CA,
SEPTUM_OPERATOR_FILE, the project file (`septum.local.toml` in this directory or one above), the sessions of `septum
login`, the user file (`~/.config/septum/config.toml`). What a file says belongs together: its token and certificate
serve the URL beside them and no other, so that a project file in a cloned repository cannot have the user's token sent
elsewhere.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from septum.cli.session_file import config_folder, kept_sessions, sessions_file
from septum.errors import AuthError, ConfigError, did_you_mean

PROJECT_FILE = "septum.local.toml"
KEYS = ("url", "token", "ca")
_ENVIRONMENT = {"url": "SEPTUM_URL", "token": "SEPTUM_TOKEN", "ca": "SEPTUM_CA"}
_OPERATOR_KEYS = ("url", "token", "ca_file")


@dataclass(frozen=True, slots=True)
class AccessFlags:
    """What the command line itself says; empty where it says nothing."""

    url: str = ""
    token: str = field(default="", repr=False)
    ca: str = ""
    operator_file: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A settled value and the place it is from; both empty if there is none."""

    name: str
    value: str = field(default="", repr=False)
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A coordinator that can be asked."""

    url: str
    token: str = field(repr=False)
    ca_file: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Values with the origin of each. `whole`: they serve the URL beside them only."""

    values: Mapping[str, str] = field(repr=False)
    origins: Mapping[str, str]
    whole: bool


def resolve_access(flags: AccessFlags) -> Found:
    """The coordinator to ask.

    Raises:
        ConfigError: none is named, or a file is unusable.
        AuthError: there is no token for it.
    """
    url, token, ca = _named(flags)
    if not token.value:
        raise AuthError(
            f"there is no token for {url.value} (the URL is from {url.origin})",
            hint="septum login, or set SEPTUM_TOKEN; who says what: septum config show --origin",
        )
    return Found(url.value, token.value, ca.value)


def resolve_place(flags: AccessFlags) -> Found:
    """The coordinator to sign in at, with whatever token there is. Raises ConfigError: none is named."""
    url, token, ca = _named(flags)
    return Found(url.value, token.value, ca.value)


def _named(flags: AccessFlags) -> tuple[Setting, Setting, Setting]:
    url, token, ca = settled(flags, os.environ, Path.cwd())
    if not url.value:
        raise ConfigError(
            "which coordinator? none is named by flags, environment or files",
            hint="septum login --url https://HOST:PORT, or --operator-file DATA_DIR/operator.json on its machine",
        )
    if not url.value.startswith("https://"):
        raise ConfigError(f"the URL from {url.origin} is {url.value!r}", hint="write https://HOST:PORT")
    return url, token, ca


def settled(flags: AccessFlags, environment: Mapping[str, str], directory: Path) -> tuple[Setting, Setting, Setting]:
    """URL, token and certificate, each with its value and where that is from."""
    places = _places(flags, environment, directory)
    url = _first("url", places)
    fitting = [place for place in places if not place.whole or _same(place.values.get("url", ""), url.value)]
    return (url, _first("token", fitting), _first("ca", fitting))


def user_file(environment: Mapping[str, str]) -> Path:
    """The user's own configuration file.

    >>> user_file({"XDG_CONFIG_HOME": "/home/ada/.config"}).as_posix()
    '/home/ada/.config/septum/config.toml'
    """
    return config_folder(environment) / "config.toml"


def project_file(directory: Path) -> Path | None:
    """The nearest project file, in `directory` or above it."""
    candidates = (folder / PROJECT_FILE for folder in (directory, *directory.parents))
    return next((path for path in candidates if path.is_file()), None)


def _places(flags: AccessFlags, environment: Mapping[str, str], directory: Path) -> list[_Place]:
    given = {"url": flags.url, "token": flags.token, "ca": flags.ca}
    variables = {key: environment.get(name, "") for key, name in _ENVIRONMENT.items()}
    places = [_Place(given, {key: f"--{key}" for key in KEYS}, whole=False)]
    if flags.operator_file:
        places.append(_operator_place(Path(flags.operator_file), "--operator-file"))
    places.append(_Place(variables, _ENVIRONMENT, whole=False))
    if environment.get("SEPTUM_OPERATOR_FILE"):
        places.append(_operator_place(Path(environment["SEPTUM_OPERATOR_FILE"]), "SEPTUM_OPERATOR_FILE"))
    project, user = project_file(directory), user_file(environment)
    if project is not None:
        places.append(_toml_place(project))
    sessions = sessions_file(environment)
    for kept in kept_sessions(sessions):
        values = {"url": kept.url, "token": kept.token, **({"ca": kept.ca} if kept.ca else {})}
        places.append(_whole_place(sessions, values, f"{sessions}, septum login"))
    if user.is_file():
        places.append(_toml_place(user))
    return places


def _toml_place(path: Path) -> _Place:
    try:
        content: Mapping[str, object] = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", hint=f"ls -l {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return _whole_place(path, _texts(path, content, KEYS), f"{path}")


def _operator_place(path: Path, said_by: str) -> _Place:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise AuthError(
            f"{path} (from {said_by}) cannot be read: {error.strerror}",
            hint="the coordinator writes it into its data directory at its first start, for its own user only",
        ) from error
    except ValueError as error:
        raise ConfigError(f"{path} (from {said_by}): not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} (from {said_by}): a JSON object is needed")
    values = _texts(path, content, _OPERATOR_KEYS)
    renamed = {"ca" if key == "ca_file" else key: value for key, value in values.items()}
    return _whole_place(path, renamed, f"{path}, {said_by}")


def _texts(path: Path, content: Mapping[str, object], known: tuple[str, ...]) -> dict[str, str]:
    for key, value in content.items():
        if key not in known:
            raise ConfigError(
                f"{path}: unknown key {key!r}; {did_you_mean(key, known)}",
                hint="mend it, then: septum config show --origin",
            )
        if not isinstance(value, str):
            raise ConfigError(f"{path}: {key} must be a text, not {type(value).__name__}", hint=f'write {key} = "..."')
    return {key: value for key, value in content.items() if isinstance(value, str)}


def _whole_place(path: Path, values: dict[str, str], origin: str) -> _Place:
    if not values.get("url") and values:
        raise ConfigError(
            f"{path}: it has {' and '.join(sorted(values))} but no url",
            hint='write url = "https://HOST:PORT" beside it: a token serves one coordinator only',
        )
    if values.get("ca"):
        values["ca"] = str(path.parent / Path(values["ca"]).expanduser())
    return _Place(values, dict.fromkeys(KEYS, origin), whole=True)


def _first(key: str, places: list[_Place]) -> Setting:
    found = next((place for place in places if place.values.get(key)), None)
    return Setting(key, found.values[key], found.origins[key]) if found else Setting(key)


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")
