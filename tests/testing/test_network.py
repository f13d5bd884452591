"""The delay proxy does what it says, so that a test through it tests what it means to."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from septum.errors import TimedOutError
from septum.testing.network import HOST, Counts, Line, NetworkProxy, Passage

pytestmark = pytest.mark.served

PATIENCE_S = 20.0


class Echo:
    """A server that sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.told = threading.Condition()
        self._listening = socket.create_server((HOST, 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65536):
                with self.told:
                    self.heard += data
                    self.told.notify_all()
                with suppress(OSError):  # who does not listen any more may still have said something
                    connection.sendall(data)

    def wait_for(self, count: int) -> bytes:
        with self.told:
            assert self.told.wait_for(lambda: len(self.heard) >= count, PATIENCE_S), bytes(self.heard)
            return bytes(self.heard)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as server:
        yield server


@pytest.fixture
def proxy(echo: Echo) -> Iterator[NetworkProxy]:
    with NetworkProxy(echo.port) as made:
        yield made


@contextmanager
def connected(proxy: NetworkProxy, timeout_s: float = PATIENCE_S) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, proxy.port), timeout=timeout_s) as connection:
        yield connection


def exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, f"ended after {len(data)} of {count} bytes"
        data += more
    return data


def say(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return exactly(connection, len(data))


def is_reset(connection: socket.socket) -> bool:
    try:
        connection.recv(1)
    except ConnectionResetError:
        return True
    return False


def test_a_perfect_line_passes_everything_on_and_counts_it(proxy):
    data = bytes(range(256)) * 4000
    with connected(proxy) as connection:
        sending = threading.Thread(target=connection.sendall, args=(data,))
        sending.start()
        assert exactly(connection, len(data)) == data
        sending.join()
        counts = proxy.wait_until(lambda counts: counts.bytes_down == len(data), PATIENCE_S)
        assert counts == Counts(accepted=1, open=1, bytes_up=len(data), bytes_down=len(data))
    assert proxy.wait_until(lambda counts: counts.open == 0, PATIENCE_S).resets == 0


def test_the_end_of_one_direction_is_passed_on_and_the_other_stays_open(proxy):
    with connected(proxy) as connection:
        connection.sendall(b"abc")
        connection.shutdown(socket.SHUT_WR)
        assert exactly(connection, 3) == b"abc"
        assert connection.recv(1) == b""


def test_latency_is_added_in_each_direction_and_does_not_limit_the_rate(proxy):
    proxy.become(Line(latency_s=0.2))
    data = b"x" * 1_000_000
    with connected(proxy) as connection:
        began = time.monotonic()
        sending = threading.Thread(target=connection.sendall, args=(data,))
        sending.start()
        exactly(connection, len(data))
        took_s = time.monotonic() - began
        sending.join()
    assert 0.4 <= took_s < 0.4 + 16 * 0.2  # were each of the 16 pieces to wait for the one before: 6.4 s


def test_bandwidth_is_limited_in_each_direction(proxy):
    proxy.become(Line(bytes_per_s=100_000))
    with connected(proxy) as connection:
        began = time.monotonic()
        assert say(connection, b"x" * 50_000)
        assert time.monotonic() - began >= 0.45


def test_a_byte_a_second_is_just_that_until_the_line_is_healed(proxy, echo):
    proxy.become(Line(bytes_per_s=1))
    with connected(proxy) as connection:
        began = time.monotonic()
        connection.sendall(b"abc" * 20)
        assert len(echo.wait_for(2)) < 60
        assert time.monotonic() - began >= 0.9
        proxy.heal()
        assert (
            exactly(connection, 60) == b"abc" * 20
        )  # which is not to take a minute: the connection's patience is less


@pytest.mark.parametrize("limit", [0, 1, 70_000])
def test_a_line_is_cut_after_so_many_bytes_up(proxy, echo, limit):
    proxy.become(Line(cut_up_after=limit))
    with connected(proxy) as connection:
        connection.sendall(b"x" * (limit + 10))
        counts = proxy.wait_until(lambda counts: counts.resets == 1 and counts.open == 0, PATIENCE_S)
        assert counts.bytes_up == limit
    assert len(echo.wait_for(limit)) == limit


def test_a_line_is_cut_after_so_many_bytes_down_and_the_server_got_all(proxy, echo):
    proxy.become(Line(cut_down_after=4))
    with connected(proxy) as connection:
        connection.sendall(b"question")
        assert exactly(connection, 4) == b"ques"
        assert is_reset(connection)
    assert echo.wait_for(8) == b"question"
    assert proxy.counts.bytes_down == 4


def test_what_a_cut_counts_begins_when_the_line_becomes_so(proxy):
    with connected(proxy) as connection:
        assert say(connection, b"before")
        proxy.become(Line(cut_down_after=3))
        connection.sendall(b"after")
        assert exactly(connection, 3) == b"aft"
        assert is_reset(connection)


def test_a_swallowed_answer_is_lost_after_the_question_arrived_and_a_new_connection_works(proxy, echo):
    with connected(proxy) as connection:
        assert say(connection, b"one")
        proxy.swallow()
        connection.sendall(b"two")
        assert is_reset(connection)
    assert echo.wait_for(6) == b"onetwo"
    with connected(proxy) as connection:
        assert say(connection, b"two") == b"two"
    assert (proxy.counts.swallowed, proxy.counts.resets) == (1, 1)


def test_a_half_open_line_says_nothing_and_closes_nothing_until_it_is_healed(proxy, echo):
    with connected(proxy, timeout_s=0.3) as connection:
        assert say(connection, b"one")
        proxy.become(Line(passage=Passage.HALF_OPEN))
        connection.sendall(b"two")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert echo.heard == b"one"
        proxy.heal()
        connection.settimeout(PATIENCE_S)
        assert exactly(connection, 3) == b"two"
    assert proxy.counts.resets == 0


def test_a_refusing_line_resets_what_is_open_refuses_what_comes_and_keeps_its_port(proxy):
    with connected(proxy) as connection:
        assert say(connection, b"one")
        proxy.become(Line(passage=Passage.REFUSED))
        assert is_reset(connection)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((HOST, proxy.port))
    proxy.heal()
    with connected(proxy) as connection:
        assert say(connection, b"two") == b"two"


def test_a_cut_resets_what_is_open_and_nothing_else(proxy):
    with connected(proxy) as first, connected(proxy) as second:
        assert say(first, b"a")
        assert say(second, b"b")
        proxy.cut()
        assert is_reset(first)
        assert is_reset(second)
    with connected(proxy) as third:
        assert say(third, b"c") == b"c"


def test_a_target_that_refuses_is_a_line_that_resets(echo):
    with NetworkProxy(1) as proxy:
        with pytest.raises(ConnectionResetError), connected(proxy) as connection:
            connection.recv(1)
        proxy.target_port = echo.port
        with connected(proxy) as another:
            assert say(another, b"x") == b"x"


def test_a_closed_proxy_leaves_no_thread_and_no_port(echo):
    before = threading.active_count()
    proxy = NetworkProxy(echo.port)
    with connected(proxy) as connection:
        assert say(connection, b"x")
        proxy.close()
        assert is_reset(connection)
    proxy.close()
    with socket.socket() as again:
        again.bind((HOST, proxy.port))
    assert threading.active_count() <= before + 1  # the echo's own for that connection may be ending


def test_waiting_in_vain_says_what_has_passed(proxy):
    with pytest.raises(TimedOutError, match="accepted=0"):
        proxy.wait_until(lambda counts: counts.accepted > 0, 0.05)


def test_a_line_that_cannot_be_is_refused():
    for wrong in ({"latency_s": -1.0}, {"bytes_per_s": 0.0}, {"cut_up_after": -1}, {"latency_s": float("nan")}):
        with pytest.raises(ValueError, match="cannot be"):
            Line(**wrong)
