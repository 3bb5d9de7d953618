"""A suite as text that a person reads and changes: one rule a block, long lists wrapped.

>>> print(suite_text({"name": "s", "expectations": []}))
{
  "name": "s",
  "expectations": [
<BLANKLINE>
  ]
}
<BLANKLINE>

Promise: the text is JSON and says just what the suite says.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import Any

WIDTH = 100
_SPACE = "\u00a0"  # keeps a list's item on one line while the text is wrapped


def suite_text(suite: Mapping[str, Any]) -> str:
    """The JSON of a suite; see the module."""
    rules = ",\n".join(_rule(rule) for rule in suite["expectations"])
    head = "".join(
        f"  {json.dumps(key)}: {json.dumps(value)},\n"
        for key, value in suite.items()
        if key != "expectations"
    )
    return f'{{\n{head}  "expectations": [\n{rules}\n  ]\n}}\n'


def _rule(rule: Mapping[str, Any]) -> str:
    parts = [f"      {json.dumps(key)}: {_value(value)}" for key, value in rule.items()]
    return "    {\n" + ",\n".join(parts) + "\n    }"


def _value(value: Any) -> str:
    plain = json.dumps(value)
    if len(plain) <= WIDTH or not isinstance(value, dict):
        return plain
    lines = [f"        {json.dumps(key)}: {_member(part)}" for key, part in value.items()]
    return "{\n" + ",\n".join(lines) + "\n      }"


def _member(value: Any) -> str:
    plain = json.dumps(value)
    if len(plain) <= WIDTH or not isinstance(value, list):
        return plain
    # json.dumps escapes whatever is not ASCII, so the no-break space is free to use.
    items = [json.dumps(item).replace(" ", _SPACE) for item in value]
    wrapped = textwrap.wrap(", ".join(items), WIDTH, break_long_words=False, break_on_hyphens=False)
    indented = "\n".join(f"          {line}" for line in wrapped).replace(_SPACE, " ")
    return f"[\n{indented}\n        ]"
