"""Two machines as tests have them: two agents of torchrun that meet at an address, each with processes of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Runs ``transfer`` as a process of a job.
CLI = ("-m", "transfer.cli")
ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Nodes:
    """Where and how the agents of one job run.

    Attributes:
        program: What every process runs.
        processes: The processes of each node.
        restarts: How often the agents may start their processes again.
        environment: Further variables of every process.
        spaces: The network namespace of each agent, whose address there is 10.77.0.1 or 10.77.0.2.
        port: Where the agents meet, on the first node.
    """

    program: Sequence[str] = CLI
    processes: Sequence[int] = (1, 1)
    restarts: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    spaces: Sequence[str] = ()
    port: int = field(default_factory=free_port)

    def start(self, node: int, *command: str) -> subprocess.Popen[str]:
        """Start the agent of a node, with ``command`` as the arguments of the program."""
        place = ["ip", "netns", "exec", self.spaces[node]] if self.spaces else []
        address = "10.77.0.{}" if self.spaces else "127.0.0.1"
        options = ["--nnodes", "2", "--nproc-per-node", self.processes[node], "--max-restarts", self.restarts]
        options += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{address.format(1)}:{self.port}"]
        # Both nodes have the name of one machine, so that neither knows which of them is the first.
        options += ["--rdzv-id", "test", "--rdzv-conf", f"is_host={int(node == 0)}"]
        options += ["--local-addr", address.format(node + 1)]
        return subprocess.Popen(
            [*place, sys.executable, "-m", "torch.distributed.run", *map(str, options), *self.program, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(self.environment),
            start_new_session=True,
        )


def kill_node(agent: subprocess.Popen[str]) -> None:
    """End an agent and its processes at once, as a machine does that loses its power.

    torchrun starts each process in a session of its own.
    """
    found = subprocess.run(["pgrep", "-P", str(agent.pid)], capture_output=True, text=True, check=False).stdout
    agent.kill()
    for process in map(int, found.split()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@dataclass(frozen=True)
class Job:
    """What the agent of each node ended with."""

    statuses: tuple[int, ...]
    stdout: tuple[str, ...]
    stderr: tuple[str, ...]

    def done(self) -> Job:
        """The same, if every agent has done its work."""
        assert not any(self.statuses), "\n".join(self.stderr)
        return self


def ended(agents: Sequence[subprocess.Popen[str]], timeout: float = 180) -> Job:
    """Wait for agents, and kill them after so many seconds."""
    try:
        said = [agent.communicate(timeout=timeout) for agent in agents]
    finally:
        for agent in agents:
            kill_node(agent)
    return Job(tuple(agent.returncode for agent in agents), *zip(*said, strict=True))


def on_two_nodes(*command: str, **options: Any) -> Job:
    """Run a command as one job of two nodes; the options are those of :class:`Nodes`."""
    nodes = Nodes(**options)
    return ended([nodes.start(node, *command) for node in (0, 1)])
