"""Every type with every encoding that Parquet defines for it and every compression, and what does not fit."""

import base64
import datetime
import unittest

import duckdb
import pyarrow.parquet
from tablestore import BatchWriteRowRequest, Condition, PutRowItem, Row, TableInBatchWriteRowItem

import matrix
from readers import FINDERS, READERS
from support import LAKE, Task, as_dict, client, create_table, read_range, wait_until

KEY = [("id", "INTEGER")]
ROWS = 300
ID = {"source": "id", "target": "id", "kind": "INT64"}


def put(ots, table, number, cells):
    ots.put_row(table, Row([("id", number)], cells), Condition("IGNORE"))


def fill(ots, table, numbers):
    for first in range(numbers.start, numbers.stop, 50):
        batch = range(first, min(first + 50, numbers.stop))
        rows = [PutRowItem(Row([("id", n)], matrix.cells(n)), Condition("IGNORE")) for n in batch]
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem(table, rows))
        assert ots.batch_write_row(request).is_all_succeed()


def deliver(task, rows):
    def done():
        task.steer("deliver-now")
        return task.status()["rows_delivered"] == rows

    wait_until(done, f"{rows} rows; {task.status()}")


class EveryType(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Rows that are scanned, then rows that are followed, by a task for each compression."""
        ots = client()
        cls.table = create_table(ots, KEY)
        fill(ots, cls.table, range(ROWS // 2))
        cls.tasks = list(cls.make_tasks())
        for task, *_ in cls.tasks:
            task.wait_for_phase("INCR")
        fill(ots, cls.table, range(ROWS // 2, ROWS))
        for task, *_ in cls.tasks:
            deliver(task, ROWS)
        cls.rows = {row["id"]: row for row in map(as_dict, read_range(ots, cls.table, ["id"]))}

    @classmethod
    def make_tasks(cls):
        """Each with its compression and its columns: TIME in milliseconds apart, which Spark has to be told of."""
        every = matrix.columns().items()
        for compression in matrix.COMPRESSIONS:
            for part in ("millis", "others"):
                columns = {name: column for name, column in every if (column.source == "time_millis") == (part == "millis")}
                schema = [ID] + [column.field(target) for target, column in columns.items()]
                name = f"{compression}-{part}"
                yield Task(cls.table, "BASE_INC", schema, name=name, compression=compression), compression, columns

    def test_every_type_with_every_encoding_is_read_as_it_lies_in_the_table(self):
        self.assertEqual(list(self.rows), list(range(ROWS)))
        for task, compression, columns in self.tasks:
            for name, read in READERS.items():
                with self.subTest(compression=compression, reader=name):
                    delivered = {row["id"]: row for row in read(task)}
                    self.assertEqual(sorted(delivered), list(self.rows))
                    found = [(delivered[number], row) for number, row in self.rows.items()]
                    matrix.check(self, columns, found)

    def test_a_value_of_every_column_is_found_by_it(self):
        """Readers leave out what objects say has no such value; the greatest and least ones are the likeliest lost."""
        for task, _, columns in self.tasks[:2]:
            expected, sought = {}, {}
            for target, column in columns.items():
                meant = {number: column.type.expected(row.get(column.source)) for number, row in self.rows.items()}
                sought[target] = meant[1]
                expected[target] = [number for number, value in meant.items() if value == meant[1]]
            for name, find in FINDERS.items():
                found = find(task, sought)
                for target in columns:
                    with self.subTest(reader=name, column=target):
                        self.assertEqual(sorted(found[target]), expected[target])

    def test_every_column_is_written_as_it_was_asked_for(self):
        for task, compression, columns in self.tasks:
            seen = set()
            for path in task.objects():
                group = pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
                for column in map(group.column, range(group.num_columns)):
                    self.assertEqual(column.compression, matrix.COMPRESSIONS[compression])
                    asked = columns.get(column.path_in_schema)
                    if asked is not None:
                        self.assertIn(matrix.WRITTEN[asked.encoding], column.encodings, column.path_in_schema)
                        seen.add(column.path_in_schema)
            self.assertEqual(seen, set(columns))

    def test_what_does_not_fit_is_counted_and_kept_for_each_column(self):
        for task, _, columns in self.tasks:
            expected = sorted(
                (str(number), target) for number, row in self.rows.items() for target in matrix.misfits(columns, row)
            )
            self.assertGreater(len(expected), 0)
            self.assertEqual(task.status()["dirty_fields"], len(expected))
            kept = [(line["primary_key"][0]["value"], line["target"]) for line in task.dirty_lines()]
            self.assertEqual(sorted(kept), expected)


class Dirty(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ots = client()
        cls.table = create_table(cls.ots, KEY)

    def task(self, *arguments, **settings):
        task = Task(*arguments, **settings)
        self.addCleanup(task.delete)
        return task

    def test_what_does_not_fit_is_left_out_and_kept(self):
        fields = [("id", "INT64"), ("n", "INT32"), ("d", "DATE")]
        task = self.task(self.table, "INC", fields)
        task.wait_for_phase("INCR")
        put(self.ots, self.table, 1, [("n", 2**40), ("d", "31.8.2020")])
        put(self.ots, self.table, 2, [("n", 2), ("d", "2020-08-31")])
        put(self.ots, self.table, 3, [("n", bytearray(b"\x00\xff")), ("d", 1)])
        deliver(task, 3)
        for name, read in READERS.items():
            with self.subTest(reader=name):
                rows = sorted((row["id"], row["n"], row["d"]) for row in read(task) if row["id"] == 2)
                self.assertEqual(rows, [(2, 2, datetime.date(2020, 8, 31))])
                rows = {row["id"]: (row["n"], row["d"]) for row in read(task)}
                self.assertEqual(rows[1], (None, None))
                self.assertEqual(rows[3], (None, datetime.date(1970, 1, 2)))
        status = task.status()
        self.assertEqual(status["dirty_reasons"], {"range": 1, "format": 1, "type": 1})
        self.assertEqual(status["dirty_columns"], {"n": 2, "d": 1})

        glob = LAKE / task.bucket / "_lakeferry" / "dirty" / "**" / "*.jsonl"
        query = f"""SELECT primary_key[1].value, "column", reason, type, value, sequence, commit_time, task
            FROM read_json('{glob}', format = 'newline_delimited') ORDER BY 1, 2"""
        kept = duckdb.sql(query).fetchall()
        self.assertEqual(
            [row[:5] for row in kept],
            [
                ("1", "d", "format", "STRING", "31.8.2020"),
                ("1", "n", "range", "INTEGER", str(2**40)),
                ("3", "n", "type", "BINARY", base64.b64encode(b"\x00\xff").decode()),
            ],
        )
        for *_, sequence, commit_time, task_name in kept:
            self.assertGreater(sequence, 0)
            self.assertGreater(commit_time, 0)
            self.assertEqual(task_name, task.name)
        self.check_manifests(task)

    def check_manifests(self, task):
        top = LAKE / task.bucket / "_lakeferry"
        named = [manifest["dirty"] for manifest in task.manifests() if "dirty" in manifest]
        found = sorted(str(path.relative_to(LAKE / task.bucket)) for path in top.glob("dirty/**/*.jsonl"))
        self.assertEqual(sorted(dirty["name"] for dirty in named), found)
        self.assertEqual(sum(dirty["kept"] for dirty in named), 3)

    def test_columns_are_added_to_a_running_task(self):
        task = self.task(self.table, "INC", [("id", "INT64")])
        task.wait_for_phase("INCR")
        put(self.ots, self.table, 1, [("colour", "red")])
        deliver(task, 1)
        self.assertEqual(task.status()["undelivered_kinds"], {"colour": "STRING"})
        task.change({"add_columns": [{"source": "colour", "target": "Colour", "kind": "UTF8"}]})
        put(self.ots, self.table, 2, [("colour", "blue")])
        deliver(task, 2)
        for name, read in READERS.items():
            with self.subTest(reader=name):
                rows = sorted((row["id"], row["Colour"]) for row in read(task, merging=True))
                self.assertEqual(rows, [(1, None), (2, "blue")])


if __name__ == "__main__":
    unittest.main()
