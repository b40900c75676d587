"""Requests to stores and web servers through fsspec: how long they wait, second attempts, and errors of one line."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from features.infrastructure.errors import InputError
from features.infrastructure.storage.secrets import without_secrets

#: Environment variable for the seconds without a byte after which a request is given up.
TIMEOUT = "TRANSFER_TIMEOUT"
_SECONDS = 30.0
#: Seconds before the second attempt and the third.
WAITS = (1.0, 4.0)
#: Protocols with an extra of the toolkit → the extra and the package in it.
_EXTRAS = {
    "s3": ("s3", "s3fs"),
    "s3a": ("s3", "s3fs"),
    "gs": ("gcs", "gcsfs"),
    "gcs": ("gcs", "gcsfs"),
    "http": ("http", "aiohttp"),
    "https": ("http", "aiohttp"),
}
#: States of a web server that may pass: a time-out, too early, too many requests.
_PASSING = frozenset({408, 425, 429})
#: Errors that a second attempt does not change.
_LASTING = (NotImplementedError, ValueError, TypeError, LookupError, IsADirectoryError, NotADirectoryError)
#: Signs that stand for themselves in an address; others, such as spaces, are encoded.
_SIGNS = "%/:=&?~#+!$,;'@()*[]"

Result = TypeVar("Result")


class Unanswered(InputError):
    """A store has not answered, which says nothing about what is there."""


def answer(address: str, request: Callable[[Any, str], Result]) -> Result:
    """Return what ``request`` returns for the file system of an address and the path in it; try three times.

    ``address`` is the whole address, with its secrets, of which no message has any.

    Raises:
        FileNotFoundError: There is no such file.
        Unanswered: The store does not answer.
        InputError: Access is denied, the address cannot be read, or the package for it is missing.
    """
    store, path = store_of(address)
    shown = without_secrets(address)
    for wait in (*WAITS, None):
        try:
            return request(store, path)
        except InputError:
            raise
        except Exception as error:  # stores raise errors of many types
            cause = _cause(error)
            status = getattr(cause, "status", None)
            if isinstance(cause, FileNotFoundError) or status in (404, 410):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), shown) from None
            if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:  # of the disk here
                raise
            reason = _reason(cause, status, address)
            if isinstance(cause, PermissionError) or status in (401, 403) or _is_about_credentials(cause):
                advice = "check the credentials; those in an address, as a signature, are not recorded: give them anew"
                raise InputError(f"{shown}: access is denied ({reason}); {advice}") from None
            if isinstance(cause, _LASTING) or (status is not None and status < 500 and status not in _PASSING):
                raise InputError(f"{shown}: cannot be used ({reason}); check the address") from None
            if wait is None:
                advice = f"check the address and the network, or wait longer: {TIMEOUT} is {timeout():g} seconds"
                raise Unanswered(f"{shown}: does not answer ({reason}); {advice}") from None
            time.sleep(wait)
    raise AssertionError


def store_of(address: str) -> tuple[Any, str]:
    """Return the file system of fsspec for an address, one in each process, and the path in it.

    Raises:
        InputError: The package for its protocol is missing, or the address is a chained one.
    """
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    shown = without_secrets(address)
    protocol = address.partition("://")[0].lower()
    if "::" in address:
        raise InputError(f"{shown}: is a chained address; give the address of the file itself")
    if protocol in ("http", "https"):
        address = quote(address, safe=_SIGNS)
    try:
        return url_to_fs(address, **_options(protocol))
    except ImportError as error:
        extra, package = _EXTRAS.get(protocol, ("", ""))
        needs = f"needs the package {package}; run pip install 'transfer-toolkit[{extra}]'"
        told = known_implementations.get(protocol, {}).get("err") or str(error)
        raise InputError(f"{shown}: {protocol}:// {needs if extra else f'cannot be read here: {told}'}") from error
    except ValueError as error:
        raise InputError(f"{shown}: is no address of {protocol}:// ({_reason(error, None, address)})") from error


def timeout() -> float:
    """Return the seconds of :data:`TIMEOUT`.

    Raises:
        InputError: It is set to another text than a number above 0.
    """
    text = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(text) if text else _SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InputError(f"${TIMEOUT} is {text!r}; expected a number of seconds above 0")
    return seconds


def _options(protocol: str) -> dict[str, Any]:
    """The options of a file system, but for those that the user has set in fsspec's own configuration."""
    from fsspec.config import conf

    seconds = timeout()
    found: dict[str, Any] = {"use_listings_cache": False}  # what is there may change while the process runs
    if protocol in ("http", "https"):
        from aiohttp import ClientTimeout

        # The environment may name a proxy. Only we encode an address: a signature covers how it is written.
        client = {"timeout": ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds), "trust_env": True}
        found |= {"client_kwargs": client, "encoded": True, "simple_links": False}
    elif protocol in ("s3", "s3a"):
        found["config_kwargs"] = {"connect_timeout": seconds, "read_timeout": seconds}
    elif protocol in ("gs", "gcs"):
        found["requests_timeout"] = seconds
    elif protocol in ("file", "local"):
        found["auto_mkdir"] = True
    return {name: value for name, value in found.items() if name not in conf.get(protocol, {})}


def _cause(error: BaseException) -> BaseException:
    """The error behind one that says that a file is not there, which fsspec raises for any failure of some requests."""
    while isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        cause = error.__cause__
        if not isinstance(cause, OSError) and _status(cause) is None and not isinstance(cause, asyncio.TimeoutError):
            break
        error = cause
    return error


def _status(error: BaseException) -> int | None:
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None


def _reason(error: BaseException, status: int | None, address: str) -> str:
    """Why a request has failed, without the secrets that the message of an error may hold."""
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return f"no answer within {timeout():g} s"
    if status is not None:
        return f"HTTP status {status}"
    if without_secrets(address) == address:
        return without_secrets(str(error)) or type(error).__name__
    system = getattr(error, "os_error", error)  # what the system says of a connection
    return getattr(system, "strerror", None) or type(error).__name__


def _is_about_credentials(error: BaseException) -> bool:
    """Whether an error of a store's package says that there are no credentials."""
    return "credential" in type(error).__name__.lower()
