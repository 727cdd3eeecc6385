"""BASE_INC: while writers run, what the objects say becomes what the table says."""

import collections
import unittest

from readers import READERS, earliest_commits, objects_by_lane
from support import RESERVED, Observer, Task, as_dict, client, create_table, now_micros, read_range, wait_until
from writers import COLUMNS, KEY, KEY_NAMES, SPLIT_POINTS, Writer, Writers

CHANGES_MIN = 3000
NAMES = [name for name, _ in COLUMNS]


def comparable(row):
    values = {name: row.get(name) for name in NAMES}
    return {name: bytes(value) if isinstance(value, bytearray) else value for name, value in values.items()}


def key_of(row):
    return tuple(row[name] for name in KEY_NAMES)


def rebuilt(rows):
    """The table as the delivered rows tell it: per key the row with the highest sequence, deletes left out."""
    state = {}
    for row in sorted(rows, key=lambda row: row["$sequence"]):
        state[key_of(row)] = row
    return {key: comparable(row) for key, row in state.items() if row["$operation"] != "DELETE"}


class BaseInc(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Rows that are there before, writers that run while the task is made, scans, and follows."""
        cls.ots = client()
        cls.table = create_table(cls.ots, KEY, split_points=SPLIT_POINTS)
        cls.resting = Writer(cls.table, "resting", keys=1000)
        cls.resting.write_all_keys()
        cls.busy = [Writer(cls.table, f"busy{at}", keys=300) for at in range(3)]
        for writer in cls.busy:
            writer.write_all_keys()
        with Writers(cls.busy):
            cls.task = Task(
                cls.table,
                "BASE_INC",
                COLUMNS + RESERVED,
                prefix="data/$yyyy/$MM/$dd/$HH/$mm",
                object_age_ms_max=300,
            )
            with Observer(cls.task) as cls.observer:
                cls.task.wait_for_phase("INCR")
                wait_until(cls.much_is_delivered, "changes delivered while writers run")
        cls.task.wait_for_sync_point(now_micros())
        cls.lanes = objects_by_lane(cls.task)

    @classmethod
    def much_is_delivered(cls):
        status = cls.task.status()
        return status["rows_delivered"] - len(cls.resting.keys) > CHANGES_MIN and status["objects"] > 3

    def test_the_objects_rebuild_the_table(self):
        rows = [comparable(as_dict(row)) for row in read_range(self.ots, self.table, KEY_NAMES)]
        expected = {key_of(row): row for row in rows}
        for name, read in READERS.items():
            with self.subTest(reader=name):
                self.assertEqual(rebuilt(read(self.task)), expected)

    def test_rows_at_rest_arrive_once_as_base_and_changes_once(self):
        rows = READERS["DuckDB"](self.task)
        places = collections.Counter((key_of(row), row["$sequence"]) for row in rows)
        self.assertEqual(max(places.values()), 1, "a change came twice")
        resting = [row for row in rows if row["item"].startswith("resting")]
        self.assertEqual({row["$operation"] for row in resting}, {"BASE"})
        self.assertEqual(len(resting), len(self.resting.keys))
        bases = collections.Counter(key_of(row) for row in rows if row["$operation"] == "BASE")
        self.assertEqual(max(bases.values()), 1)

    def test_changes_arrive_in_the_order_in_which_they_were_answered(self):
        """From its first delivered change on, a key's changes are the ledger's, none left out."""
        found = collections.defaultdict(list)
        for row in sorted(READERS["PyArrow"](self.task), key=lambda row: row["$sequence"]):
            if row["$operation"] != "BASE":
                found[key_of(row)].append((row["$operation"], row["write"]))
        changes = {key: steps for writer in self.busy for key, steps in writer.changes.items()}
        for key, steps in found.items():
            self.assertEqual(steps, changes[key][-len(steps) :])

    def test_nothing_comes_after_a_sync_point_that_was_committed_before_it(self):
        self.observer.check(self, earliest_commits(self.lanes))


if __name__ == "__main__":
    unittest.main()
