"""The code blocks of the documentation's pages, and how a block of shell commands is run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = tuple(sorted(path.relative_to(ROOT) for path in [ROOT / "README.md", *DOCS.rglob("*.md")]))
#: A fence with what stands above it: `% parsed only: REASON` keeps its commands from being run.
FENCE = re.compile(
    r"^(?:% parsed only: (?P<reason>.+)\n)?(?P<ticks>```+)(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=ticks)$", re.M | re.S
)
#: Programs that a page may name beside `transfer`; they are not run here.
OTHERS = ("make", "pip", "python", "source", "eval", "torchrun", "export", "cd", "sbatch", "#")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        page: The page, from the repository's root.
        line: Its first line, counted from 1.
        language: The word after the fence.
        text: What is in it.
        reason: Why its commands are parsed and not run; empty if they are run.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(
            page, 1 + text[: found.start("text")].count("\n"), *found.group("language", "text"), found["reason"] or ""
        )
        for found in FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[list[str]]:
    """The words of each command line of a block; a backslash at the end of a line goes on with the next."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def arguments_of(words: list[str]) -> list[str] | None:
    """The arguments of `transfer` in a command line, also below torchrun; None for another program."""
    if words[0] == "torchrun":
        words = words[words.index("transfer") :]
    return words[1:] if words[0] == "transfer" else None
