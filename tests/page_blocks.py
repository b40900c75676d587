"""The code blocks of the documentation's pages, and how a block of shell commands is run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = tuple(sorted(path.relative_to(ROOT) for path in [ROOT / "README.md", *DOCS.rglob("*.md")]))
#: A fence, perhaps indented, with what stands above it: `% parsed only: REASON` keeps its commands from being run,
#: `% refused` says that they are wrong input, `% other data: WHAT` that an output is of other data than those of the
#: tests, and `% in FILE` that it shows lines of a file. Where a page is read outside of the documentation too,
#: `<!-- other data: WHAT -->`.
FENCE = re.compile(
    r"^(?: *(?:% |<!-- )(?:parsed only: (?P<reason>[^\n]+?)|other data: (?P<data>[^\n]+?)|in (?P<shown>[^\n]+?)"
    r"|(?P<refused>refused))(?: -->)?\n)?"
    r"(?P<indent> *)(?P<ticks>```+)(?P<language>[^`\n]*)\n(?P<text>.*?)^ *(?P=ticks) *$",
    re.M | re.S,
)
#: The first line of a block that is a file, such as `# recipe.yaml`.
FILE = re.compile(r"# ([\w-]+\.\w+)\n")
#: Programs that a page may name beside `transfer`; they are not run here.
OTHERS = ("make", "pip", "python", "source", "eval", "torchrun", "srun", "export", "cd", "sbatch", "#")
#: What a launcher puts in place of a word.
VARIABLES = {"$SLURM_ARRAY_TASK_ID": "1"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        page: The page, from the repository's root.
        line: Its first line, counted from 1.
        language: What stands behind the fence: a language, or a directive in braces with its argument.
        text: What is in it.
        reason: Why its commands are parsed and not run; empty if they are run.
        data: The data of an output, if they are not those of the tests.
        shown: The file whose lines it shows, if it shows a file.
        refused: Not empty if its commands are wrong input.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str
    data: str
    shown: str
    refused: str

    @property
    def is_directive(self) -> bool:
        """Whether it is no code, but an instruction to the builder of the pages."""
        return self.language.startswith("{")

    @property
    def file(self) -> str | None:
        """The file that the block is, as its first line says."""
        found = FILE.match(self.text) if self.language in ("yaml", "csv") else None
        return found and found[1]

    @property
    def is_output(self) -> bool:
        """Whether it shows what the commands above it print, or lines of a file that they write."""
        return self.language == "text" or bool(self.shown)


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page, in their order, those of directives among them; an open fence is an error."""
    text = (ROOT / page).read_text(encoding="utf-8")
    assert len(re.findall(r"^ *```", text, re.M)) % 2 == 0, f"{page}: a fence is not closed"
    return [
        Block(
            page,
            1 + text[: found.start("text")].count("\n"),
            found["language"].strip(),
            re.sub(f"^ {{0,{len(found['indent'])}}}", "", found["text"], flags=re.M),
            *(found[name] or "" for name in ("reason", "data", "shown", "refused")),
        )
        for found in FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[list[str]]:
    """The words of each command line of a block; a backslash at the end of a line goes on with the next."""
    text = block.text.replace("\\\n", " ")
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    lines = text.splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def arguments_of(words: list[str]) -> list[str] | None:
    """The arguments of `transfer` in a command line, also below a launcher; None for another program."""
    if words[0] in ("torchrun", "srun"):
        words = words[words.index("transfer") :]
    return words[1:] if words[0] == "transfer" else None


def not_printed(block: Block, printed: str) -> list[str]:
    """The lines of a shown output that are not in what was printed, figures and spaces aside.

    A line with figures, if they are of other data, has names of these data too: it is not looked for. A line … leaves
    lines out, and a printed line may be folded.
    """
    lines = [line for line in block.text.splitlines() if line.strip() not in ("", "…")]
    if block.data:
        lines = [line for line in lines if not re.search(r"\d", line)]
    known = _shape(printed)
    return [line for line in lines if _shape(line) not in known]


def _shape(line: str) -> str:
    """A text without its figures, and without the spaces that align it."""
    return " ".join(re.sub(r"[-−+–]?\d[\d.,]*(?:e[-+]\d+)?", "0", line).split())
