"""The Python SDK against the table service: every row operation, at size, and one failure of each."""

import concurrent.futures
import threading
import time
import unittest

from tablestore import (
    BatchGetRowRequest,
    BatchWriteRowRequest,
    CapacityUnit,
    Condition,
    DeleteRowItem,
    OTSServiceError,
    PutRowItem,
    ReservedThroughput,
    ReturnType,
    Row,
    TableInBatchGetRowItem,
    TableInBatchWriteRowItem,
    TableMeta,
    TableOptions,
    UpdateRowItem,
)

from support import INF_MAX, INF_MIN, as_dict, client, create_table, read_range

ROWS = 100_000
ROWS_PER_BATCH = 200
KEY = [("group", "STRING"), ("id", "INTEGER")]
KEY_NAMES = [name for name, _ in KEY]


def key_of(number):
    return [("group", f"g{number % 7}"), ("id", number)]


def values_of(number):
    """One column of each type, different in every row."""
    return {
        "text": f"row {number} · ünï",
        "integer": number * 1_000_003 - 5,
        "double": number / 7,
        "flag": number % 2 == 0,
        "bytes": bytearray(number.to_bytes(4, "big")),
    }


def whole(number):
    return dict(key_of(number)) | values_of(number)


def put(number):
    return PutRowItem(Row(key_of(number), list(values_of(number).items())), Condition("IGNORE"))


def write_all(table):
    """Writes the rows from eight threads, each with a client and so a connection of its own."""
    own = threading.local()

    def write(first):
        if not hasattr(own, "client"):
            own.client = client()
        request = BatchWriteRowRequest()
        items = [put(number) for number in range(first, first + ROWS_PER_BATCH)]
        request.add(TableInBatchWriteRowItem(table, items))
        return own.client.batch_write_row(request).is_all_succeed()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return all(pool.map(write, range(0, ROWS, ROWS_PER_BATCH)))


def setUpModule():
    # Its time passes while the other tests run.
    TimedOutTransaction.begin()


