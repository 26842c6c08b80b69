"""Several hosts that train one network together: who they are, how they join, and a watch that notices a lost one."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from asl_edge.errors import AslEdgeError, MissingPackageError, TrainingError, UserError

LOST_AFTER_SECONDS = 20
"""A host that is silent for this long is lost; one whose process ends is noticed at once."""

_BEAT_SECONDS = 2.0
_GRACE_SECONDS = 3.0
_HEAD_START_SECONDS = 1.0
"""The other hosts' message on a host that failed should come before JAX's."""
_JOIN_SECONDS = 300
_FIRST_PORT, _PORTS = 20000, 20000


@dataclass(frozen=True)
class Hosts:
    """The processes that train together, one per host.

    Raises:
        UserError: on construction, when a field breaks its rule.
    """

    coordinator: str
    """Address `name:port` of the first host; the port after it must be free too."""
    count: int
    index: int
    """This process's number, from 0; 0 coordinates and is the only one that writes."""

    def __post_init__(self) -> None:
        """Check every field."""
        name, _, port = self.coordinator.rpartition(":")
        if not name or not port.isdigit() or not 0 < int(port) < 65535:
            raise UserError(f"A host is written as name:port, such as 10.0.0.1:9911. Received: {self.coordinator!r}")
        if self.count < 2:
            raise UserError("Training on several hosts needs two or more of them.")
        if not 0 <= self.index < self.count:
            raise UserError(f"--host-index counts from 0 to {self.count - 1}. Received: {self.index}")

    @property
    def share(self) -> tuple[int, int]:
        """This host's number and the number of hosts, as `BatchLoader` takes them."""
        return self.index, self.count


def from_options(
    hosts: str | None, host_index: int | None, environment: Mapping[str, str] = os.environ
) -> Hosts | None:
    """Return the hosts as options or a scheduler name them; None for a training on this host alone.

    Args:
        hosts: `a:port,b:port`, the same on every host, the coordinator first.
        host_index: which of them this one is.
        environment: where SLURM (`srun`) and Open MPI (`mpirun`) leave their variables.

    Raises:
        UserError: the options contradict each other.
    """
    if hosts is None:
        if host_index is not None:
            raise UserError("--host-index needs --hosts a:port,b:port.")
        return _from_slurm(environment) or _from_open_mpi(environment)
    names = [name.strip() for name in hosts.split(",") if name.strip()]
    if host_index is None:
        raise UserError(f"--hosts needs --host-index, from 0 to {max(len(names) - 1, 0)}: which of them this one is.")
    return Hosts(names[0] if names else "", len(names), host_index)


def _from_slurm(environment: Mapping[str, str]) -> Hosts | None:
    """See https://slurm.schedmd.com/srun.html, section OUTPUT ENVIRONMENT VARIABLES."""
    count, index = environment.get("SLURM_STEP_NUM_TASKS"), environment.get("SLURM_PROCID")
    nodes = environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST")
    if not (count and index and nodes and count.isdigit() and index.isdigit()) or int(count) < 2:
        return None
    port = _FIRST_PORT + int(environment.get("SLURM_JOB_ID", "0")) * 2 % _PORTS
    return Hosts(f"{first_node(nodes)}:{port}", int(count), int(index))


def _from_open_mpi(environment: Mapping[str, str]) -> Hosts | None:
    """See https://docs.open-mpi.org/en/main/tuning-apps/environment-var.html."""
    count, index = environment.get("OMPI_COMM_WORLD_SIZE"), environment.get("OMPI_COMM_WORLD_RANK")
    if not (count and index and count.isdigit() and index.isdigit()) or int(count) < 2:
        return None
    uri = environment.get("PMIX_SERVER_URI41") or environment.get("PMIX_SERVER_URI4") or ""
    uri = environment.get("OMPI_MCA_orte_hnp_uri") or uri
    address = re.search(r"tcp4?://([0-9.]+)", uri)
    if environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") == count:
        name = "127.0.0.1"
    elif address:
        name = address[1]
    else:
        raise UserError(
            "Open MPI does not tell where its first process runs. Name the hosts: --hosts a:port,b:port --host-index N"
        )
    job = int(
        re.sub(r"\D", "", environment.get("PMIX_NAMESPACE", environment.get("OMPI_MCA_ess_base_jobid", "0"))) or 0
    )
    return Hosts(f"{name}:{_FIRST_PORT + job * 2 % _PORTS}", int(count), int(index))


