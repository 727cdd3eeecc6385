"""Every type with every encoding that Parquet defines for it, and what does not fit, read by DuckDB and PyArrow."""

import base64
import datetime
import decimal
import json
import unittest

import duckdb
import pyarrow.parquet
from tablestore import Condition, Row

from readers import READERS
from support import INSTANCE, LAKE, Task, call, client, create_table, wait_until

KEY = [("id", "INTEGER")]
ROWS = 300
UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)

PLAIN, DICTIONARY = "PLAIN", "PLAIN_DICTIONARY"
PACKED, DELTA, LENGTHS = "DELTA_BINARY_PACKED", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"


def instant(micros):
    return EPOCH + datetime.timedelta(microseconds=micros)


def clock(micros):
    return (EPOCH + datetime.timedelta(microseconds=micros)).time()


def day(number):
    return (EPOCH + datetime.timedelta(days=number)).date()


# Name: type, its parameters, its encodings, what the table holds in a row, and what a reader is to find there.
TYPES = {
    "bool": ("BOOL", None, [PLAIN], lambda n: n % 3 == 0, lambda n: n % 3 == 0),
    "int64": ("INT64", None, [PLAIN, DICTIONARY, PACKED], lambda n: (-1) ** n * n * 2**40, lambda n: (-1) ** n * n * 2**40),
    "int32": ("INT32", None, [PLAIN, DICTIONARY, PACKED], lambda n: 2**31 - 1 - n, lambda n: 2**31 - 1 - n),
    "double": ("DOUBLE", None, [PLAIN, DICTIONARY], lambda n: n / 3, lambda n: n / 3),
    "float": ("FLOAT", None, [PLAIN, DICTIONARY], lambda n: n / 4, lambda n: n / 4),
    "utf8": ("UTF8", None, [PLAIN, DICTIONARY, DELTA, LENGTHS], lambda n: f"текст {n}", lambda n: f"текст {n}"),
    "binary": (
        "UTF8",
        "BINARY",
        [PLAIN, DICTIONARY, DELTA, LENGTHS],
        lambda n: bytearray(b"\x00\xff" * (n % 7)),
        lambda n: b"\x00\xff" * (n % 7),
    ),
    "date": ("DATE", None, [PLAIN, DICTIONARY, PACKED], lambda n: day(n * 50).isoformat(), lambda n: day(n * 50)),
    "time_millis": ("TIME_MILLIS", None, [PLAIN, DICTIONARY, PACKED], lambda n: n * 1001, lambda n: clock(n * 1_001_000)),
    "time_micros": (
        "TIME_MICROS",
        None,
        [PLAIN, DICTIONARY, PACKED],
        lambda n: clock(n * 7_001_001).isoformat("microseconds"),
        lambda n: clock(n * 7_001_001),
    ),
    "timestamp_millis": (
        "TIMESTAMP_MILLIS",
        None,
        [PLAIN, DICTIONARY, PACKED],
        lambda n: n * 10**10,
        lambda n: instant(n * 10**13),
    ),
    "timestamp_micros": (
        "TIMESTAMP_MICROS",
        None,
        [PLAIN, DICTIONARY, PACKED],
        lambda n: instant(n * 10**9 + n).isoformat(timespec="microseconds"),
        lambda n: instant(n * 10**9 + n),
    ),
    "decimal9": ("DECIMAL", "9,2", [PLAIN, DICTIONARY, PACKED], lambda n: f"-{n}.25", lambda n: decimal.Decimal(f"-{n}.25")),
    "decimal18": ("DECIMAL", "18,4", [PLAIN, DICTIONARY, PACKED], lambda n: n * 10**9, lambda n: decimal.Decimal(n * 10**9)),
    "decimal38": (
        "DECIMAL",
        "38,10",
        [PLAIN, DELTA],
        lambda n: f"{n}123456789012345678.0000000001",
        lambda n: decimal.Decimal(f"{n}123456789012345678.0000000001"),
    ),
}
# What the writer says of pages in the encoding that was asked for.
WRITTEN = {
    PLAIN: "PLAIN",
    DICTIONARY: "RLE_DICTIONARY",
    PACKED: "DELTA_BINARY_PACKED",
    DELTA: "DELTA_BYTE_ARRAY",
    LENGTHS: "DELTA_LENGTH_BYTE_ARRAY",
}


def columns():
    """Column names with what the table `TYPES` says of each."""
    return {
        f"{name}_{encoding.lower()}": (encoding, *described)
        for name, described in TYPES.items()
        for encoding in described[2]
    }


def schema():
    fields = [{"source": "id", "target": "id", "kind": "INT64"}]
    for target, (encoding, kind, extend, *_) in columns().items():
        source = target.removesuffix(f"_{encoding.lower()}")
        field = {"source": source, "target": target, "kind": kind, "encoding": encoding}
        fields.append(field | ({"type_extend": extend} if extend else {}))
    return {"manual": fields}


def change(task, patch):
    return call("PATCH", f"instances/{INSTANCE}/tables/{task.table}/tasks/{task.name}", patch)


