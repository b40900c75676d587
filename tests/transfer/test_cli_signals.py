"""The command line: signals at any moment of a command."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from support import signal_at

from transfer import cli
from transfer.cli import main


def test_ctrl_c(monkeypatch, capsys):
    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("transfer.commands.inspect.inspect", stopped)
    assert main(["inspect", "losses"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    hint = "the same command resumes from the last checkpoint, if there is one"
    assert err == f"transfer inspect: stopped by SIGINT; {hint}\n"


STOPPED = "stopped by SIGINT; the same command resumes from the last checkpoint, if there is one\n"


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("argv", [[], ["--version"], ["inspect", "losses", "--json"], ["inspect", "x"], ["inspekt"]])
def test_ctrl_c_at_any_moment_is_status_1_and_one_line(argv, capsys):
    for count in range(3, 1000):  # two lines come before the first moment
        with signal_at(cli.__file__, count, signal.SIGINT) as left:
            status = main(argv)
        said = capsys.readouterr().err
        if left[0] > 0:
            break
        assert status == 1 and said.endswith(f": {STOPPED}") and "Traceback" not in said, (count, said)
    assert count > 8


@pytest.mark.usefixtures("listening")
def test_ctrl_c_while_another_end_is_told(monkeypatch, capsys):
    def broken(_):
        raise RuntimeError("x")

    monkeypatch.setattr("transfer.commands.inspect.inspect", broken)
    monkeypatch.setattr(cli, "lost_process", lambda _: signal.raise_signal(signal.SIGINT))
    assert main(["inspect", "losses"]) == 1
    assert capsys.readouterr().err == f"transfer inspect: {STOPPED}"


@pytest.mark.usefixtures("listening")
def test_a_second_ctrl_c_while_the_first_is_told(monkeypatch):
    monkeypatch.setattr("transfer.commands.inspect.inspect", lambda _: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr("builtins.print", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    assert main(["inspect", "losses"]) == 1


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("moment", ["main", "end_process"])
def test_ctrl_c_while_the_process_ends(moment):
    code = f"""
import signal
from transfer import cli

def ended(*_):
    signal.raise_signal(signal.SIGINT)
    return 0

cli.main = lambda: 0
cli.{moment} = ended
cli.start()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == (1 if moment == "main" else -signal.SIGINT) and done.stderr == ""


@pytest.mark.usefixtures("listening")
def test_a_signal_while_the_result_is_printed(monkeypatch, capsys):
    def show(*_):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(cli, "without_secrets", show)
    assert main(["inspect", "losses", "--json"]) == 1
    assert "stopped by SIGTERM" in capsys.readouterr().err