def first_node(nodes: str) -> str:
    """Return the first node of a SLURM node list such as `gpu[003-007,9],login1`."""
    match = re.match(r"([^,\[]+)(?:\[([^\]]+)\])?([^,]*)", nodes.strip())
    if match is None:
        raise UserError(f"SLURM's list of nodes cannot be read: {nodes!r}. Name them with --hosts.")
    first = re.split(r"[,-]", match[2])[0] if match[2] else ""
    return match[1] + first + (match[3] if match[2] else "")


def join(hosts: Hosts) -> None:
    """Connect to the other hosts; must come before anything is computed.

    Raises:
        UserError: Keras is set to another backend than JAX.
        TrainingError: not all hosts connected within five minutes.
        MissingPackageError: JAX is not installed.
    """
    if "keras" in sys.modules and sys.modules["keras"].backend.backend() != "jax":
        raise UserError("Several hosts train with the JAX backend. Set KERAS_BACKEND=jax.")
    if os.environ.setdefault("KERAS_BACKEND", "jax") != "jax":
        raise UserError(
            f"Several hosts train with the JAX backend, but KERAS_BACKEND={os.environ['KERAS_BACKEND']}. "
            "Set KERAS_BACKEND=jax. (Keras cannot train on several hosts with TensorFlow: its issue 20585.)"
        )
    try:
        import jax
    except ImportError as error:
        raise MissingPackageError(
            f"Several hosts need JAX ({error}). Install it: pip install 'asl-edge[jax]'"
        ) from error
    try:
        jax.distributed.initialize(
            hosts.coordinator,
            hosts.count,
            hosts.index,
            initialization_timeout=_JOIN_SECONDS,
            # Longer than our own watch, which names the lost host; JAX ends the process with a message that does not.
            heartbeat_timeout_seconds=LOST_AFTER_SECONDS * 3,
            shutdown_timeout_seconds=LOST_AFTER_SECONDS * 3,
        )
    except Exception as error:  # JAX has no class of its own for this
        raise TrainingError(
            f"The {hosts.count} hosts did not all connect to {hosts.coordinator} within {_JOIN_SECONDS} s ({error}). "
            "Start the same command on each, with its own --host-index, and open that port and the next in the "
            "firewall."
        ) from error


@dataclass(frozen=True)
class WatchTimes:
    """How long the watch over the other hosts waits, in seconds."""

    lost_after: float = LOST_AFTER_SECONDS
    """A host that is silent for this long is lost."""
    beat: float = _BEAT_SECONDS
    """Time between two signs of life."""
    grace: float = _GRACE_SECONDS
    """How long a host that fails waits for the others to connect, or for the news that one of them is lost."""


@contextlib.contextmanager
def watched(
    hosts: Hosts | None, end: Callable[[str], None] | None = None, *, times: WatchTimes | None = None
) -> Iterator[HostWatch | None]:
    """Watch over the other hosts while the block runs; when one is lost, say so and end this process.

    Without it the others would wait for the lost one, for minutes or for ever. Every host keeps a connection to the
    coordinator, on the port after the coordinator's, over which both send a byte every two seconds.

    Args:
        hosts: None watches nothing.
        end: called with the message instead of ending the process.
        times: how long to wait.
    """
    if hosts is None:
        yield None
        return
    times = times or WatchTimes()
    watch = HostWatch(hosts, end or _say_and_end, times)
    watch.begin()
    try:
        yield watch
    except BaseException as error:
        if not isinstance(error, (AslEdgeError, KeyboardInterrupt)):
            # The transport's own error on a lost host may come before our message, and says less.
            watch.lost.wait(times.grace)
        watch.stop(goodbye=False)  # the others must not wait for this one
        # At the end of a process JAX waits for all others, and aborts if they do not come.
        atexit.register(_end_at_once, getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1))
        raise
    watch.stop(goodbye=True)


