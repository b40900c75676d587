"""Requests that fail: they are made again where that helps, and told in one line without a secret."""

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from features.infrastructure.errors import InputError
from features.infrastructure.storage import stores
from features.infrastructure.storage.addresses import located
from features.infrastructure.storage.stores import TIMEOUT, Unanswered, answer, store_of

KEY = "?sig=SECRET"


@pytest.fixture
def file(web):
    (web.root / "a.txt").write_text("content")
    return located(f"{web.address.replace('//', '//me:SECRET@')}/a.txt{KEY}")


def told(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value) and "SECRET" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("states", [[503], [503, 500], [429], [408, 503]])
def test_a_server_that_fails_for_a_moment_is_asked_again(web, file, states):
    web.fails["/a.txt"] = list(states)
    assert file.read_bytes() == b"content"
    assert web.asked == [f"GET /a.txt{KEY}"] * (len(states) + 1)
    web.fails["/a.txt"] = [503, 503]  # of a request for what the file is like, and for its content instead
    assert file.is_file()


def test_a_server_that_goes_on_failing_is_told(web, file):
    web.fails["/a.txt"] = [503] * 9
    assert f"{web.address}/a.txt: does not answer (HTTP status 503); check the address" in told(file.read_bytes)
    assert len(web.asked) == 3
    with pytest.raises(Unanswered):
        file.is_file()


@pytest.mark.parametrize(
    ("state", "words"),
    [(403, "access is denied (HTTP status 403)"), (401, "access is denied (HTTP status 401)"), (400, "cannot be used")],
)
def test_what_a_second_attempt_does_not_change_is_told_at_once(web, file, state, words):
    web.fails["/a.txt"] = [state] * 4
    assert f"{web.address}/a.txt: {words}" in told(file.read_bytes) and len(web.asked) == 1
    assert words in told(file.is_file)  # fsspec itself says that such a file is not there


def test_a_missing_file_is_missing_and_not_asked_for_again(web):
    missing = located(f"{web.address}/none.txt{KEY}")
    with pytest.raises(FileNotFoundError) as caught:
        missing.read_bytes()
    assert caught.value.filename == f"{web.address}/none.txt" and len(web.asked) == 1
    assert not missing.exists()


def test_a_server_that_hangs_is_given_up(web, file, monkeypatch):
    monkeypatch.setenv(TIMEOUT, "0.1")
    web.silent.add("/a.txt")
    line = told(file.read_bytes)
    assert f"{web.address}/a.txt: does not answer (no answer within 0.1 s)" in line and f"{TIMEOUT} is 0.1" in line
    assert len(web.asked) == 3
    assert "no answer within 0.1 s" in told(file.is_file)


def test_a_server_that_is_not_there(web, file):
    web.close()
    assert "does not answer (Connect call failed" in told(file.read_bytes)
    assert "Cannot connect" in told(located(f"{web.address}/a.txt").read_bytes)


def test_a_signature_is_sent_as_it_is_written(web):
    (web.root / "a b.txt").write_text("content")
    signed = "?X-Amz-Credential=A%2F2026%2Fs3&sig=a%2Bb%3D&empty="
    for path in ("a%20b.txt", "a b.txt"):
        assert located(f"{web.address}/{path}{signed}").read_bytes() == b"content"
    assert web.asked == [f"GET /a%20b.txt{signed}"] * 2


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "nan", "inf"])
def test_a_time_out_that_is_none(monkeypatch, web, seconds):
    monkeypatch.setenv(TIMEOUT, seconds)
    assert f"${TIMEOUT} is '{seconds}'; expected a number" in told(located(f"{web.address}/a").exists)


@pytest.mark.parametrize(
    ("address", "package", "extra"),
    [
        ("s3://b/x", "s3fs", "pip install 'transfer-toolkit[s3]'"),
        ("gs://b/x", "gcsfs", "pip install 'transfer-toolkit[gcs]'"),
        ("https://h/x", "aiohttp", "pip install 'transfer-toolkit[http]'"),
        ("az://b/x", "adlfs", "Install adlfs"),
    ],
)
def test_a_missing_package_says_what_to_install(address, package, extra):
    code = f"""
import sys
sys.modules[{package!r}] = None
from features.infrastructure.storage.addresses import located
try:
    located({address!r}).exists()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("InputError ") and extra in done.stdout and done.stdout.count("\n") == 1


def test_the_extras_that_messages_name_are_declared():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[4] / "setup.cfg")
    for extra, package in stores._EXTRAS.values():
        assert package in setup["options.extras_require"][extra]


def test_options_of_fsspec_s_own_configuration_stay(monkeypatch):
    from fsspec.config import conf

    monkeypatch.setitem(conf, "memory", {"use_listings_cache": True})
    assert "use_listings_cache" not in stores._options("memory")


def test_a_chained_address_is_refused():
    assert "is a chained address" in told(lambda: store_of("zip://a::https://h/b.zip"))


def test_an_error_of_input_in_a_request_is_raised_as_it_is():
    calls = []

    def request(store, path):
        calls.append(path)
        raise InputError("the content is wrong")

    with pytest.raises(InputError, match=r"^the content is wrong$"):
        answer("memory://x", request)
    assert len(calls) == 1
