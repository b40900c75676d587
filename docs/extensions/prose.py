"""Check the English of the README and the documentation: proselint, long sentences, and phrases to avoid.

    python docs/extensions/prose.py        # status 1 and one line for each fault

Code, tables of figures and formulas are not prose and are left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from proselint.checks import __register__ as CHECKS
from proselint.config import DEFAULT
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

ROOT = Path(__file__).resolve().parents[2]
#: Straight quotes are the custom of technical text, CIFAR-100's is no decade, and a discriminant is a method.
OFF = {"typography": False, "dates_times": False, "needless_variants": False}
CONFIG = DEFAULT | {"checks": DEFAULT["checks"] | OFF}
MOST_WORDS = 36
#: What technical English says in other words: a pattern, and what to write.
AVOID = {
    r"\bso[- ]manieth\b": "every n-th",
    r"\bwhat is no\b": "an unknown …",
    r"\bmakes? up for\b": "corrects, or re-balances",
    r"\bnobody has to\b": "you need not",
    r"\bthat counts\b": "name what it is for",
    r"\bso weighed\b": "weighted",
    r"\bkept from nothing\b": "its lower bound",
    r"\bin order to\b": "to",
    r"\bdue to the fact that\b": "because",
    r"\b(?:it should be noted that|basically|simply|just)\b": "nothing",
    r"\b(?:leverag|utili[sz])(?:es?|ed|ing)\b": "use",
    r"\b(?:state-of-the-art|cutting-edge|powerful|seamless(?:ly)?|blazing(?:ly)?|robust and)\b": "a figure",
}
_MARKDOWN = MarkdownIt("commonmark").enable("table")


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line and the words of each paragraph, heading, entry and cell of a Markdown text.

    ``CODE`` stands for code and formulas.
    """
    text = re.sub(r"\A---\n.*?\n---\n|\$\$.*?\$\$", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    text = re.sub(r"(?<![\\\w])\$[^$\n]*\n?[^$\n]*\$", "CODE", text)
    for token in _MARKDOWN.parse(text):
        if token.type == "inline" and token.map and not token.content.startswith((":::", "%")):
            yield token.map[0] + 1, "".join(_words(token))


def _words(token: Token) -> Iterator[str]:
    for child in token.children or ():
        if child.type in ("softbreak", "hardbreak"):
            yield "\n"
        else:
            yield {"text": child.content, "code_inline": "CODE"}.get(child.type, "")


def faults(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the fault of each place in a Markdown text that a person should word anew."""
    for first, words in blocks(text):
        for line, fault in _faults_of(words):
            yield first + line, fault


def _faults_of(words: str) -> Iterator[tuple[int, str]]:
    for found in LintFile("text", words).lint(CONFIG) if words else ():
        yield found.pos[0] - 1, f"{found.check_result.message} ({found.check_result.check_path})"
    for sentence in re.finditer(r"\S(?:.|\n)*?(?:[.!?:;](?=\s)|\Z)", words):
        if (number := len(sentence[0].split())) > MOST_WORDS:
            yield words.count("\n", 0, sentence.start()), f"a sentence of {number} words: {sentence[0][:60]!r} …"
    for pattern, instead in AVOID.items():
        for phrase in re.finditer(pattern, words, re.IGNORECASE):
            yield words.count("\n", 0, phrase.start()), f"{phrase[0]!r}: write {instead}"


def main() -> int:
    registry = CheckRegistry()
    registry.register_many(CHECKS)
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    number = 0
    for name in listed.stdout.split():
        for line, fault in sorted(faults((ROOT / name).read_text(encoding="utf-8"))):
            print(f"{name}:{line}: {fault}")
            number += 1
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
