"""A model's download: whole or not there, and not from the start again when it is cut."""

import random
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
from tests.coordinator.running import Running, finish, start_round_one
from tests.coordinator.support import plan_of

from septum.adapters.channel.blob_files import part_of
from septum.client import Client
from septum.client.download import Piece, piece_of, save
from septum.errors import ConfigError, ConnectionFailedError, DigestError, MessageError, NotFoundError
from septum.protocol.plan import digest_of
from septum.testing.network import Line, NetworkProxy

pytestmark = pytest.mark.served

MODEL = random.Random(3).randbytes(300_000)
DIGEST = digest_of(MODEL)
PATIENCE_S = 5.0


@dataclass
class Source:
    """A coordinator that has a model. `cuts`: after how many bytes the next answers break off."""

    model: bytes = MODEL
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[int] = field(default_factory=list)

    @contextmanager
    def __call__(self, start):
        self.asked.append(start)
        if start > len(self.model) or (start == len(self.model) and start):
            yield piece_of(416, {"content-range": f"bytes */{len(self.model)}"}, [])
            return
        start = start if self.ranges else 0
        yield Piece(start, len(self.model), self._chunks(start, self.cuts.pop(0) if self.cuts else None))

    def _chunks(self, start, cut):
        rest = self.model[start:]
        for at in range(0, len(rest[:cut]), 1000):
            yield rest[:cut][at : at + 1000]
        if cut is not None:
            raise ConnectionFailedError("cut")


@pytest.fixture
def target(tmp_path):
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "m"


def names(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_a_download_is_a_file_that_others_may_read(target):
    source = Source()
    assert save(source, DIGEST, target, patience_s=PATIENCE_S) == len(MODEL)
    assert (target.read_bytes(), target.stat().st_mode & 0o777, names(target)) == (MODEL, 0o644, ["m"])
    assert source.asked == [0]


def test_a_download_that_is_cut_goes_on_where_it_stopped(target):
    source = Source(cuts=[100_000, 1000, 150_000])
    assert save(source, DIGEST, target, patience_s=PATIENCE_S) == len(MODEL)
    assert (target.read_bytes(), names(target)) == (MODEL, ["m"])
    assert source.asked == [0, 100_000, 101_000, 251_000]


def test_a_download_of_which_nothing_came_is_an_error_at_once(target):
    source = Source(cuts=[0])
    with pytest.raises(ConnectionFailedError, match="cut"):
        save(source, DIGEST, target, patience_s=3600)
    assert (source.asked, names(target)) == ([0], [])


def test_the_next_download_goes_on_with_what_came(target):
    with pytest.raises(ConnectionFailedError):
        save(Source(cuts=[100_000, 0]), DIGEST, target, patience_s=0.0)
    assert names(target) == [part_of(target, DIGEST).name]
    source = Source()
    save(source, DIGEST, target, patience_s=PATIENCE_S)
    assert (source.asked, target.read_bytes(), names(target)) == ([100_000], MODEL, ["m"])


def test_another_models_download_does_not_go_on_with_it(target):
    with pytest.raises(ConnectionFailedError):
        save(Source(cuts=[100_000, 0]), DIGEST, target, patience_s=0.0)
    source = Source(model=b"another")
    save(source, digest_of(b"another"), target, patience_s=PATIENCE_S)
    assert (source.asked, target.read_bytes()) == ([0], b"another")


@pytest.mark.parametrize(
    "kept", [bytes(1000), MODEL, MODEL + b"!", bytes(len(MODEL))], ids=["start", "all", "more", "damaged"]
)
def test_whatever_was_kept_the_model_is_right(target, kept):
    part_of(target, DIGEST).write_bytes(kept)
    save(Source(), DIGEST, target, patience_s=PATIENCE_S)
    assert (target.read_bytes(), names(target)) == (MODEL, ["m"])


def test_a_coordinator_that_knows_no_ranges_sends_it_from_the_start(target):
    save(Source(cuts=[100_000], ranges=False), DIGEST, target, patience_s=PATIENCE_S)
    assert target.read_bytes() == MODEL


def test_a_model_that_has_rotted_is_fetched_twice_and_not_kept(target):
    source = Source(model=MODEL[:-1] + b"!")
    target.write_bytes(b"older")
    with pytest.raises(DigestError, match="came damaged twice") as caught:
        save(source, DIGEST, target, patience_s=PATIENCE_S)
    assert DIGEST in caught.value.message
    assert "septum model list" in caught.value.hint
    assert (source.asked, names(target), target.read_bytes()) == ([0, 0], ["m"], b"older")


def test_a_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        save(Source(), DIGEST, tmp_path / "nowhere" / "m", patience_s=PATIENCE_S)


def test_a_part_that_does_not_say_which_is_refused():
    with pytest.raises(MessageError, match="which part"):
        piece_of(206, {}, [])


# --- the coordinator's side ---


WIDTH = 1_000_000  # 4 MB


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("coordinator"), max_blob_mb=8)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def model(coordinator):
    """The digest of a model of 4 MB."""
    silos = [coordinator.enrolled("north")]
    run, told = start_round_one(silos, plan_of(["north"]), "k", WIDTH)
    finish(silos, run, told, WIDTH)
    with Client(coordinator.access) as client:
        found = client.run(run).model
    assert found is not None
    return found


@pytest.fixture
def proxy(coordinator):
    with NetworkProxy(coordinator.port) as proxy:
        yield proxy


@pytest.fixture
def client(coordinator, proxy):
    with Client(replace(coordinator.access, url=f"https://127.0.0.1:{proxy.port}")) as client:
        yield client


def test_a_line_that_is_cut_lets_a_model_through_without_sending_it_twice(client, proxy, model, target):
    # Of each connection; at this speed little is lost of what was on its way.
    proxy.become(Line(cut_down_after=1_500_000, bytes_per_s=8_000_000))
    size = client.download(model, target)
    assert digest_of(target.read_bytes()) == model
    assert (names(target), size > 4 * WIDTH) == (["m"], True)
    assert proxy.counts.resets >= 2
    assert proxy.counts.bytes_down < 1.3 * size


def test_the_next_command_asks_for_the_rest_alone(client, proxy, model, target, coordinator):
    with Client(coordinator.access) as direct:
        size = direct.download(model, target)
    whole = target.read_bytes()
    target.unlink()
    part_of(target, model).write_bytes(whole[: size // 2])
    client.download(model, target)
    assert target.read_bytes() == whole
    assert proxy.counts.bytes_down < 0.7 * size


def test_a_model_that_is_not_there_leaves_nothing(client, target):
    with pytest.raises(NotFoundError):
        client.download(digest_of(b"nothing"), target)
    assert names(target) == []
