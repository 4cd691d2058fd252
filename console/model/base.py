"""The base of all records."""

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """An immutable, serialisable record.

    `gc=False` because records hold only strings, numbers and tuples of records, never a cycle: a hundred thousand
    of them must not make the garbage collector walk them while somebody presses a key.
    """
