"""profile: what is this data, and which pipeline would learn from it? For ``ratchet init``.

>>> inferred = infer(table, InitOptions(name="bank", path=Path("bank.csv"), label="y"))
... # doctest: +SKIP
>>> print(pipeline_toml(inferred), suite_json(inferred, table), sentences(inferred))
... # doctest: +SKIP

Promise: what is written loads without an edit, and whatever was guessed is said in plain words.
"""

from ratchet.profile.document import pipeline_toml
from ratchet.profile.infer import infer, sentences
from ratchet.profile.revise import Change, apply, revise
from ratchet.profile.suite import suite_json
from ratchet.profile.text import suite_text
from ratchet.profile.values import Inferred, InitOptions, name_from

__all__ = [
    "Change",
    "Inferred",
    "InitOptions",
    "apply",
    "infer",
    "name_from",
    "pipeline_toml",
    "revise",
    "sentences",
    "suite_json",
    "suite_text",
]
