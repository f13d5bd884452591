"""What is the API's OpenAPI document, without a coordinator? The console's client is generated from this file.

python -m septum.coordinator.api.openapi_file > web/openapi.json
"""

from __future__ import annotations

import json
import sys

from septum.coordinator.api.app import create_app


def text() -> str:
    """The document, indented, with sorted keys; `version` is left out, so that a release changes nothing here."""
    schema = create_app(None).openapi()
    schema["info"]["version"] = ""
    return json.dumps(schema, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
