from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.adapters.channel.servers import SmallCoordinator, SmallProxy, SmallServer, Storage, running

from septum.adapters.channel.https import HttpsChannel
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.identity.keys import public_bytes

SILO = "st-marys"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[SmallCoordinator]:
    directory = tmp_path / "coordinator"
    directory.mkdir()
    coordinator = SmallCoordinator(directory)
    yield coordinator
    coordinator.end()


@pytest.fixture
def server(service: SmallCoordinator, certificates: Path) -> Iterator[SmallServer]:
    made = SmallServer(service, certificates)
    with running(made):
        yield made
        service.end()
        made.hang_up()


@pytest.fixture
def storage(service: SmallCoordinator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    made = Storage(service, tmp_path_factory.mktemp("storage"))
    with running(made):
        yield made
        made.hang_up()


@pytest.fixture
def proxy(server: SmallServer) -> Iterator[SmallProxy]:
    made = SmallProxy(server.port)
    with running(made):
        yield made
        server.hang_up()


@pytest.fixture
def private_key(server: SmallServer) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    server.silos[SILO] = public_bytes(key)
    return key


@pytest.fixture
def connect(server: SmallServer, private_key: Ed25519PrivateKey) -> Iterator[Callable[..., HttpsChannel]]:
    """Make channels to the server; they are closed in the end."""
    made: list[HttpsChannel] = []

    def make(url: str = "", **settings: object) -> HttpsChannel:
        settings.setdefault("ca_file", server.certificate.ca_path)
        made.append(HttpsChannel(url or server.url(), Ed25519Signer(SILO, private_key), **settings))
        return made[-1]

    yield make
    for channel in made:
        channel.close()