def _end_at_once(exit_code: int) -> None:
    time.sleep(_HEAD_START_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(exit_code)


def _say_and_end(message: str) -> None:
    sys.stderr.write(f"\nError: {message}\n")
    sys.stderr.flush()
    # The main thread may be inside a collective operation that never returns.
    os._exit(1)


class HostWatch:
    """The connections of one host to the coordinator, or of the coordinator to all others."""

    def __init__(self, hosts: Hosts, end: Callable[[str], None], times: WatchTimes) -> None:
        """Prepare to watch; `end` is called once, with a message, when a host is lost."""
        self._hosts = hosts
        self._end = end
        self._times = times
        self.connected = threading.Event()
        """Set when every host that this one watches has connected."""
        self.lost = threading.Event()
        """Set when a host was lost, after `end` has been called."""
        self._stopped = threading.Event()
        self._ending = threading.Lock()
        self._server: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._beats: list[threading.Thread] = []
        self._expected = hosts.count - 1 if hosts.index == 0 else 1
        self._goodbye = True

    def begin(self) -> None:
        """Listen for the others, or connect to the coordinator, in threads."""
        name, _, port = self._hosts.coordinator.rpartition(":")
        if self._hosts.index == 0:
            self._server = socket.create_server(("", int(port) + 1))
            self._thread(self._accept)
        else:
            self._thread(self._connect, name, int(port) + 1)

    def stop(self, *, goodbye: bool) -> None:
        """End the watch: with a goodbye, after which nobody misses this host, or without one, so that all others do."""
        if not goodbye and not self.lost.is_set():
            # Hosts that have joined are about to connect; one that has not cannot be told.
            self.connected.wait(self._times.grace)
        self._goodbye = goodbye
        self._stopped.set()
        for beat in list(self._beats):
            beat.join(1.0)
        if self._server is not None:
            self._server.close()

    def join(self, timeout: float) -> None:
        """Wait until what was received after `stop` has been handled, at most `timeout` seconds per connection."""
        for thread in list(self._threads):
            thread.join(timeout)

    def _thread(self, work: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        assert self._server is not None
        with contextlib.suppress(OSError):  # closed by stop()
            while not self._stopped.is_set():
                connection, _ = self._server.accept()
                self._thread(self._keep, connection, None)

    def _connect(self, name: str, port: int) -> None:
        give_up = time.monotonic() + self._times.lost_after
        while not self._stopped.is_set():
            try:
                connection = socket.create_connection((name, port), timeout=self._times.lost_after)
            except OSError:
                if time.monotonic() > give_up:
                    return self._lose(0)
                self._stopped.wait(0.2)
                continue
            if connection.getsockname() == connection.getpeername():
                # Where the hosts are one machine and nobody listens yet, the system may give a connection the very
                # port that it wants to reach, and connect it to itself.
                connection.close()
                continue
            connection.sendall(self._hosts.index.to_bytes(4, "big"))
            return self._keep(connection, 0)
        return None

    def _keep(self, connection: socket.socket, other: int | None) -> None:
        """Send signs of life and listen until the other side says goodbye (b"e"), or is lost."""
        connection.settimeout(self._times.lost_after)
        with contextlib.suppress(OSError):  # silent for too long, or cut off
            if other is None:
                other = int.from_bytes(connection.recv(4), "big")
            self._beats.append(self._thread(self._beat, connection))
            if len(self._beats) >= self._expected:
                self.connected.set()
            received = b"."
            while received:  # nothing is received from a connection whose other side is gone
                received = connection.recv(64)
                if b"e" in received:
                    return
        if not self._stopped.is_set():
            self._lose(other)

    def _beat(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while not self._stopped.wait(self._times.beat):
                connection.sendall(b".")
            if self._goodbye:
                connection.sendall(b"e")
            else:
                connection.shutdown(socket.SHUT_RDWR)  # closing alone waits for whoever is listening here

    def _lose(self, other: int | None) -> None:
        with self._ending:
            if self._stopped.is_set():
                return
            who = "A host" if other is None else f"Host {other}"
            self._end(
                f"{who} of {self._hosts.count} is gone, so the training cannot continue. What is saved is intact; "
                "start the same command on all hosts again with --resume."
            )
            self.lost.set()
            self.connected.set()  # nobody waits for a lost host to connect
