"""Every error that Ratchet raises on purpose.

Each message says what was found, what was expected and what to do next.

::

    RatchetError
    ├── DefinitionError        a pipeline file or a suite is wrong
    ├── NotFound               no such pipeline, window, version, quarantine entry
    ├── Refused                the request would break a promise (a past window, an undecided entry)
    ├── ObjectError            one object of the landing zone; the loop quarantines it and goes on
    │   ├── Unreadable         truncated, damaged, not the declared format, wrong columns
    │   ├── TooLarge           over the byte or row cap; refused before decoding
    │   ├── ObjectChanged      it changed while it was read; left for the next cycle
    │   └── UnsafeKey          a key that another key could alias, or that leaves the zone
    ├── StorageError           the tables or the landing zone could not do it
    │   ├── Conflict           somebody else committed first
    │   ├── Damaged            a commit log or a file does not match what was written
    │   └── NoConditionalWrites  the store cannot guarantee one winner
    ├── LeaseHeld              another run works on this pipeline
    ├── NotifyError            a message could not be delivered; logged and kept, never fatal
    ├── NoCandidate            nothing that may be trained on (one class, no rows, no values)
    └── ModelError             a model's bytes, manifest or lineage do not fit together
        └── Tampered           a digest differs from the one that was recorded
"""

from __future__ import annotations


class RatchetError(Exception):
    """Base of every error that Ratchet raises on purpose."""


class DefinitionError(RatchetError):
    """A pipeline definition or a suite is wrong."""


class NotFound(RatchetError):
    """What was asked for does not exist."""


class Refused(RatchetError):
    """The request would break a promise; nothing was done."""


class ObjectError(RatchetError):
    """One object of the landing zone cannot be taken in; carries the ``check`` that failed."""

    check = "object"


class Unreadable(ObjectError):
    """Truncated, damaged, not the declared format, or without the declared columns."""

    check = "unreadable_object"


class TooLarge(ObjectError):
    """Over the byte or row cap; refused before decoding."""

    check = "object_too_large"


class ObjectChanged(ObjectError):
    """The object changed while it was read; nothing was taken, the next cycle tries again."""

    check = "object_changed"


class UnsafeKey(ObjectError):
    """A key that another key could alias, or that leaves the zone."""

    check = "unsafe_key"


class StorageError(RatchetError):
    """The tables or the landing zone could not do what was asked."""


class Conflict(StorageError):
    """Somebody else committed first; nothing was written."""


class Damaged(StorageError):
    """A commit log or a data file does not match what was written."""


class NoConditionalWrites(StorageError):
    """The store cannot guarantee that one of several writers wins."""


class LeaseHeld(RatchetError):
    """Another run works on this pipeline; this one lost and did nothing."""


class NotifyError(RatchetError):
    """A message could not be delivered; the cycle goes on."""


class NoCandidate(RatchetError):
    """There is nothing that a model may be trained on."""


class ModelError(RatchetError):
    """A model's bytes, manifest or lineage do not fit together."""


class Tampered(ModelError):
    """A digest differs from the one that was recorded; the model is not loaded."""
