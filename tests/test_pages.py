"""Every code block of the README and of the documentation runs, in the order of its page.

An output that a page shows below its commands is what they print, but for the figures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from page_blocks import OTHERS, PAGES, ROOT, Block, arguments_of, blocks_of, commands_of, not_printed
from page_world import build, published_weights

from features.infrastructure.errors import InputError
from transfer.cli import main
from transfer.command_line import read_command_line
from transfer.commands import COMMANDS

#: What is added to a command, unless the page gives one of the words: a page's budget is a user's, not a test's.
SHORT = {
    "pretrain": (("--steps", "--epochs", "--config"), ["--steps", "2", "--batch-size", "8", "--image-size", "64"]),
    "finetune": (("--steps", "--epochs", "--config"), ["--steps", "2", "--batch-size", "8"]),
    "try": (("--minutes",), ["--minutes", "1"]),
}
#: Pages whose examples another test runs, and judges.
ELSEWHERE = {"docs/guides/in-your-own-loop.md", "docs/guides/extending.md"}
LANGUAGES = {"bash", "python", "yaml", "text", "csv", "json", "bibtex", "math"}


def marked(page: Path) -> Any:
    return pytest.param(page, id=str(page))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("torch")
    published_weights(home)
    return home


@pytest.mark.parametrize("page", [marked(page) for page in PAGES if str(page) not in ELSEWHERE])
def test_the_blocks_of_a_page_run(page, tmp_path, monkeypatch, published, capsys):
    blocks = [block for block in blocks_of(page) if not block.is_directive]
    assert {block.language for block in blocks} <= LANGUAGES
    if not any(block.language in ("bash", "python") for block in blocks):
        return
    build(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(published))
    made: dict[str, Any] = {"__name__": "page"}
    printed = ""
    with torch.random.fork_rng():
        for number, block in enumerate(blocks):
            if block.language == "python":
                exec(compile("\n" * (block.line - 1) + block.text, str(ROOT / page), "exec"), made)
            elif block.language == "bash":
                for words in commands_of(block):
                    given(block, words)
            elif block.file is not None:
                Path(block.file).write_text(block.text, encoding="utf-8")
            elif block.is_output and any(above.language in ("python", "bash") for above in blocks[:number]):
                known = Path(block.shown).read_text(encoding="utf-8") if block.shown else printed
                missing = not_printed(block, known)
                assert not missing, f"{page}, line {block.line}: {missing} are not in:\n{known}"
            if block.language in ("python", "bash"):
                printed = "".join(capsys.readouterr())


def given(block: Block, words: list[str]) -> None:
    """Run one command line of a page, or read it and build its configuration."""
    arguments = arguments_of(words)
    where = f"{block.page}, block at line {block.line}: {' '.join(words)}"
    if arguments is None:
        assert words[0] in OTHERS, where
    elif block.reason or words[0] in ("torchrun", "srun"):
        command = COMMANDS[arguments[0]]
        values, _ = read_command_line(command.config(), arguments[1:], command.positional, where)
        assert command.config()(**values), where  # which checks the values
    else:
        given_ones, added = SHORT.get(arguments[0], ((), []))
        long = not any(word in given_ones for word in arguments)
        assert main([*arguments, *(added if long else [])]) == (2 if block.refused else 0), where


def block_of(text: str, **others: str) -> Block:
    return Block(Path("page.md"), 1, "text", text, **{"reason": "", "data": "", "shown": "", "refused": ""} | others)


def page_of(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Block]:
    (tmp_path / "page.md").write_text(text)
    monkeypatch.setattr("page_blocks.ROOT", tmp_path)
    return blocks_of(Path("page.md"))


def test_a_mark_is_that_of_the_next_fence_alone(tmp_path, monkeypatch):
    text = "<!-- parsed only: hours -->\n```bash\na\n```\n\n```bash\nb\n```\n% refused\n```bash\nc\n```\n"
    blocks = page_of(text, tmp_path, monkeypatch)
    marks = [(block.text, block.reason, block.refused) for block in blocks]
    assert marks == [("a\n", "hours", ""), ("b\n", "", ""), ("c\n", "", "refused")]


def test_a_directive_swallows_nothing_and_a_fence_may_be_indented(tmp_path, monkeypatch):
    text = "```{toctree}\na\n```\n\n```bash\nb\n```\n"
    text += "- item\n\n  % refused\n  ```bash\n  c\n    d\n  ```\n```{include} x.md\n```\n"
    blocks = page_of(text, tmp_path, monkeypatch)
    assert [(block.language, block.text, block.refused, block.is_directive) for block in blocks] == [
        ("{toctree}", "a\n", "", True),
        ("bash", "b\n", "", False),
        ("bash", "c\n  d\n", "refused", False),
        ("{include} x.md", "", "", True),
    ]


def test_an_open_fence_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(AssertionError, match=r"page\.md: a fence is not closed"):
        page_of("```bash\na\n\n```bash\nb\n```\n", tmp_path, monkeypatch)


def test_a_line_that_is_only_read_must_be_valid():
    block = block_of("", reason="hours")
    given(block, ["transfer", "extract", "digits:", "--out", "a.h5", "--shard", "3/8"])
    words = ["transfer", "extract", "digits:", "--out", "a.h5", "--shard", "9/8"]
    for launcher, marked in (([], block), (["torchrun"], block_of(""))):
        with pytest.raises(InputError, match="`shard` 9/8"):
            given(marked, [*launcher, *words])


def test_a_line_that_is_not_printed_is_found():
    printed = "class  images\nowl        12\n\nall of them are\nknown\n"
    shown = block_of("class images\n…\nowl 7\nall of them are known\nwren 7\nclass score\n")
    assert not_printed(shown, printed) == ["wren 7", "class score"]
    assert not_printed(replace(shown, data="others"), printed) == ["class score"]
