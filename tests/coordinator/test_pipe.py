"""Promises of the pipe between the event loop and the thread that writes an upload."""

import asyncio
import threading

import pytest

from septum.coordinator.pipe import LEAST_BYTES, PIPE_BYTES, ROOM_BYTES, Pipe, Room, pour
from septum.errors import ConnectionFailedError

pytestmark = pytest.mark.anyio


async def test_a_pipe_holds_the_sender_back_while_the_reader_is_slow():
    pipe, got, go = Pipe(Room()), [], threading.Event()

    def read():
        go.wait(10)
        got.extend(pipe)

    reader = threading.Thread(target=read)
    reader.start()
    half = bytes(PIPE_BYTES // 2)
    assert await pipe.send(half)
    second = asyncio.ensure_future(pipe.send(half))
    await asyncio.sleep(0.02)
    assert not second.done()
    go.set()
    assert await asyncio.wait_for(second, 5)
    pipe.end()
    await asyncio.to_thread(reader.join)
    assert sum(map(len, got)) == PIPE_BYTES


async def test_a_pipe_tells_the_sender_that_nobody_reads_any_more():
    pipe = Pipe(Room())
    waiting = asyncio.ensure_future(pipe.send(bytes(PIPE_BYTES)))
    await asyncio.sleep(0)
    await asyncio.to_thread(pipe.abandon)
    assert await asyncio.wait_for(waiting, 5) is False
    assert await pipe.send(bytes(PIPE_BYTES)) is False


async def test_a_pipe_that_ends_with_an_error_gives_it_to_the_reader():
    pipe = Pipe(Room())
    await pipe.send(b"ab")
    pipe.end(ConnectionFailedError("cut"))
    with pytest.raises(ConnectionFailedError, match="cut"):
        await asyncio.to_thread(list, pipe)


async def test_pipes_that_are_open_share_one_room_and_a_pipe_that_closes_gives_its_share_back():
    room, silos = Room(), 16
    with room.pipe() as alone:
        assert room.share_bytes == PIPE_BYTES
        await alone.send(bytes(PIPE_BYTES // 2))
    pipes = [room.pipe() for _ in range(silos)]
    opened = [pipe.__enter__() for pipe in pipes]
    share = room.share_bytes
    assert share * silos == ROOM_BYTES
    waiting = [asyncio.ensure_future(pipe.send(bytes(share))) for pipe in opened]
    await asyncio.sleep(0.02)
    assert not any(send.done() for send in waiting)
    for pipe in opened:
        pipe.abandon()
    await asyncio.gather(*waiting)
    for pipe in pipes:
        pipe.__exit__(None, None, None)
    assert room.share_bytes == PIPE_BYTES


async def test_however_many_pipes_each_may_hold_a_little():
    room = Room()
    pipes = [room.pipe() for _ in range(1000)]
    for pipe in pipes:
        pipe.__enter__()
    assert room.share_bytes == LEAST_BYTES


async def test_a_sender_that_was_held_back_goes_on_when_others_have_left_meanwhile():
    room = Room()
    others = [room.pipe() for _ in range(15)]
    with room.pipe() as pipe:
        for other in others:
            other.__enter__()
        held = asyncio.ensure_future(pipe.send(bytes(room.share_bytes)))
        await asyncio.sleep(0.02)
        for other in others:
            other.__exit__(None, None, None)
        reading = asyncio.to_thread(list, pipe)
        read = asyncio.ensure_future(reading)
        assert await asyncio.wait_for(held, 5)
        pipe.end()
        assert sum(map(len, await read)) == ROOM_BYTES // 16


async def test_what_is_poured_arrives_whole_and_a_share_is_given_back_when_the_body_is_cut():
    room = Room()

    async def body(cut):
        for number in range(40):
            yield bytes([number]) * 300_000
        if cut:
            raise ConnectionFailedError("cut")

    async def read(pipe):
        return await asyncio.to_thread(b"".join, pipe)

    assert await pour(room, body(False), read) == b"".join(bytes([number]) * 300_000 for number in range(40))
    with pytest.raises(ConnectionFailedError, match="cut"):
        await pour(room, body(True), read)
    assert room.share_bytes == PIPE_BYTES
