"""Real services for tests, on this machine: MLflow's own server, and moto's server for SageMaker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UP_S = 60.0
ARN = "arn:aws:sagemaker:eu-central-1:123456789012:mlflow-tracking-server/septum"
REGION = "eu-central-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """`mlflow server` on a SQLite file in `folder`; its URL."""
    port = free_port()
    command = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, folder / "mlflow.log", f"http://127.0.0.1:{port}/health", folder) as url:
        yield url.removesuffix("/health")


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """moto's server; its URL."""
    port = free_port()
    command = ["moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, folder / "moto.log", f"http://127.0.0.1:{port}/moto-api/", folder) as url:
        yield url.removesuffix("/moto-api/")


@contextmanager
def _running(command: list[str], log: Path, url: str, folder: Path) -> Iterator[str]:
    program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    more = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    env = {**os.environ, "GIT_PYTHON_REFRESH": "quiet", **more}
    with log.open("wb") as output:
        process = subprocess.Popen(program, stdout=output, stderr=output, env=env, cwd=folder, start_new_session=True)
        try:
            _wait(process, url, log)
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # what it stored is read no more; it would take its time
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + UP_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"it ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"it was not up in {UP_S} s:\n{log.read_text()[-2000:]}")
