"""At most one process writes an output; a lock ends with its process."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from features.infrastructure.disk.locks import locked
from features.infrastructure.errors import InputError
from features.infrastructure.storage.addresses import located

HOLDER = """
import os, sys, time
from pathlib import Path
from features.infrastructure.disk.locks import locked

with locked(Path(sys.argv[1])):
    if os.fork() == 0:  # as a data loader forks its workers
        time.sleep(60)
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_holds_nothing_though_its_workers_live_on(tmp_path):
    out = tmp_path / "new" / "bank.h5"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        held = f"`out` {out}: another process is writing it .process {holder.pid} on "
        with pytest.raises(InputError, match=held), locked(out):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert (out.parent / ".bank.h5.lock").exists()  # which is no obstacle
        with locked(out):
            pass
        assert not list(out.parent.iterdir())
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.stdout.close()


@pytest.mark.parametrize("call", [1, 2])
def test_a_lock_file_that_another_process_removes_meanwhile(tmp_path, monkeypatch, call):
    calls = []

    def stat(path, *arguments, original=os.stat, **options):
        if str(path).endswith(".lock"):
            calls.append(1)
            if len(calls) == call:
                os.unlink(path)
        return original(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stat)
        with locked(tmp_path / "bank.h5"):
            assert (tmp_path / ".bank.h5.lock").read_text().startswith(f"{os.getpid()} on ")
    assert not list(tmp_path.iterdir())


def test_the_message_calls_the_output_as_the_caller_does(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.lockf", lambda *_: (_ for _ in ()).throw(BlockingIOError()))
    said = r"^archive .*x\.tar: another process is writing it \(process unknown\)"
    with pytest.raises(InputError, match=said), locked(tmp_path / "x.tar", "archive"):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_locks_nothing_and_says_so(tmp_path, monkeypatch, capsys, code):
    monkeypatch.setattr("fcntl.lockf", lambda *_: (_ for _ in ()).throw(OSError(code, os.strerror(code))))
    for _ in range(2):
        with locked(tmp_path / "bank.h5"):
            pass
    assert not list(tmp_path.iterdir())
    said = f"{tmp_path}: the file system has no locks ({os.strerror(code)}); do not write one output from two"
    assert capsys.readouterr().err.count(said) == 1


def test_other_faults_of_a_lock_are_raised(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.lockf", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path / "bank.h5"):
        pass


def test_a_store_has_no_lock_and_a_line_says_so(memory, capsys):
    with locked(located(f"{memory}/bank.h5")), locked(located(f"{memory}/bank.h5")):
        pass
    assert f"{memory}/bank.h5: stores have no locks; do not write one output from two" in capsys.readouterr().err


def test_a_link_is_no_lock(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / ".bank.h5.lock").symlink_to(precious)
    with pytest.raises(InputError, match="is a link, and no lock; remove it"), locked(tmp_path / "bank.h5"):
        pass
    assert precious.read_text() == "precious"
