"""Silos fetch large models from the bucket itself where their rules name its host, and else from the coordinator."""

from __future__ import annotations

import pytest
from tests.coordinator.running import KEYS, NARROW, WIDE, Running, next_seed, start_round_one
from tests.coordinator.support import plan_of
from tests.s3_server import Dropped, Front, credentials, opened

from septum.adapters.channel.https import HttpsChannel
from septum.adapters.identity.http_signatures import Ed25519Signer
from septum.adapters.tls import ensure_server_certificate
from septum.coordinator import service
from septum.coordinator.blobs_config import BlobsConfig
from septum.errors import ConnectionFailedError
from septum.protocol.plan import digest_of

pytestmark = pytest.mark.processes

LARGE = 100_000  # bytes: a model of WIDE is more


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return ensure_server_certificate(tmp_path_factory.mktemp("tls"), ["127.0.0.1"])


@pytest.fixture(scope="module")
def front(s3, certificate):
    with Front(s3.url, certificate=certificate) as front:
        yield front


@pytest.fixture(scope="module")
def place(s3):
    return s3.place()


@pytest.fixture(scope="module")
def silos(tmp_path_factory, place, front, certificate):
    ca = str(certificate.ca_path)
    config = BlobsConfig(place.bucket, place.prefix, front.url, place.region, ca_file=ca, presigned=True)
    with credentials(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "ELSEWHERE_BYTES", LARGE)
        running = Running(tmp_path_factory.mktemp("coordinator"), blobs=config)
        yield [running.enrolled(name) for name in ("cleveland", "hungary", "switzerland")]
        running.stop()


@pytest.fixture
def connect(silos, certificate):
    """The line of the first silo, whose rules name these hosts."""
    opened_lines = []

    def make(*hosts):
        silo = silos[0]
        line = HttpsChannel(
            silo.coordinator.url,
            Ed25519Signer(silo.name, silo.key),
            ca_file=silo.coordinator.config.data_dir / "tls" / "ca.crt",
            extra_ca=certificate.ca_path,
            egress_hosts=hosts,
        )
        opened_lines.append(line)
        return line

    yield make
    for line in opened_lines:
        line.close()


@pytest.fixture
def model(silos, front):
    """Of a run in round 1, and the run. What the front was asked before is forgotten."""
    run, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), WIDE)
    front.meddle = lambda _: None
    front.asked.clear()
    return run, told[0].model


def fetched(line, run, model, tmp_path):
    target = tmp_path / "model"
    line.fetch_blob(run, model.digest, target, size_bytes=model.size_bytes)
    assert digest_of(target.read_bytes()) == model.digest


def reads(front):
    """What silos asked the bucket for: by an address that was signed, not by a header."""
    return [one for one in front.asked if one.method == "GET" and "X-Amz-Signature=" in one.target]


def test_a_silo_whose_rules_name_the_bucket_fetches_a_large_model_there(connect, front, model, tmp_path):
    run, blob = model
    line = connect("other.example.org", f"127.0.0.1:{front.port}")
    fetched(line, run, blob, tmp_path)
    (read,) = reads(front)
    assert blob.digest.removeprefix("blake3:") in read.target
    assert "X-Amz-Expires=900" in read.target


@pytest.mark.parametrize("hosts", [(), ("s3.example.org",), ("127.0.0.1",)])
def test_a_silo_whose_rules_do_not_name_it_gets_the_model_from_the_coordinator(connect, front, model, tmp_path, hosts):
    run, blob = model
    fetched(connect(*hosts), run, blob, tmp_path)
    assert reads(front) == []


def test_an_object_that_has_changed_comes_from_the_coordinator_instead(connect, front, place, model, tmp_path):
    run, blob = model
    name = blob.digest.removeprefix("blake3:")
    with opened(place) as bucket:
        bucket.put(f"models/{name[:2]}/{name}", bytes(blob.size_bytes))
    fetched(connect(f"127.0.0.1:{front.port}"), run, blob, tmp_path)
    assert len(reads(front)) == 1


def test_a_bucket_that_the_silo_cannot_reach_is_left_out_the_next_time(connect, front, model, tmp_path):
    run, blob = model
    line = connect(f"127.0.0.1:{front.port}")
    front.meddle = lambda asked: Dropped() if asked.method == "GET" else None
    with pytest.raises(ConnectionFailedError):
        fetched(line, run, blob, tmp_path)
    fetched(line, run, blob, tmp_path)
    assert len(reads(front)) == 1


def test_a_download_that_was_cut_there_goes_on_at_the_coordinator(connect, front, model, tmp_path):
    run, blob = model
    line = connect(f"127.0.0.1:{front.port}")
    front.meddle = lambda asked: Dropped(after=LARGE) if asked.method == "GET" else None
    with pytest.raises(ConnectionFailedError):
        fetched(line, run, blob, tmp_path)
    fetched(line, run, blob, tmp_path)
    assert len(reads(front)) == 1


def test_a_small_model_travels_inside_messages_as_ever(silos, connect, front):
    front.asked.clear()
    _, told = start_round_one(silos, plan_of(seed=next_seed()), next(KEYS), NARROW)
    assert told[0].model.inline
    assert reads(front) == []
