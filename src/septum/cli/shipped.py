"""Where are the examples that come with septum?"""

from __future__ import annotations

from pathlib import Path

import septum
from septum.errors import NotFoundError

HEART_DISEASE = "heart_disease"
HEART_DISEASE_NETWORK = "heart_disease_network"  # the same rows, by torch: what is trained there with privacy


def example(name: str) -> Path:
    """The folder of an example: inside the installed package, or beside it in a checkout."""
    package = Path(septum.__file__).parent
    for folder in (package / "examples" / name, package.parent.parent / "examples" / name):
        if folder.is_dir():
            return folder
    raise NotFoundError(
        f"the example {name!r} did not come with this installation", hint="pip install --force-reinstall septum"
    )
