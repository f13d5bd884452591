"""What is the API's OpenAPI document, without a coordinator? The console's client is generated from this file.

python -m septum.coordinator.api.openapi_file > web/openapi.json
"""

from __future__ import annotations

import json
import sys

from septum.coordinator.api.app import create_app


def text() -> str:
    """The document's types alone, with sorted keys: its texts and examples may change and nothing here does."""
    schema = create_app(None).openapi()
    schema["info"]["version"] = ""
    return json.dumps(_types(schema), indent=1, sort_keys=True) + "\n"


_TEXTS = ("description", "summary", "title", "x-permission")  # but where they are the names of properties


def _types(value: object) -> object:
    if isinstance(value, list):
        return [_types(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _types(item)
        for name, item in value.items()
        if name not in ("example", "examples") and not (name in _TEXTS and isinstance(item, str))
    }


if __name__ == "__main__":
    sys.stdout.write(text())
