"""Many watch one list: each gets every entry once and in order, and the list is read for all of them together."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.coordinator.support import until

from septum.coordinator import hub
from septum.coordinator.hub import Frame, Hubs
from septum.coordinator.seats import Seats
from septum.errors import RateLimitedError, StorageError

pytestmark = pytest.mark.anyio


class Growing:
    """A list in memory: it counts how often it is read."""

    def __init__(self, entries: int = 0, page: int = 3) -> None:
        self.frames: list[Frame[int]] = []
        self.ended = False
        self.reads = 0
        self.error: StorageError | None = None
        self._page = page
        self.add(entries)

    def add(self, count: int = 1, size: int = 4) -> None:
        for _ in range(count):
            seq = len(self.frames) + 1
            self.frames.append(Frame(seq, seq, b"%*d" % (size, seq)))

    async def after(self, seq: int) -> list[Frame[int]]:
        self.reads += 1
        if self.error is not None:
            raise self.error
        found = [frame for frame in self.frames if frame.seq > seq][: self._page]
        await asyncio.sleep(0)
        return found

    async def over(self) -> bool:
        return self.ended


def hubs_of(growing: Growing) -> Hubs[int]:
    return Hubs(lambda _: growing, pace_s=0.0)


async def all_of(viewer) -> list[int]:
    seen = b""
    while (data := await viewer.take(5)) is not None:
        seen += data
    return [int(seen[at : at + 4]) for at in range(0, len(seen), 4)]


async def test_everybody_gets_every_entry_once_and_in_order_wherever_they_begin():
    growing = Growing(7)
    hubs = hubs_of(growing)
    with hubs.watch("k") as first, hubs.watch("k", after=5) as second, hubs.watch("k", wants=lambda n: n % 2) as third:
        told = [asyncio.ensure_future(all_of(viewer)) for viewer in (first, second, third)]
        for _ in range(5):
            growing.add(2)
            hubs.wake("k")
            await asyncio.sleep(0.002)
        growing.ended = True
        hubs.wake("k")
        assert await asyncio.gather(*told) == [list(range(1, 18)), list(range(6, 18)), list(range(1, 18, 2))]
    assert len(hubs) == 0


async def test_what_is_new_is_read_once_for_all_and_each_gets_the_same_bytes():
    growing = Growing()
    hubs = hubs_of(growing)
    with hubs.watch("k") as one, hubs.watch("k") as two, hubs.watch("k") as three:
        waiting = [asyncio.ensure_future(viewer.take(5)) for viewer in (one, two, three)]
        await until(lambda: growing.reads >= 4)  # each found nothing, and then they were told together
        await asyncio.sleep(0.01)
        growing.reads = 0
        growing.add()
        hubs.wake("k")
        got = await asyncio.gather(*waiting)
        await asyncio.sleep(0.01)
        assert growing.reads == 2  # the entry, and that there is no other
        assert got == [b"   1"] * 3


async def test_who_comes_back_is_told_the_newest_entries_from_memory():
    growing = Growing()
    hubs = hubs_of(growing)
    with hubs.watch("k") as stays:
        staying = asyncio.ensure_future(all_of(stays))
        with hubs.watch("k") as goes:
            coming = asyncio.ensure_future(goes.take(5))
            await asyncio.sleep(0.01)
            growing.add(3)
            hubs.wake("k")
            assert await coming == b"   1   2   3"
        await asyncio.sleep(0.01)
        growing.reads = 0
        with hubs.watch("k", after=1) as back:
            assert await back.take(5) == b"   2   3"
            assert growing.reads == 0
        growing.ended = True
        hubs.wake("k")
        assert await staying == [1, 2, 3]


async def test_a_viewer_that_takes_nothing_is_cut_off_and_misses_nothing_when_it_comes_back(monkeypatch):
    monkeypatch.setattr(hub, "MAX_WAITING_BYTES", 39)
    growing = Growing()
    hubs = hubs_of(growing)
    with hubs.watch("k") as slow, hubs.watch("k") as quick:
        coming = [asyncio.ensure_future(viewer.take(5)) for viewer in (slow, quick)]
        await asyncio.sleep(0.01)
        growing.add()
        hubs.wake("k")
        assert await asyncio.gather(*coming) == [b"   1"] * 2
        for _ in range(10):  # of which `slow` takes none
            growing.add()
            hubs.wake("k")
            assert await quick.take(5) == growing.frames[-1].data
        assert slow.cut.done()
        assert await slow.take(5) is None
        assert not quick.cut.done()
    growing.ended = True
    with hubs.watch("k", after=1) as back:
        assert await all_of(back) == list(range(2, 12))


class Gated(Growing):
    """What is read is found at once, and given when the test lets it through: the next time that `hold` is called."""

    def __init__(self, entries: int) -> None:
        super().__init__(entries)
        self.gates: list[asyncio.Event] = []
        self.holding = 0

    async def after(self, seq: int) -> list[Frame[int]]:
        found = await super().after(seq)
        if self.gates and len(self.gates) > self.holding:
            gate = self.gates[self.holding]
            self.holding += 1
            await gate.wait()
        return found

    def hold(self) -> asyncio.Event:
        self.gates.append(asyncio.Event())
        return self.gates[-1]


async def test_who_comes_when_all_others_have_just_left_misses_nothing_that_was_read_for_them():
    growing = Gated(1)
    hubs = hubs_of(growing)
    leaving = hubs.watch("k", after=1)
    first = leaving.__enter__()
    told = asyncio.ensure_future(first.take(5))
    await asyncio.sleep(0.01)  # it is told what comes
    with hubs.watch("k", after=1) as late:
        its_look = growing.hold()
        coming = asyncio.ensure_future(all_of(late))
        await until(lambda: growing.holding == 1)  # it has found nothing after 1, and has not heard so yet
        growing.add()
        hubs.wake("k")
        assert await told == b"   2"
        for_the_others = growing.hold()
        growing.add()
        hubs.wake("k")
        await until(lambda: growing.holding == 2)  # entry 3 is found, for those who have 2
        leaving.__exit__(None, None, None)
        its_look.set()
        await asyncio.sleep(0.01)
        for_the_others.set()
        await asyncio.sleep(0.01)
        growing.ended = True
        hubs.wake("k")
        assert await coming == [2, 3]


async def test_a_list_that_cannot_be_read_ends_for_those_who_are_told_and_they_may_come_back():
    growing = Growing()
    hubs = hubs_of(growing)
    with hubs.watch("k") as viewer:
        coming = asyncio.ensure_future(viewer.take(5))
        await asyncio.sleep(0.01)
        growing.error = StorageError("the disk is gone")
        hubs.wake("k")
        assert await coming is None
    with hubs.watch("k") as late:
        with pytest.raises(StorageError):
            await late.take(5)
        growing.error = None
        growing.add()
        assert await late.take(5) == b"   1"


async def test_nothing_new_is_said_so_and_the_list_goes_on():
    growing = Growing(1)
    hubs = hubs_of(growing)
    with hubs.watch("k") as viewer:
        assert await viewer.take(5) == b"   1"
        assert await viewer.take(0.01) == b""
        growing.add()
        hubs.wake("k")
        assert await viewer.take(5) == b"   2"


async def test_when_the_coordinator_goes_down_everybody_is_sent_away():
    hubs = hubs_of(Growing())
    with hubs.watch("k") as viewer, hubs.watch("other") as other:
        coming = asyncio.ensure_future(viewer.take(60))
        await asyncio.sleep(0.01)
        hubs.end()
        assert await coming is None
        assert await other.take(60) is None
        with hubs.watch("k") as late:
            assert await late.take(60) is None


async def test_the_hand_outs_of_a_busy_list_have_a_pause_between_them():
    growing = Growing()
    hubs: Hubs[int] = Hubs(lambda _: growing, pace_s=0.05)
    loop = asyncio.get_running_loop()
    with hubs.watch("k") as viewer:
        taken: list[float] = []
        coming = asyncio.ensure_future(viewer.take(5))
        await asyncio.sleep(0.06)  # the first look is over
        for _ in range(3):
            growing.add()
            hubs.wake("k")
            assert await coming
            taken.append(loop.time())
            coming = asyncio.ensure_future(viewer.take(5))
        coming.cancel()
        assert min(later - sooner for sooner, later in pairwise(taken)) > 0.04


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["add", "wake", "come", "go", "turn"]), st.integers(1, 4)), max_size=40),
    st.integers(1, 4),
)
def test_whoever_comes_and_goes_whenever_they_get_all_that_followed(story, page):
    async def play() -> None:
        growing = Growing(2, page)
        hubs = hubs_of(growing)
        watching: list[tuple[int, object, asyncio.Task[list[int]], object]] = []
        for what, number in story:
            match what:
                case "add":
                    growing.add(number)
                case "wake":
                    hubs.wake("k")
                case "come":
                    after = max(0, len(growing.frames) - number)
                    opened = hubs.watch("k", after=after)
                    viewer = opened.__enter__()
                    watching.append((after, opened, asyncio.ensure_future(all_of(viewer)), viewer))
                case "go" if len(watching) >= number:
                    _, opened, task, _ = watching.pop(number - 1)
                    task.cancel()
                    opened.__exit__(None, None, None)
                case _:
                    for _ in range(number):
                        await asyncio.sleep(0)
        growing.ended = True
        hubs.wake("k")
        await asyncio.sleep(0.005)
        hubs.wake("k")
        for after, opened, task, _ in watching:
            assert await asyncio.wait_for(task, 5) == list(range(after + 1, len(growing.frames) + 1))
            opened.__exit__(None, None, None)
        assert len(hubs) == 0

    asyncio.run(play())


def test_a_person_has_so_many_seats_and_gets_one_back_for_each_that_is_left():
    seats = Seats(2)
    with seats.taken("ada"):
        with seats.taken("ada"):
            with pytest.raises(RateLimitedError, match="2 streams") as refused:
                seats.need("ada")
            assert "streams_per_person" in refused.value.hint
            seats.need("ben")
        seats.need("ada")
