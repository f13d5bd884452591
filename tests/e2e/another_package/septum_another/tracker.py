"""A tracker: a line of text for each thing told."""

from septum.errors import ConfigError
from septum.ports.tracker import RoundMeasured, RunStarted


class Diary:
    def __init__(self, path):
        self._path = path

    def tell(self, told):
        match told:
            case RunStarted():
                line = f"started {told.run}"
            case RoundMeasured():
                line = f"measured {told.round} {told.run}"
            case _:
                line = f"ended {told.run}"
        with self._path.open("a") as file:
            file.write(line + "\n")

    def close(self):
        pass


def make(settings):
    if settings.values.keys() != {"file"}:
        raise ConfigError("[tracking.another-diary]: it needs the setting file, and no other")
    return Diary(settings.data_dir / settings.values["file"])
