"""Packages that are pushed: taken whole, looked at, kept by digest, and gone again when they are not sound."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import sha256

import pytest
from tests.coordinator.support import engine, feed_of

from septum.adapters.blobs.directory import DirectoryBlobs
from septum.coordinator.apps import Apps, PackageFacts, Verify
from septum.coordinator.areas import APPS
from septum.errors import (
    AppError,
    AuthError,
    ConfigError,
    ConflictError,
    ConnectionFailedError,
    DigestError,
    NotFoundError,
    TooLargeError,
)
from septum.testing.fakes import MemoryApps

pytestmark = pytest.mark.anyio
LIMIT = 1000


def package(file, called):
    """A package of these tests is a line `NAME VERSION`."""
    words = b"".join(file.chunks()).decode().split()
    if len(words) != 2:
        raise AppError("no package")
    return PackageFacts(*words)


def signatures(content, facts, digest):
    if content != f'["{facts.name} {facts.version} {digest}"]'.encode():
        raise AuthError("wrong signature")


def preset(file, name, values):
    """A package of these tests knows one hyper-parameter, `lr`, below 1."""
    package(file, "")
    if set(values) != {"lr"} or not 0 < values["lr"] < 1:
        raise ConfigError(f"preset {name!r} does not fit")
    return values


async def chunks(data, *, cut=False):
    for start in range(0, len(data), 3):
        yield data[start : start + 3]
    if cut:
        raise ConnectionFailedError("the body was cut")


def digest_of(data):
    return f"sha256:{sha256(data).hexdigest()}"


@asynccontextmanager
async def opened(folder):
    blobs = DirectoryBlobs(folder)
    async with engine(blobs=blobs) as e:
        yield Apps(
            MemoryApps(), blobs, e.driver.performer, e.clock, Verify(package, signatures, preset), LIMIT, feed_of(e)
        )


async def read(apps, digest):
    async with apps.file(digest) as file:
        return b"".join(file.chunks())


def kept(tmp_path):
    return [path.read_bytes() for path in (tmp_path / APPS).rglob("*") if path.is_file()]


HEART = b"heart 1.0.0"


async def test_a_package_is_kept_under_its_digest(tmp_path):
    async with opened(tmp_path) as apps:
        view = await apps.push(digest_of(HEART), chunks(HEART))
        assert (view.digest, view.name, view.version, view.signatures) == (digest_of(HEART), "heart", "1.0.0", "[]")
        assert await read(apps, view.digest) == HEART
        assert await apps.views() == (view,)
        assert kept(tmp_path) == [HEART]


async def test_a_second_push_changes_nothing_and_keeps_the_signatures(tmp_path):
    async with opened(tmp_path) as apps:
        first = await apps.push(digest_of(HEART), chunks(HEART))
        signed = await apps.sign(first.digest, f'["heart 1.0.0 {first.digest}"]'.encode())
        assert await apps.push(first.digest, chunks(HEART)) == signed
        assert kept(tmp_path) == [HEART]


@pytest.mark.parametrize(
    ("data", "announced", "error"),
    [
        (HEART, digest_of(b"other"), DigestError),
        (b"junk", digest_of(b"junk"), AppError),
        (b"x" * (LIMIT + 1), digest_of(b"x" * (LIMIT + 1)), TooLargeError),
    ],
)
async def test_what_is_refused_leaves_nothing(tmp_path, data, announced, error):
    async with opened(tmp_path) as apps:
        with pytest.raises(error):
            await apps.push(announced, chunks(data))
        assert kept(tmp_path) == []
        assert await apps.views() == ()


async def test_a_push_that_is_cut_leaves_nothing(tmp_path):
    async with opened(tmp_path) as apps:
        with pytest.raises(ConnectionFailedError):
            await apps.push(digest_of(HEART), chunks(HEART, cut=True))
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_another_package_of_a_version_is_refused_and_the_first_stays(tmp_path):
    async with opened(tmp_path) as apps:
        await apps.push(digest_of(HEART), chunks(HEART))
        other = b"heart  1.0.0"
        with pytest.raises(ConflictError, match=r"heart 1\.0\.0 has been pushed already"):
            await apps.push(digest_of(other), chunks(other))
        assert kept(tmp_path) == [HEART]


async def test_a_known_package_whose_digest_is_announced_wrongly_stays(tmp_path):
    async with opened(tmp_path) as apps:
        await apps.push(digest_of(HEART), chunks(HEART))
        with pytest.raises(DigestError):
            await apps.push(digest_of(b"other"), chunks(HEART))
        assert kept(tmp_path) == [HEART]


async def test_signatures_are_kept_only_if_they_are_right(tmp_path):
    async with opened(tmp_path) as apps:
        view = await apps.push(digest_of(HEART), chunks(HEART))
        right = f'["heart 1.0.0 {view.digest}"]'.encode()
        assert (await apps.sign(view.digest, right)).signatures == right.decode()
        with pytest.raises(AuthError):
            await apps.sign(view.digest, b"[]")
        assert (await apps.view(view.digest)).signatures == right.decode()
        with pytest.raises(NotFoundError):
            await apps.sign(digest_of(b"other"), right)


async def test_two_pushes_of_one_package_at_one_time_both_succeed(tmp_path):
    async with opened(tmp_path) as apps:
        views = await asyncio.gather(*(apps.push(digest_of(HEART), chunks(HEART)) for _ in range(4)))
        assert views == [views[0]] * 4
        assert kept(tmp_path) == [HEART]


async def test_a_preset_is_looked_at_when_it_is_given_and_leaves_the_package_as_it_is(tmp_path):
    async with opened(tmp_path) as apps:
        pushed = await apps.push(digest_of(HEART), chunks(HEART))
        given = await apps.set_preset(pushed.digest, "slow", {"lr": 0.25})
        assert given == replace(pushed, presets={"slow": {"lr": 0.25}}) == await apps.view(pushed.digest)
        with pytest.raises(ConfigError):
            await apps.set_preset(pushed.digest, "slow", {"lr": 2.0})
        assert await apps.push(pushed.digest, chunks(HEART)) == given
        assert await apps.drop_preset(pushed.digest, "slow") == pushed
        assert kept(tmp_path) == [HEART]


async def test_presets_are_bounded_in_number_and_size_and_one_that_is_there_can_still_be_changed(tmp_path, monkeypatch):
    monkeypatch.setattr("septum.coordinator.apps.MAX_PRESETS", 2)
    monkeypatch.setattr("septum.coordinator.apps.MAX_PRESET_BYTES", 12)
    async with opened(tmp_path) as apps:
        digest = (await apps.push(digest_of(HEART), chunks(HEART))).digest
        with pytest.raises(TooLargeError, match="14 bytes as JSON, at most 12"):
            await apps.set_preset(digest, "long", {"lr": 0.12345})
        for name in ("one", "two"):
            await apps.set_preset(digest, name, {"lr": 0.5})
        with pytest.raises(TooLargeError, match="was given 2 presets"):
            await apps.set_preset(digest, "three", {"lr": 0.5})
        assert (await apps.set_preset(digest, "two", {"lr": 0.75})).presets["two"] == {"lr": 0.75}


async def test_what_is_removed_is_gone_with_its_bytes_and_removing_it_again_changes_nothing(tmp_path):
    async with opened(tmp_path) as apps:
        view = await apps.push(digest_of(HEART), chunks(HEART))
        lung = await apps.push(digest_of(b"lung 1.0.0"), chunks(b"lung 1.0.0"))
        for _ in range(2):
            await apps.remove(view.digest, lambda _: ())
            assert await apps.views() == (lung,)
            assert kept(tmp_path) == [b"lung 1.0.0"]
        with pytest.raises(NotFoundError):
            await read(apps, view.digest)
        again = await apps.push(view.digest, chunks(HEART))
        assert await read(apps, again.digest) == HEART


async def test_what_a_run_at_work_names_is_not_removed_and_the_runs_are_named(tmp_path):
    async with opened(tmp_path) as apps:
        view = await apps.push(digest_of(HEART), chunks(HEART))
        asked = []

        def runs_of(digest):
            asked.append(digest)
            return [f"r-{number}" for number in range(7)]

        with pytest.raises(
            ConflictError, match="of its runs r-0, r-1, r-2, r-3, r-4 and 2 more have not ended"
        ) as error:
            await apps.remove(view.digest, runs_of)
        assert error.value.hint == "septum run stop r-0"
        assert asked == [view.digest]
        assert await apps.views() == (view,)
        assert kept(tmp_path) == [HEART]


async def test_a_push_whose_bytes_are_removed_meanwhile_fails_instead_of_naming_nothing(tmp_path):
    async with opened(tmp_path) as apps:
        stored = apps._stored

        async def then_removed(body):
            came = await stored(body)
            DirectoryBlobs(tmp_path).discard(APPS, [came.blob])
            return came

        apps._stored = then_removed
        with pytest.raises(NotFoundError):
            await apps.push(digest_of(HEART), chunks(HEART))
        assert await apps.views() == ()
