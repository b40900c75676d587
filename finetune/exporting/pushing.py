"""Push of a folder to the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from features.infrastructure.errors import InputError

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def check_repository(name: str) -> None:
    """Raise `InputError` unless a name is ``OWNER/NAME``."""
    if not _REPOSITORY.fullmatch(name):
        raise InputError(f"`push` {name}: expected OWNER/NAME, a user or an organisation of the hub and the model")


class Hub:
    """A connection to the hub, as the user whose token is found.

    Raises:
        InputError: There is no token, it is not valid, or the hub does not answer.
    """

    def __init__(self, repository: str) -> None:
        from huggingface_hub import HfApi, get_token

        check_repository(repository)
        self.repository, self.api = repository, HfApi(library_name="transfer-toolkit")
        if get_token() is None:
            raise InputError(
                f"`push` {repository}: there is no token of the hub; log in with hf auth login, or set HF_TOKEN"
            )
        self._ask(lambda: self.api.whoami())

    def push(self, folder: Path, *, private: bool = False) -> str:
        """Upload the files of a folder to the repository, which is made if it is not there; return its address.

        Raises:
            InputError: The token may not write there, or the hub does not answer; the folder stays as it is.
        """
        left = f"{folder} is complete; upload it with: hf upload {self.repository} {folder}"
        self._ask(lambda: self.api.create_repo(self.repository, private=private or None, exist_ok=True), left)
        message = "Upload a model of transfer-toolkit"
        self._ask(
            lambda: self.api.upload_folder(repo_id=self.repository, folder_path=folder, commit_message=message), left
        )
        return f"{self.api.endpoint}/{self.repository}"

    def _ask(self, request: Any, left: str = "") -> None:
        """Make a request; ``left`` says what the user can do if it fails."""
        try:
            request()
        except Exception as error:  # of the hub's library and of the one below it, which differs by version
            from features.backbones.downloading import fault  # imports PyTorch

            status = getattr(getattr(error, "response", None), "status_code", 0)
            why = fault(error)
            if status == 401:
                why = "the token is not valid; log in anew with hf auth login, or set HF_TOKEN"
            elif status == 403:
                why = f"the token may not write to {self.repository.partition('/')[0]}; take one with write access"
            raise InputError(f"`push` {self.repository}: {why}" + (f"; {left}" if left else "")) from error
