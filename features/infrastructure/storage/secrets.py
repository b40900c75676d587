"""Credentials and signatures in addresses: no message and no file of the toolkit holds them.

The secret of an address is its user before ``@`` (``https://NAME:PASSWORD@HOST/``) and, on a web server, its query
after ``?``, which signs it (``https://HOST/train.txt?X-Amz-Signature=…``). A query is left out whole, since no list of
the names of signatures is complete.
"""

from __future__ import annotations

import re

_USER = re.compile(r"\b((?:https?|s?ftp|ssh|smb|webhdfs)://)[^/\s@<>\"'\\?]*@", re.IGNORECASE)
#: Not behind ``scheme:``, as in ``list:https://HOST/train.txt?root=DIR``: there a ? begins the options of a spec.
_QUERY = re.compile(r"(?<!\w:)\b(https?://[^\s?<>\"'\\]+)\?[^\s<>\"'\\)\]}]*", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Return a text in which every address has lost its user and its query.

    >>> without_secrets("https://ann:secret@host/bank.h5?sig=1 list:<https://host/train.txt?sig=2>?root=s3://images")
    'https://host/bank.h5 list:<https://host/train.txt>?root=s3://images'
    """
    return _QUERY.sub(r"\1", _USER.sub(r"\1", text)) if "://" in text else text
