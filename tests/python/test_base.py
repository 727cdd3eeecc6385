"""BASE: the objects hold every row of the table once, with equal values."""

import unittest

from tablestore import BatchWriteRowRequest, Condition, PutRowItem, Row, TableInBatchWriteRowItem

from readers import READERS
from support import RESERVED, Task, client, create_table, now_micros, read_range, as_dict, wait_until

ROWS = 20_000
KEY = [("place", "INTEGER"), ("name", "STRING"), ("code", "BINARY")]
KEY_NAMES = [name for name, _ in KEY]
COLUMNS = [
    ("place", "INT64"),
    ("name", "UTF8"),
    ("code", "BINARY"),
    ("text", "UTF8"),
    ("integer", "INT64"),
    ("double", "DOUBLE"),
    ("flag", "BOOL"),
    ("bytes", "BINARY"),
]


def fill(ots, table):
    for first in range(0, ROWS, 200):
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem(table, [row(number) for number in range(first, first + 200)]))
        assert ots.batch_write_row(request).is_all_succeed()


def row(number):
    """A row with one column of each type, of which every tenth row lacks one."""
    key = [("place", number % 1000), ("name", f"n{number}"), ("code", bytearray(number.to_bytes(3, "big")))]
    columns = [
        ("text", f"текст {number}"),
        ("integer", (-1) ** number * number * 2**40),
        ("double", number / 3),
        ("flag", number % 2 == 1),
        ("bytes", bytearray(b"\x00\xff" * (number % 5))),
    ]
    if number % 10 < 5:
        del columns[number % 10]
    return PutRowItem(Row(key, columns), Condition("IGNORE"))


def comparable(row):
    """A row with every column there, and bytes as one type."""
    values = {name: row.get(name) for name, _ in COLUMNS}
    return {name: bytes(value) if isinstance(value, bytearray) else value for name, value in values.items()}


def by_key(rows):
    return sorted((comparable(row) for row in rows), key=lambda row: [row[name] for name in KEY_NAMES])


class Base(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ots = client()
        cls.table = create_table(cls.ots, KEY, split_points=[300, 600])
        cls.before = now_micros()
        fill(cls.ots, cls.table)
        cls.expected = by_key(as_dict(row) for row in read_range(cls.ots, cls.table, KEY_NAMES))
        assert len(cls.expected) == ROWS

    def task(self, *arguments, **settings):
        task = Task(*arguments, **settings)
        self.addCleanup(task.delete)
        return task

    def test_every_row_is_delivered_once_with_equal_values(self):
        task = self.task(self.table, "BASE", COLUMNS + RESERVED, prefix="data/$yyyy/$MM/$dd/$HH")
        task.wait_for_phase("INCR")
        for name, read in READERS.items():
            with self.subTest(reader=name):
                rows = read(task)
                self.assertEqual(by_key(rows), self.expected)
                self.assertEqual({row["$operation"] for row in rows}, {"BASE"})
                commits = [row["$commit_time"] for row in rows]
                self.assertGreater(min(commits), self.before - 1_000_000)
                self.assertLess(max(commits), now_micros() + 1_000_000)
        status = task.status()
        self.assertEqual((status["rows_delivered"], status["dirty_fields"]), (ROWS, 0))

    def test_a_folder_of_the_hive_kind_is_read_as_columns(self):
        task = self.task(self.table, "BASE", COLUMNS, prefix="hive/year=$yyyy/month=$MM")
        task.wait_for_phase("INCR")
        for name, read in READERS.items():
            with self.subTest(reader=name):
                self.assertEqual(by_key(read(task)), self.expected)

    def test_an_automatic_schema_delivers_every_column(self):
        task = self.task(self.table, "BASE", None)
        task.wait_for_phase("INCR")
        for name, read in READERS.items():
            with self.subTest(reader=name):
                self.assertEqual(by_key(read(task)), self.expected)

    def test_later_changes_stay_out(self):
        table = create_table(self.ots, KEY)
        self.ots.put_row(table, row(7).row)
        task = self.task(table, "BASE", COLUMNS)
        task.wait_for_phase("INCR")
        shown = task.status()["sync_point"]
        self.assertGreater(shown, 0)
        self.ots.put_row(table, row(8).row)
        wait_until(lambda: len(READERS["DuckDB"](task)) == 1, "the one row")
        self.assertEqual(task.status()["sync_point"], shown)


if __name__ == "__main__":
    unittest.main()
