"""What is wrong with what became of a hostile input."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hostile.case import Case

#: Characters that move the cursor, turn the direction of text or are not seen, which no line may hold.
_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u061c\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
#: A line of a message; progress and notices are other lines.
_ERROR = re.compile(r"^transfer \S+: error: .", re.MULTILINE)


def fault(case: Case, found: Mapping[str, Any]) -> str | None:
    """Return what is wrong; None if the outcome is right."""
    for bad in ("hang", "died", "raised", "ran"):
        if bad in found:
            return f"{bad} {found[bad]}"
    refused = found.get("refused")
    if refused is not None:
        if "\n" in refused or not refused:
            return f"not one line: {refused!r}"
        if isinstance(case.right, Mapping):
            return f"refused: {refused[:300]}"
        if isinstance(case.right, str) and case.right.lower() not in refused.lower():
            return f"the line does not say {case.right!r}: {refused[:300]}"
        if len(refused) > 3_000:
            return f"a line of {len(refused)} characters: {refused[:200]}"
        if "MemoryError" in refused or "traceback" in refused.lower():
            return f"says {refused[:300]}"
    else:
        if isinstance(case.right, str):
            return f"not refused: {str(found['classes'])[:200]}"
        if isinstance(case.right, Mapping) and found["classes"] != dict(case.right):
            return f"classes {str(found['classes'])[:200]} in place of {str(dict(case.right))[:200]}"
        unreadable = found["unreadable"]
        if isinstance(case.right, Mapping) and case.unreadable >= 0 and len(unreadable) != case.unreadable:
            return f"{len(unreadable)} images cannot be read in place of {case.unreadable}: {unreadable[:2]}"
        if any("MemoryError" in reason or "allocate" in reason for reason in unreadable):
            return f"out of memory: {unreadable[:2]}"
        for name in (*found["classes"], *found["ids"]):
            if _HOSTILE.search(name):
                return f"the name {name!r}"
    for name, told in found.get("commands", {}).items():
        if wrong := _told(told, refused is not None, name):
            return f"{name}: {wrong}"
    return None


def _told(told: Mapping[str, Any], refused: bool, name: str) -> str | None:
    """What is wrong with what a command prints."""
    lines = _ERROR.findall(told["err"])
    if told["status"] not in (0, 2):
        return f"status {told['status']}"
    if (told["status"] == 2) != (len(lines) == 1):
        return f"status {told['status']} with {len(lines)} lines of error: {told['err'][-300:]}"
    if refused and name == "inspect" and told["status"] != 2 and not told["lazy"]:
        return "not refused"
    if not refused and name == "inspect" and told["status"] != 0:
        return f"refused: {told['err'][-300:]}"
    for stream in ("out", "err"):
        if found := _HOSTILE.search(told[stream]):
            return f"prints {found[0]!r}: {told[stream][max(0, found.start() - 60) : found.end() + 20]!r}"
    return None
