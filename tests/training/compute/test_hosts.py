"""Several hosts: who they are by options and schedulers, and what happens when one is lost."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace

import pytest

from asl_edge.errors import UserError
from asl_edge.training.compute import hosts as module
from asl_edge.training.compute.hosts import Hosts, first_node, from_options, watched


def test_hosts_by_options() -> None:
    assert from_options("a:1,b:2 ,c:3", 1, {}) == Hosts("a:1", 3, 1)
    assert from_options(None, None, {}) is None


@pytest.mark.parametrize(
    ("hosts", "index", "message"),
    [
        ("a:1,b:2", None, "--host-index, from 0 to 1"),
        (None, 0, "goes with --hosts"),
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


def free_port() -> int:
    """A port whose next one is free too."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = int(server.getsockname()[1])
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except OSError:
                continue
            return port


def wait_for(said: list[str]) -> None:
    """Wait until something is said: at once as a rule, and on a busy machine as long as it takes."""
    deadline = time.monotonic() + 60
    while not said and time.monotonic() < deadline:
        time.sleep(0.02)


def test_hosts_that_end_well_say_so_and_nobody_is_missed() -> None:
    address, said = f"127.0.0.1:{free_port()}", []
    with watched(Hosts(address, 2, 0), said.append):
        with watched(Hosts(address, 2, 1), said.append):
            time.sleep(0.3)
        time.sleep(0.3)
    time.sleep(0.5)
    assert said == []


def test_a_host_whose_process_ends_is_missed_at_once() -> None:
    port, said = free_port(), []
    with watched(Hosts(f"127.0.0.1:{port}", 3, 0), said.append):
        with socket.create_connection(("127.0.0.1", port + 1)) as other:
            other.sendall((2).to_bytes(4, "big"))
            time.sleep(0.2)
            assert said == []
        wait_for(said)
    assert said == [
        "Host 2 of 3 is gone, so the training cannot go on. What is saved stands; start the same command on all hosts "
        "again with --resume."
    ]


def test_a_host_that_falls_silent_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOST_AFTER_SECONDS", 0.5)
    port, said = free_port(), []
    with (
        socket.create_server(("127.0.0.1", port + 1)) as coordinator,
        watched(Hosts(f"127.0.0.1:{port}", 2, 1), said.append),
    ):
        connection, _ = coordinator.accept()
        with connection:  # which says nothing
            wait_for(said)
    assert [message[:6] for message in said] == ["Host 0"]


def test_the_transports_error_waits_for_the_word_on_who_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[object] = []
    monkeypatch.setattr(module.atexit, "register", lambda work, *arguments: registered.append((work, *arguments)))
    port, said = free_port(), []

    def lose_the_other() -> None:
        with (
            socket.create_server(("127.0.0.1", port + 1)) as coordinator,
            watched(Hosts(f"127.0.0.1:{port}", 2, 1), said.append),
        ):
            connection, _ = coordinator.accept()
            threading.Timer(0.3, connection.close).start()
            raise ValueError("Connection reset by peer")

    with pytest.raises(ValueError, match="Connection reset"):
        lose_the_other()
    assert [message[:6] for message in said] == ["Host 0"]
    assert registered[0][1] == 1  # so that JAX does not wait for the others when the process ends


@pytest.mark.parametrize(("error", "code"), [(UserError("in the way"), 2), (KeyboardInterrupt(), 130)])
def test_a_host_that_fails_by_itself_ends_at_once(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: list[object] = []
    monkeypatch.setattr(module.atexit, "register", lambda work, *arguments: registered.append((work, *arguments)))
    monkeypatch.setattr(module, "_GRACE_SECONDS", 600)  # for those whose connection may have been cut; not for these
    began, said = time.monotonic(), []
    first = Hosts(f"127.0.0.1:{free_port()}", 2, 0)
    with watched(replace(first, index=1), said.append):
        with pytest.raises(type(error)), watched(first, lambda message: None):
            raise error
        assert time.monotonic() - began < 300
        wait_for(said)
    assert [message[:6] for message in said] == ["Host 0"]
    assert registered[0][1] == code
