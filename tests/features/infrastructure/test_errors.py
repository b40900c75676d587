"""Messages name arguments by their Python names; the command line prints options."""

from features.infrastructure.errors import InputError, as_typed


def test_arguments_become_options_on_the_command_line() -> None:
    error = InputError("`min_count` -1: expected at least 0; see `source`\n and `x`")
    assert str(error) == "`min_count` -1: expected at least 0; see `source` and `x`"
    assert error.on_command_line(["source"]) == "--min-count -1: expected at least 0; see SOURCE and --x"


def test_other_code_in_backticks_stays() -> None:
    assert as_typed("run `pip install x` or `A`") == "run `pip install x` or `A`"
