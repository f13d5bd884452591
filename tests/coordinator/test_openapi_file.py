import json
from pathlib import Path

from septum.coordinator.api.openapi_file import text

FILE = Path(__file__).parents[2] / "web" / "openapi.json"


def test_the_console_is_made_for_the_api_as_it_is():
    wanted = "run: python -m septum.coordinator.api.openapi_file > web/openapi.json"
    assert FILE.read_text() == text(), wanted


def test_every_body_that_the_console_sends_is_in_the_text():
    paths = json.loads(text())["paths"]
    for path, method in (("/groups", "post"), ("/projects", "post"), ("/session", "post"), ("/runs", "post")):
        schema = paths[f"/api/v1{path}"][method]["requestBody"]["content"]["application/json"]["schema"]
        assert schema["$ref"].startswith("#/components/schemas/")
