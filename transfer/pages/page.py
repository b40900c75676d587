"""One HTML file: a template with its style, its scripts, and a policy that admits nothing else."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from transfer import intervals
from transfer.intervals import points
from transfer.pages.charts import library

#: Nothing is loaded from anywhere: pictures stand in their addresses, and only the scripts of the page run.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def render(template: str, charts: Mapping[str, Mapping[str, Any]] | None = None, **values: Any) -> str:
    """Render a page.

    Args:
        template: Name of a template below ``templates/``.
        charts: Name → specification of each interactive part; a page without one has no script.
        values: The values of the template.
    """
    scripts = [library(), _text("page.js")] if charts else []
    scripts = [_inline(script) for script in scripts]
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        _environment()
        .get_template(template)
        .render(
            policy=f"{_POLICY}; script-src {hashes}" if hashes else _POLICY,
            style=_text("page.css"),
            scripts=scripts,
            charts={name: as_data(spec) for name, spec in (charts or {}).items()},
            **values,
        )
    )


def as_data(content: Any) -> str:
    """JSON that may stand within an HTML element for data: it ends no element, whatever its texts hold."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _inline(script: str) -> str:
    """A script that may stand in HTML; a browser reads its line ends as line feeds."""
    return script.replace("\r\n", "\n").replace("\r", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _text(name: str) -> str:
    return resources.files("transfer").joinpath(f"templates/{name}").read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("transfer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "points": points, "number": number, "breakable": breakable}
    return environment


def percent(share: float | None) -> str:
    """A share in percent.

    >>> percent(0.8149), percent(None)
    ('81.5', '–')
    """
    return "–" if share is None else intervals.percent(share)


#: Letters of a word without a sign to break it after, beyond which it may be broken anywhere.
_LONGEST_WORD = 24


def breakable(name: Any) -> Markup:
    """A name that may be broken after the signs that join its words, but not within a word that fits a line.

    >>> breakable("a_<b>")
    Markup('a_<wbr>&lt;b&gt;')
    >>> breakable(30 * "a")
    Markup('aaaaaaaaaaaaaaaaaaaaaaaa<wbr>aaaaaa')
    """
    joined = re.sub(r"([_/.-])(?=[\w<>&\"'])", "\\1\0", str(name))
    long = re.compile(rf"[^\s\0]{{{_LONGEST_WORD}}}(?=[^\s\0])")
    return Markup("<wbr>").join(long.sub("\\g<0>\0", joined).split("\0"))


def number(value: Any) -> str:
    """A number as a table shows it.

    >>> number(12345), number(0.123456), number(None), number("text")
    ('12,345', '0.1235', '–', 'text')
    """
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
