"""Threads that write, and remember what was answered.

Each writer owns its keys, so the order of one key's changes is known. Every put and update carries a number
of its own in the column `write`.
"""

import itertools
import random
import threading

from tablestore import (
    BatchWriteRowRequest,
    Condition,
    DeleteRowItem,
    PutRowItem,
    Row,
    TableInBatchWriteRowItem,
    UpdateRowItem,
)

from support import client

KEY = [("place", "INTEGER"), ("item", "STRING")]
KEY_NAMES = [name for name, _ in KEY]
PLACES = 1000
# Four partitions of equal width.
SPLIT_POINTS = [250, 500, 750]
COLUMNS = [
    ("place", "INT64"),
    ("item", "UTF8"),
    ("write", "INT64"),
    ("text", "UTF8"),
    ("ratio", "DOUBLE"),
    ("flag", "BOOL"),
    ("bytes", "BINARY"),
    ("count", "INT64"),
]

numbers = itertools.count(1)


def partition_of(place):
    return sum(place >= point for point in SPLIT_POINTS)


class Writer:
    """Changes rows of its own, in batches, for as long as it is told to."""

    def __init__(self, table, name, keys=50, seed=0):
        self.table, self.name = table, name
        self.ots = client()
        self.random = random.Random(f"{seed}/{name}")
        places = [at * PLACES // keys for at in range(keys)]
        self.keys = [(place, f"{name}-{place}") for place in places]
        # Per key, in order: (operation, number of the write or None).
        self.changes = {key: [] for key in self.keys}

    def item(self, key):
        number = next(numbers)
        primary_key = list(zip(KEY_NAMES, key))
        choice = self.random.random() if self.changes[key] else 0
        if choice < 0.5:
            columns = [
                ("write", number),
                ("text", f"text {number}"),
                ("ratio", number / 3),
                ("flag", number % 3 == 0),
                ("bytes", bytearray(number.to_bytes(8, "big"))),
                ("count", 0),
            ]
            return ("PUT", number), PutRowItem(Row(primary_key, columns), Condition("IGNORE"))
        if choice < 0.9:
            changes = {"PUT": [("write", number)], "INCREMENT": [("count", 1)]}
            if choice < 0.6:
                changes["DELETE_ALL"] = ["ratio"]
            return ("UPDATE", number), UpdateRowItem(Row(primary_key, changes), Condition("IGNORE"))
        return ("DELETE", None), DeleteRowItem(Row(primary_key), Condition("IGNORE"))

    def write(self, keys):
        """Changes these keys once each, in one batch."""
        changes = [self.item(key) for key in keys]
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem(self.table, [item for _, item in changes]))
        assert self.ots.batch_write_row(request).is_all_succeed()
        for key, (change, _) in zip(keys, changes):
            self.changes[key].append(change)

    def write_all_keys(self):
        for first in range(0, len(self.keys), 100):
            self.write(self.keys[first : first + 100])

    def write_some_keys(self):
        self.write(self.random.sample(self.keys, min(20, len(self.keys))))


class Writers:
    """Writers in threads of their own, until the block ends."""

    def __init__(self, writers):
        self.writers, self.going, self.failures = writers, True, []
        self.threads = [threading.Thread(target=self.run, args=[writer]) for writer in writers]

    def run(self, writer):
        try:
            while self.going:
                writer.write_some_keys()
        except Exception as failure:  # Told by the main thread.
            self.failures.append(failure)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.going = False
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]
