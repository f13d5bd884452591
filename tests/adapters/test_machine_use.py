"""How busy a machine is: numbers worked out by hand from what the kernel says, and none where it says nothing."""

from __future__ import annotations

import sys
import time
import types

import pytest

from septum.adapters.machine_use import GpuUse, MachineUse

STAT = "cpu  {user} 0 100 {idle} 50 0 0 0 7 0\ncpu0 1 2 3\n"
MEMORY = "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    {available} kB\n"
NET = (
    "Inter-|   Receive |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n"
    "    lo: 999999999 1 0 0 0 0 0 0 999999999 1 0 0 0 0 0 0\n"
    "  eth0: {received} 1 0 0 0 0 0 0 {sent} 1 0 0 0 0 0 0\n"
    "  eth1: 1000000 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0\n"
)


def say(proc, *, user, idle, available, received, sent):
    (proc / "net").mkdir(exist_ok=True)
    (proc / "stat").write_text(STAT.format(user=user, idle=idle))
    (proc / "meminfo").write_text(MEMORY.format(available=available))
    (proc / "net" / "dev").write_text(NET.format(received=received, sent=sent))


def test_numbers_are_those_since_the_reading_before_and_rounded(tmp_path):
    say(tmp_path, user=1000, idle=5000, available=8_000_000, received=0, sent=0)
    machine = MachineUse(tmp_path, tmp_path, lambda: None)
    assert machine.read(100.0) is None
    say(tmp_path, user=1300, idle=5698, available=7_000_000, received=2_004_999, sent=50_000)
    found = machine.read(110.0)
    assert found is not None
    assert found.cpu == 30.0  # 300 of 998 ticks: 30.06 %
    assert found.memory_mb == 9_200.0  # 9,000,000 kB are 9,216 * 10^6 bytes
    assert (found.received_kbs, found.sent_kbs) == (200.0, 5.0)
    assert (found.gpu, found.gpu_memory_mb) == (None, None)
    assert machine.sizes_mb()[0] == 16_400.0
    assert found.disk_mb <= machine.sizes_mb()[1]


def test_counters_that_began_anew_are_nothing_and_not_less_than_nothing(tmp_path):
    say(tmp_path, user=1000, idle=5000, available=1, received=5_000_000, sent=5)
    machine = MachineUse(tmp_path, tmp_path, lambda: GpuUse(49.6, 15_349.0))
    machine.read(1.0)
    say(tmp_path, user=10, idle=50, available=1, received=0, sent=0)
    found = machine.read(2.0)
    assert found is not None
    assert (found.cpu, found.received_kbs, found.sent_kbs) == (0.0, 0.0, 0.0)
    assert (found.gpu, found.gpu_memory_mb) == (50.0, 15_300.0)


def test_a_system_without_proc_has_a_disk_and_zeros(tmp_path):
    machine = MachineUse(tmp_path, tmp_path / "nothing", lambda: None)
    machine.read(1.0)
    found = machine.read(2.0)
    assert found is not None
    assert (found.cpu, found.memory_mb, found.received_kbs) == (0.0, 0.0, 0.0)
    assert machine.sizes_mb()[1] > 0


def test_this_machine_can_be_read(tmp_path):
    machine = MachineUse(tmp_path)
    began = time.monotonic()
    machine.read(began)
    found = machine.read(began + 1.0)
    assert found is not None
    assert 0.0 <= found.cpu <= 100.0
    assert found.memory_mb > 0


@pytest.mark.parametrize("broken", [False, True])
def test_gpus_are_asked_all_together_and_one_that_is_gone_is_not_there(tmp_path, monkeypatch, broken):
    class NvmlError(Exception):
        pass

    def use(handle):
        if broken:
            raise NvmlError
        return types.SimpleNamespace(gpu=[20, 40][handle])

    nvml = types.SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetUtilizationRates=use,
        nvmlDeviceGetMemoryInfo=lambda handle: types.SimpleNamespace(used=[10**9, 2 * 10**9][handle]),
        __spec__=types.SimpleNamespace(),
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    say(tmp_path, user=1, idle=1, available=1, received=0, sent=0)
    machine = MachineUse(tmp_path, tmp_path)
    machine.read(1.0)
    found = machine.read(2.0)
    assert found is not None
    assert (found.gpu, found.gpu_memory_mb) == ((None, None) if broken else (30.0, 3_000.0))