def put(ots, table, number, cells):
    ots.put_row(table, Row([("id", number)], cells), Condition("IGNORE"))


def cells(number):
    """A row of all types, of which every eleventh lacks one."""
    values = [(name, held(number)) for name, (_, _, _, held, _) in TYPES.items()]
    if number % 11 == 0:
        del values[number // 11 % len(values)]
    return values


def with_duckdb(task):
    """As `readers.with_duckdb`, but instants come as counts: as values they would need a library of time zones."""
    instants = [name for name in columns() if name.startswith("timestamp")]
    counted = ", ".join(f"epoch_us({name}) AS {name}" for name in instants)
    query = f"SELECT * REPLACE ({counted}) FROM read_parquet('{task.glob()}', hive_partitioning = false)"
    cursor = duckdb.sql(query)
    rows = [dict(zip(cursor.columns, row)) for row in cursor.fetchall()]
    for row in rows:
        row.update({name: None if row[name] is None else instant(row[name]) for name in instants})
    return rows


def comparable(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(UTC)
    if isinstance(value, float):
        return repr(value)
    return bytes(value) if isinstance(value, bytearray) else value


class Types(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ots = client()
        cls.table = create_table(cls.ots, KEY)
        for number in range(ROWS):
            put(cls.ots, cls.table, number, cells(number))

    def task(self, *arguments, **settings):
        task = Task(*arguments, **settings)
        self.addCleanup(task.delete)
        return task

    def test_every_type_with_every_encoding_is_read_as_it_lies_in_the_table(self):
        task = self.task(self.table, "INC", [("id", "INT64")])
        task.wait_for_phase("INCR")
        change(task, {"schema": schema()})
        for number in range(ROWS):
            put(self.ots, self.table, number, cells(number))
        self.deliver(task, ROWS)
        self.assertEqual(task.status()["dirty_fields"], 0, task.status())
        for name, read in (READERS | {"DuckDB": with_duckdb}).items():
            rows = {row["id"]: row for row in read(task)}
            self.assertEqual(sorted(rows), list(range(ROWS)))
            for target, (_, _, _, _, _, expected) in columns().items():
                source = next(name for name in TYPES if any(target == f"{name}_{e.lower()}" for e in TYPES[name][2]))
                with self.subTest(reader=name, column=target):
                    for number, row in rows.items():
                        is_there = source in dict(cells(number))
                        wanted = expected(number) if is_there else None
                        self.assertEqual(comparable(row[target]), comparable(wanted), f"row {number}")
        self.check_encodings(task)

    def check_encodings(self, task):
        for path in task.objects():
            group = pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
            for at in range(group.num_columns):
                column = group.column(at)
                asked = columns().get(column.path_in_schema)
                if asked is not None:
                    self.assertIn(WRITTEN[asked[0]], column.encodings, column.path_in_schema)

    def test_what_does_not_fit_is_left_out_and_kept(self):
        fields = [("id", "INT64"), ("n", "INT32"), ("d", "DATE")]
        task = self.task(self.table, "INC", fields)
        task.wait_for_phase("INCR")
        put(self.ots, self.table, 1, [("n", 2**40), ("d", "31.8.2020")])
        put(self.ots, self.table, 2, [("n", 2), ("d", "2020-08-31")])
        put(self.ots, self.table, 3, [("n", bytearray(b"\x00\xff")), ("d", 1)])
        self.deliver(task, 3)
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
        manifests = [json.loads(path.read_text()) for path in top.glob("manifests/**/*.json")]
        named = [manifest["dirty"] for manifest in manifests if "dirty" in manifest]
        found = sorted(str(path.relative_to(LAKE / task.bucket)) for path in top.glob("dirty/**/*.jsonl"))
        self.assertEqual(sorted(dirty["name"] for dirty in named), found)
        self.assertEqual(sum(dirty["kept"] for dirty in named), 3)

    def test_columns_are_added_to_a_running_task(self):
        task = self.task(self.table, "INC", [("id", "INT64")])
        task.wait_for_phase("INCR")
        put(self.ots, self.table, 1, [("colour", "red")])
        self.deliver(task, 1)
        self.assertEqual(task.status()["undelivered_kinds"], {"colour": "STRING"})
        change(task, {"add_columns": [{"source": "colour", "target": "Colour", "kind": "UTF8"}]})
        put(self.ots, self.table, 2, [("colour", "blue")])
        self.deliver(task, 2)
        folder = task.glob().removesuffix("/**")
        query = f"SELECT id, \"Colour\" FROM read_parquet('{folder}/**', union_by_name = true) ORDER BY id"
        self.assertEqual(duckdb.sql(query).fetchall(), [(1, None), (2, "blue")])

    def deliver(self, task, rows):
        path = f"instances/{INSTANCE}/tables/{task.table}/tasks/{task.name}/deliver-now"

        def done():
            call("POST", path, {})
            return task.status()["rows_delivered"] == rows

        wait_until(done, f"{rows} rows; {task.status()}")


if __name__ == "__main__":
    unittest.main()