class HundredThousandRows(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.ots = client()
        cls.table = create_table(cls.ots, KEY)
        assert write_all(cls.table)
        cls.order = sorted(range(ROWS), key=key_of)

    def test_get_range_forward_returns_every_row_in_order(self):
        rows = [as_dict(row) for row in read_range(self.ots, self.table, KEY_NAMES)]
        self.assertEqual(len(rows), ROWS)
        for row, number in zip(rows, self.order):
            self.assertEqual(row, whole(number))

    def test_get_range_backward_returns_the_same_rows_in_reverse(self):
        rows = [as_dict(row) for row in read_range(self.ots, self.table, KEY_NAMES, "BACKWARD")]
        self.assertEqual(len(rows), ROWS)
        for row, number in zip(rows, reversed(self.order)):
            self.assertEqual(row, whole(number))

    def test_get_range_keeps_to_its_bounds_and_its_limit(self):
        start, end = [("group", "g3"), ("id", 50)], [("group", "g3"), ("id", INF_MAX)]
        expected = [number for number in range(50, ROWS) if number % 7 == 3]
        _, following, rows, _ = self.ots.get_range(self.table, "FORWARD", start, end, limit=10)
        self.assertEqual([dict(row.primary_key)["id"] for row in rows], expected[:10])
        self.assertEqual(dict(following)["id"], expected[10])
        _, following, rows, _ = self.ots.get_range(self.table, "BACKWARD", end, start, limit=3)
        self.assertEqual([dict(row.primary_key)["id"] for row in rows], expected[:-4:-1])

    def test_get_row_returns_the_row_or_what_was_asked_of_it(self):
        for number in range(0, ROWS, 997):
            _, row, _ = self.ots.get_row(self.table, key_of(number))
            self.assertEqual(as_dict(row), whole(number))
        _, row, _ = self.ots.get_row(self.table, key_of(5), columns_to_get=["flag", "text"])
        self.assertEqual([column[0] for column in row.attribute_columns], ["flag", "text"])
        _, row, _ = self.ots.get_row(self.table, key_of(ROWS))
        self.assertIsNone(row)

    def test_batch_get_row_answers_row_by_row(self):
        numbers = list(range(0, ROWS, ROWS // 99))[:99] + [ROWS + 1]
        request = BatchGetRowRequest()
        keys = [key_of(number) for number in numbers]
        request.add(TableInBatchGetRowItem(self.table, keys, [], None, 1))
        items = self.ots.batch_get_row(request).get_result_by_table(self.table)
        self.assertTrue(all(item.is_ok for item in items))
        for item, number in zip(items[:-1], numbers):
            self.assertEqual(as_dict(item.row), whole(number))
        self.assertIsNone(items[-1].row)


class RowOperations(unittest.TestCase):
    def setUp(self):
        self.ots = client()
        self.table = create_table(self.ots, KEY, max_version=3)
        self.key = key_of(1)

    def put(self, columns, condition="IGNORE"):
        return self.ots.put_row(self.table, Row(self.key, columns), Condition(condition))

    def update(self, changes, condition="IGNORE"):
        return self.ots.update_row(self.table, Row(self.key, changes), Condition(condition))

    def read(self, max_version=10):
        _, row, _ = self.ots.get_row(self.table, self.key, max_version=max_version)
        return None if row is None else row.attribute_columns

    def test_update_puts_and_deletes_columns(self):
        self.put([("a", 1), ("b", 2), ("c", 3)])
        self.update({"PUT": [("a", 10), ("d", "new")], "DELETE_ALL": ["b"]})
        newest = {name: value for name, value, _ in self.read(max_version=1)}
        self.assertEqual(newest, {"a": 10, "c": 3, "d": "new"})

    def test_update_deletes_one_version(self):
        for value in (1, 2, 3):
            self.update({"PUT": [("a", value)]})
        versions = self.read()
        self.assertEqual([value for _, value, _ in versions], [3, 2, 1])
        self.update({"DELETE": [("a", None, versions[1][2])]})
        self.assertEqual([value for _, value, _ in self.read()], [3, 1])

    def test_update_increments_from_a_value_and_from_nothing(self):
        self.put([("n", 40)])
        changes = Row(self.key, {"INCREMENT": [("n", 2)]})
        _, row = self.ots.update_row(self.table, changes, Condition("IGNORE"), ReturnType.RT_PK)
        self.assertEqual(row.primary_key, self.key)
        self.assertEqual([value for _, value, _ in self.read()], [42, 40])
        self.update({"INCREMENT": [("n", -50), ("fresh", 7)]})
        self.assertEqual({name: value for name, value, _ in self.read(max_version=1)}, {"n": -8, "fresh": 7})

    def test_put_replaces_the_whole_row(self):
        self.put([("a", 1), ("b", 2)])
        self.put([("c", 3)])
        self.assertEqual([column[:2] for column in self.read()], [("c", 3)])

    def test_delete_removes_the_row(self):
        self.put([("a", 1)])
        self.ots.delete_row(self.table, Row(self.key), Condition("IGNORE"))
        self.assertIsNone(self.read())
        self.ots.delete_row(self.table, Row(self.key), Condition("IGNORE"))

    def test_a_batch_mixes_operations_in_order(self):
        other = key_of(2)
        request = BatchWriteRowRequest()
        items = [
            PutRowItem(Row(self.key, [("a", 1)]), Condition("IGNORE")),
            UpdateRowItem(Row(self.key, {"PUT": [("b", 2)]}), Condition("EXPECT_EXIST")),
            PutRowItem(Row(other, [("a", 1)]), Condition("IGNORE")),
            DeleteRowItem(Row(other), Condition("EXPECT_EXIST")),
        ]
        request.add(TableInBatchWriteRowItem(self.table, items))
        self.assertTrue(self.ots.batch_write_row(request).is_all_succeed())
        self.assertEqual([column[:2] for column in self.read()], [("a", 1), ("b", 2)])
        self.assertIsNone(self.ots.get_row(self.table, other)[1])

    def test_row_existence_is_checked_for_every_write(self):
        """Each operation under each expectation, on a row that is there and on one that is not."""
        operations = {
            "put": lambda condition: self.put([("a", 2)], condition),
            "update": lambda condition: self.update({"PUT": [("a", 2)]}, condition),
            "delete": lambda condition: self.ots.delete_row(self.table, Row(self.key), Condition(condition)),
        }
        for name, operation in operations.items():
            for condition in ("IGNORE", "EXPECT_EXIST", "EXPECT_NOT_EXIST"):
                for exists in (True, False):
                    with self.subTest(operation=name, condition=condition, exists=exists):
                        self.ots.delete_row(self.table, Row(self.key), Condition("IGNORE"))
                        if exists:
                            self.put([("a", 1)])
                        before = self.read()
                        passes = condition == "IGNORE" or exists == (condition == "EXPECT_EXIST")
                        if passes:
                            operation(condition)
                            if name == "delete":
                                self.assertIsNone(self.read())
                            else:
                                self.assertEqual(self.read()[0][1], 2)
                        else:
                            with self.assertRaises(OTSServiceError) as failure:
                                operation(condition)
                            self.assertEqual(failure.exception.get_http_status(), 403)
                            self.assertEqual(failure.exception.get_error_code(), "OTSConditionCheckFail")
                            self.assertEqual(
                                failure.exception.get_error_message(), "Condition check failed."
                            )
                            self.assertEqual(self.read(), before)


class Failures(unittest.TestCase):
    """One documented failure of each operation, with its status, code and message."""

    @classmethod
    def setUpClass(cls):
        cls.ots = client()
        cls.table = create_table(cls.ots, KEY)

    def fails(self, status, code, message, operation):
        with self.assertRaises(OTSServiceError) as failure:
            operation()
        error = failure.exception
        found = (error.get_http_status(), error.get_error_code(), error.get_error_message())
        self.assertEqual(found, (status, code, message))
        self.assertEqual(len(error.get_request_id()), 36)

    def invalid(self, message, operation):
        self.fails(400, "OTSParameterInvalid", message, operation)

    def missing(self, operation):
        self.fails(404, "OTSObjectNotExist", "Requested table does not exist.", operation)

    def test_create_table(self):
        self.fails(
            409,
            "OTSObjectAlreadyExist",
            "Requested table already exists.",
            lambda: create_table(self.ots, KEY, name=self.table),
        )
        for name in ("1t", "a-b", ""):
            self.invalid(f"Invalid table name: '{name}'.", lambda: create_table_named(self.ots, name, KEY))
        self.invalid(
            "The number of primary key columns must be in range: [1, 4].",
            lambda: create_table(self.ots, [(f"k{n}", "INTEGER") for n in range(5)]),
        )
        self.invalid(
            "Duplicated primary key name: 'k'.",
            lambda: create_table(self.ots, [("k", "INTEGER"), ("k", "STRING")]),
        )

    def test_list_table(self):
        """ListTable has no parameters; what can be wrong is who asks."""
        self.assertIn(self.table, self.ots.list_table())
        stranger = client(secret="wrong")
        self.fails(403, "OTSAuthFailed", "Signature mismatch.", stranger.list_table)

    def test_describe_table(self):
        self.missing(lambda: self.ots.describe_table("nowhere"))

    def test_update_table(self):
        throughput = ReservedThroughput(CapacityUnit(0, 0))
        self.missing(lambda: self.ots.update_table("nowhere", TableOptions(), throughput))

    def test_delete_table(self):
        self.missing(lambda: self.ots.delete_table("nowhere"))

    def test_put_row(self):
        row = Row(key_of(1), [("#", 1)])
        self.invalid("Invalid column name: '#'.", lambda: self.ots.put_row(self.table, row))
        long = Row([("group", "x" * 1025), ("id", 1)], [("a", 1)])
        self.invalid(
            "The length of primary key column: 'group' exceeds the MaxLength:1024 with CurrentLength:1025.",
            lambda: self.ots.put_row(self.table, long),
        )
        short = Row([("group", "x")], [("a", 1)])
        self.fails(
            400,
            "OTSInvalidPK",
            "Validate PK size fail. Input: 1, Meta: 2.",
            lambda: self.ots.put_row(self.table, short),
        )

    def test_update_row(self):
        swapped = Row([("id", 1), ("group", "x")], {"PUT": [("a", 1)]})
        self.fails(
            400,
            "OTSInvalidPK",
            "Validate PK name fail. Input: id, Meta: group.",
            lambda: self.ots.update_row(self.table, swapped, Condition("IGNORE")),
        )

    def test_delete_row(self):
        mistyped = Row([("group", "x"), ("id", "1")])
        self.fails(
            400,
            "OTSInvalidPK",
            "Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.",
            lambda: self.ots.delete_row(self.table, mistyped, Condition("IGNORE")),
        )

    def test_get_row(self):
        self.invalid(
            "VT_INF_MIN is an invalid type for the primary key.",
            lambda: self.ots.get_row(self.table, [("group", INF_MIN), ("id", 1)]),
        )
        self.invalid(
            "No version condition is specified.",
            lambda: self.ots.get_row(self.table, key_of(1), max_version=None),
        )

    def test_batch_get_row(self):
        request = BatchGetRowRequest()
        keys = [key_of(number) for number in range(101)]
        request.add(TableInBatchGetRowItem(self.table, keys, [], None, 1))
        self.invalid("Rows count exceeds the upper limit: 100.", lambda: self.ots.batch_get_row(request))

    def test_batch_get_row_of_a_missing_table_fails_by_row(self):
        request = BatchGetRowRequest()
        request.add(TableInBatchGetRowItem("nowhere", [key_of(1)], [], None, 1))
        (item,) = self.ots.batch_get_row(request).get_result_by_table("nowhere")
        self.assertFalse(item.is_ok)
        self.assertEqual(item.error_code, "OTSObjectNotExist")
        self.assertEqual(item.error_message, "Requested table does not exist.")

    def test_batch_write_row(self):
        request = BatchWriteRowRequest()
        request.add(TableInBatchWriteRowItem(self.table, [put(number) for number in range(201)]))
        self.invalid("Rows count exceeds the upper limit: 200.", lambda: self.ots.batch_write_row(request))

    def test_batch_write_row_fails_row_by_row(self):
        request = BatchWriteRowRequest()
        absent = PutRowItem(Row(key_of(-1), [("a", 1)]), Condition("EXPECT_EXIST"))
        request.add(TableInBatchWriteRowItem(self.table, [put(3), absent]))
        good, bad = self.ots.batch_write_row(request).get_put_by_table(self.table)
        self.assertTrue(good.is_ok)
        self.assertEqual(
            (bad.is_ok, bad.error_code, bad.error_message),
            (False, "OTSConditionCheckFail", "Condition check failed."),
        )

    def test_get_range(self):
        low, high = key_of(0), key_of(7)
        self.invalid(
            "Begin key must less than end key in FORWARD",
            lambda: self.ots.get_range(self.table, "FORWARD", high, low),
        )
        self.invalid(
            "Begin key must more than end key in BACKWARD",
            lambda: self.ots.get_range(self.table, "BACKWARD", low, high),
        )
        self.invalid(
            "The limit must be greater than 0.",
            lambda: self.ots.get_range(self.table, "FORWARD", low, high, limit=0),
        )


class Signatures(unittest.TestCase):
    def test_version_4_is_accepted_and_checked(self):
        ots = client(region="cn-hangzhou")
        table = create_table(ots, KEY)
        ots.put_row(table, Row(key_of(1), [("a", 1)]))
        _, row, _ = ots.get_row(table, key_of(1))
        self.assertEqual(row.attribute_columns[0][:2], ("a", 1))
        stranger = client(secret="wrong", region="cn-hangzhou")
        with self.assertRaises(OTSServiceError) as failure:
            stranger.put_row(table, Row(key_of(2), [("a", 1)]))
        self.assertEqual(failure.exception.get_error_code(), "OTSAuthFailed")
        self.assertIsNone(ots.get_row(table, key_of(2))[1])

    def test_an_unknown_key_is_refused(self):
        ots = client()
        ots.credentials_provider = type(ots.credentials_provider)("nobody", "dev")
        with self.assertRaises(OTSServiceError) as failure:
            ots.list_table()
        error = failure.exception
        found = (error.get_http_status(), error.get_error_code(), error.get_error_message())
        self.assertEqual(found, (403, "OTSAuthFailed", "The AccessKeyID does not exist."))


class Tables(unittest.TestCase):
    def test_a_table_is_made_listed_changed_and_deleted(self):
        ots = client()
        defined = [("c1", "STRING"), ("c2", "INTEGER")]
        name = create_table(ots, KEY, split_points=["g2", "g4", "g6"], defined_columns=defined)
        self.assertIn(name, ots.list_table())
        described = ots.describe_table(name)
        self.assertEqual(described.table_meta.schema_of_primary_key, KEY)
        self.assertEqual([tuple(column) for column in described.table_meta.defined_columns], defined)
        options = described.table_options
        self.assertEqual((options.time_to_live, options.max_version), (-1, 1))
        self.assertEqual(options.max_time_deviation, 86400)
        changed = ots.update_table(name, TableOptions(time_to_live=86400, max_version=5))
        self.assertEqual((changed.table_options.time_to_live, changed.table_options.max_version), (86400, 5))
        ots.delete_table(name)
        self.assertNotIn(name, ots.list_table())
        create_table(ots, [("other", "BINARY")], name=name)
        self.assertEqual(read_range(ots, name, ["other"]), [])


def create_table_named(ots, name, key):
    """Like `create_table`, for names that the helper would replace."""
    meta = TableMeta(name, key)
    ots.create_table(meta, TableOptions(), ReservedThroughput(CapacityUnit(0, 0)))


class TimedOutTransaction(unittest.TestCase):
    SECONDS = 60

    @classmethod
    def begin(cls):
        cls.ots = client()
        cls.table = create_table(cls.ots, KEY)
        cls.begun = time.monotonic()
        cls.transaction = cls.ots.start_local_transaction(cls.table, [("group", "g1")])
        row = Row(key_of(1), [("a", 1)])
        cls.ots.put_row(cls.table, row, Condition("IGNORE"), transaction_id=cls.transaction)

    def test_what_it_wrote_is_forgotten_and_its_key_is_free(self):
        time.sleep(max(0, self.begun + self.SECONDS + 2 - time.monotonic()))
        with self.assertRaises(OTSServiceError) as failure:
            self.ots.commit_transaction(self.transaction)
        self.assertEqual(failure.exception.get_error_code(), "OTSSessionNotExist")
        self.assertEqual(failure.exception.get_error_message(), "Session not exist or may be timeout.")
        _, row, _ = self.ots.get_row(self.table, key_of(1))
        self.assertIsNone(row)
        self.ots.put_row(self.table, Row(key_of(1), [("a", 2)]), Condition("IGNORE"))


if __name__ == "__main__":
    unittest.main()
