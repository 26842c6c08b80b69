"""Several hosts: who they are by options and schedulers, and what happens when one is lost."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace
from queue import Queue

import pytest
from free_port import free_port

from asl_edge.errors import UserError
from asl_edge.training.compute import hosts as module
from asl_edge.training.compute.hosts import Hosts, WatchTimes, first_node, from_options, watched


def test_hosts_by_options() -> None:
    assert from_options("a:1,b:2 ,c:3", 1, {}) == Hosts("a:1", 3, 1)
    assert from_options(None, None, {}) is None


@pytest.mark.parametrize(
    ("hosts", "index", "message"),
    [
        ("a:1,b:2", None, "--host-index, from 0 to 1"),
        (None, 0, "needs --hosts"),
        ("a:1,b:2", 2, "from 0 to 1. Received: 2"),
        ("a:1,b:2", -1, "from 0 to 1"),
        ("a:1", 0, "two or more"),
        ("a,b", 0, "name:port"),
        ("", 0, "name:port"),
        ("a:x,b:1", 0, "name:port"),
    ],
)
def test_options_that_make_no_sense(hosts: str | None, index: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_options(hosts, index, {})


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[003-007,9],login1", "gpu003"),
        ("node7", "node7"),
        ("a1,a2", "a1"),
        ("rack[1-2]-n,x", "rack1-n"),
        ("n[12,14]", "n12"),
    ],
)
def test_first_node_of_slurms_lists(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


def test_slurm() -> None:
    variables = {
        "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_STEP_NODELIST": "n[08-11]", "SLURM_JOB_ID": "12345",
    }  # fmt: skip
    found = from_options(None, None, variables)
    assert found is not None
    assert (found.count, found.index) == (4, 3)
    name, port = found.coordinator.split(":")
    assert name == "n08"
    assert 1024 < int(port) < 65535
    assert from_options(None, None, variables | {"SLURM_STEP_NUM_TASKS": "1"}) is None
    assert from_options("a:1,b:1", 0, variables) == Hosts("a:1", 2, 0)  # what is said counts


def test_open_mpi() -> None:
    variables = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "PMIX_NAMESPACE": "prterun-n1-77@1"}
    found = from_options(None, None, variables | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2"})
    assert found is not None
    assert (found.count, found.index) == (2, 1)
    assert found.coordinator.startswith("127.0.0.1:")
    remote = variables | {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911"}
    found = from_options(None, None, remote)
    assert found is not None
    assert found.coordinator.startswith("10.96.0.1:")
    with pytest.raises(UserError, match="--hosts a:port"):
        from_options(None, None, variables)


PATIENT = WatchTimes(grace=120)
SOON = 30.0
"""Seconds after which something that should happen at once counts as not happening, however busy the machine is."""


def test_hosts_that_end_well_say_goodbye_and_are_not_missed() -> None:
    address, messages = f"127.0.0.1:{free_port()}", Queue[str]()
    with watched(Hosts(address, 2, 0), messages.put) as first, watched(Hosts(address, 2, 1), messages.put) as second:
        assert first is not None
        assert second is not None
        assert first.connected.wait(SOON)
        assert second.connected.wait(SOON)
    for watch in (first, second):
        watch.join(1.0)
    assert messages.empty()


def test_a_host_whose_process_ends_is_missed_at_once() -> None:
    port, messages = free_port(), Queue[str]()
    with watched(Hosts(f"127.0.0.1:{port}", 3, 0), messages.put, times=WatchTimes(lost_after=120)):
        with socket.create_connection(("127.0.0.1", port + 1)) as other:
            other.sendall((2).to_bytes(4, "big"))
            assert messages.empty()
        assert messages.get(timeout=SOON) == (
            "Host 2 of 3 is gone, so the training cannot continue. What is saved is intact; start the same command on "
            "all hosts again with --resume."
        )


def test_a_host_that_falls_silent_is_missed() -> None:
    port, messages = free_port(), Queue[str]()
    with (
        socket.create_server(("127.0.0.1", port + 1)) as coordinator,
        watched(Hosts(f"127.0.0.1:{port}", 2, 1), messages.put, times=WatchTimes(lost_after=0.5)),
    ):
        connection, _ = coordinator.accept()
        with connection:
            assert messages.get(timeout=SOON).startswith("Host 0 of 2 is gone")


def test_the_transports_error_waits_for_the_message_on_who_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[tuple[object, ...]] = []
    monkeypatch.setattr(module.atexit, "register", lambda work, *arguments: registered.append((work, *arguments)))
    port, messages = free_port(), Queue[str]()

    def lose_the_other() -> None:
        with (
            socket.create_server(("127.0.0.1", port + 1)) as coordinator,
            watched(Hosts(f"127.0.0.1:{port}", 2, 1), messages.put, times=PATIENT),
        ):
            connection, _ = coordinator.accept()
            threading.Timer(0.3, connection.close).start()
            raise ValueError("Connection reset by peer")

    with pytest.raises(ValueError, match="Connection reset"):
        lose_the_other()
    assert messages.get_nowait().startswith("Host 0 of 2 is gone")
    assert registered[0][1] == 1  # so that JAX does not wait for the others when the process ends


@pytest.mark.parametrize(("error", "code"), [(UserError("in the way"), 2), (KeyboardInterrupt(), 130)])
def test_a_host_that_fails_by_itself_ends_at_once(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[tuple[object, ...]] = []
    monkeypatch.setattr(module.atexit, "register", lambda work, *arguments: registered.append((work, *arguments)))
    began, messages = time.monotonic(), Queue[str]()
    first = Hosts(f"127.0.0.1:{free_port()}", 2, 0)
    with watched(replace(first, index=1), messages.put):
        with pytest.raises(type(error)), watched(first, lambda message: None, times=PATIENT):
            raise error
        assert time.monotonic() - began < PATIENT.grace / 2  # it did not wait for another host to be lost
        assert messages.get(timeout=SOON).startswith("Host 0 of 2 is gone")
    assert registered[0][1] == code
