"""The Python SDK against the rest of the table service: versions, filters, keys, transactions, indexes."""

import concurrent.futures
import threading
import time
import unittest

from tablestore import (
    INF_MAX,
    INF_MIN,
    PK_AUTO_INCR,
    BatchWriteRowRequest,
    CapacityUnit,
    CastType,
    ComparatorType,
    CompositeColumnCondition,
    Condition,
    LogicalOperator,
    OTSServiceError,
    PutRowItem,
    RegexRule,
    ReservedThroughput,
    ReturnType,
    Row,
    SecondaryIndexMeta,
    SingleColumnCondition,
    SingleColumnRegexCondition,
    TableInBatchWriteRowItem,
    TableMeta,
    TableOptions,
)

from support import as_dict, client, create_table, read_range, wait_until

KEY = [("group", "STRING"), ("id", "INTEGER")]
IGNORE = Condition("IGNORE")


def key_of(number, group="g"):
    return [("group", group), ("id", number)]


class WithTable(unittest.TestCase):
    versions = 1

    def setUp(self):
        self.ots = client()
        self.table = create_table(self.ots, KEY, max_version=self.versions)

    def put(self, number, columns, **more):
        return self.ots.put_row(self.table, Row(key_of(number), columns), IGNORE, **more)

    def read(self, number, **more):
        more.setdefault("max_version", 1)
        _, row, _ = self.ots.get_row(self.table, key_of(number), **more)
        return None if row is None else [column[:2] for column in row.attribute_columns]

    def fails(self, code, message, call, status=None):
        with self.assertRaises(OTSServiceError) as failure:
            call()
        error = failure.exception
        self.assertEqual((error.get_error_code(), error.get_error_message()), (code, message))
        if status is not None:
            self.assertEqual(error.get_http_status(), status)


class Versions(WithTable):
    versions = 3

    def test_versions_are_chosen_by_number_and_by_time(self):
        now = int(time.time() * 1000)
        for age in range(5):
            changes = {"PUT": [("a", age, now - age * 1000)]}
            self.ots.update_row(self.table, Row(key_of(1), changes), IGNORE)
        self.assertEqual(self.read(1, max_version=10), [("a", 0), ("a", 1), ("a", 2)])
        self.assertEqual(self.read(1, max_version=2), [("a", 0), ("a", 1)])
        between = (now - 2500, now - 500)
        self.assertEqual(self.read(1, max_version=10, time_range=between), [("a", 1), ("a", 2)])
        self.assertEqual(self.read(1, max_version=None, time_range=now - 1000), [("a", 1)])
        self.assertEqual(self.read(1, max_version=1, time_range=(1, 2)), [], "the row is there, its cells are not")

    def test_a_timestamp_outside_of_the_range_is_refused(self):
        row = Row(key_of(1), [("a", 1, 2**63 // 1000)])
        self.fails(
            "OTSParameterInvalid",
            "Timestamp must be in range [0, INT64_MAX/1000).",
            lambda: self.ots.put_row(self.table, row, IGNORE),
            400,
        )


class Filters(WithTable):
    def setUp(self):
        super().setUp()
        self.put(1, [("a", 5), ("b", "x"), ("c", "t1:abc,t2:42,")])

    def passes(self, condition):
        return self.read(1, column_filter=condition) is not None

    def test_columns_are_compared_and_combined(self):
        five = SingleColumnCondition("a", 5, ComparatorType.EQUAL)
        more = SingleColumnCondition("a", 5, ComparatorType.GREATER_THAN)
        absent = SingleColumnCondition("z", 5, ComparatorType.EQUAL, pass_if_missing=False)
        self.assertTrue(self.passes(five))
        self.assertFalse(self.passes(more))
        self.assertFalse(self.passes(absent))
        for operator, expected in ((LogicalOperator.AND, False), (LogicalOperator.OR, True)):
            both = CompositeColumnCondition(operator)
            both.add_sub_condition(five)
            both.add_sub_condition(more)
            self.assertEqual(self.passes(both), expected)
        negated = CompositeColumnCondition(LogicalOperator.NOT)
        negated.add_sub_condition(more)
        self.assertTrue(self.passes(negated))

    def test_a_part_of_a_text_is_cast_and_compared(self):
        rule = RegexRule("t2:([0-9]+),", CastType.VT_INTEGER)
        for value, expected in ((42, True), (41, False)):
            condition = SingleColumnRegexCondition("c", ComparatorType.EQUAL, value, rule)
            self.assertEqual(self.passes(condition), expected)
        self.assertTrue(self.passes(SingleColumnRegexCondition("c", ComparatorType.EXIST)))
        self.assertFalse(self.passes(SingleColumnRegexCondition("z", ComparatorType.EXIST)))

    def test_a_condition_keeps_a_write_off(self):
        condition = Condition("IGNORE", SingleColumnCondition("a", 6, ComparatorType.EQUAL))
        self.fails(
            "OTSConditionCheckFail",
            "Condition check failed.",
            lambda: self.ots.update_row(self.table, Row(key_of(1), {"PUT": [("a", 7)]}), condition),
            403,
        )
        condition = Condition("IGNORE", SingleColumnCondition("a", 5, ComparatorType.EQUAL))
        consumed, _ = self.ots.put_row(self.table, Row(key_of(1), [("a", 7)]), condition)
        self.assertEqual((consumed.read, consumed.write), (1, 1))
        self.assertEqual(self.read(1), [("a", 7)])

    def test_too_many_filters_are_refused(self):
        many = CompositeColumnCondition(LogicalOperator.OR)
        for value in range(32):
            many.add_sub_condition(SingleColumnCondition("a", value, ComparatorType.EQUAL))
        self.fails("OTSParameterInvalid", "The count of filter exceeds the max: 32.", lambda: self.passes(many), 400)


class Pieces(unittest.TestCase):
    """Tables that are made in pieces."""

    def refused(self, message, points):
        with self.assertRaises(OTSServiceError) as failure:
            create_table(client(), KEY, split_points=points)
        self.assertEqual(failure.exception.get_error_code(), "OTSParameterInvalid")
        self.assertEqual(failure.exception.get_error_message(), message)

    def test_points_that_do_not_fit_the_key_are_refused(self):
        self.refused("The value of partition range can not be empty string.", [""])
        many = [f"g{number}" for number in range(10)]
        self.refused("The count of partitions cannot be greater than 10", many)


class PickedKeys(unittest.TestCase):
    def test_the_server_picks_rising_keys(self):
        ots = client()
        table = create_table(ots, [("group", "STRING"), ("id", "INTEGER", PK_AUTO_INCR)])
        picked = []
        for number in range(10):
            row = Row([("group", "g"), ("id", PK_AUTO_INCR)], [("n", number)])
            _, returned = ots.put_row(table, row, IGNORE, ReturnType.RT_PK)
            picked.append(dict(returned.primary_key)["id"])
        self.assertEqual(picked, sorted(set(picked)))
        self.assertGreater(picked[0], 0)
        rows = [as_dict(row) for row in read_range(ots, table, ["group", "id"])]
        self.assertEqual(rows, [{"group": "g", "id": id, "n": n} for n, id in enumerate(picked)])


class Transactions(WithTable):
    def start(self, ots=None):
        return (ots or self.ots).start_local_transaction(self.table, [("group", "g")])

    def test_it_commits_or_leaves_nothing(self):
        self.put(1, [("a", 1)])
        transaction = self.start()
        self.put(1, [("a", 2)], transaction_id=transaction)
        self.put(2, [("a", 2)], transaction_id=transaction)
        self.assertEqual(self.read(1, transaction_id=transaction), [("a", 2)])
        self.assertEqual(self.read(1), [("a", 1)])
        self.ots.commit_transaction(transaction)
        self.assertEqual((self.read(1), self.read(2)), ([("a", 2)], [("a", 2)]))
        transaction = self.start()
        self.put(1, [("a", 3)], transaction_id=transaction)
        self.ots.abort_transaction(transaction)
        self.assertEqual(self.read(1), [("a", 2)])

    def test_a_range_shows_what_the_transaction_wrote(self):
        self.put(1, [("a", 1)])
        transaction = self.start()
        request = BatchWriteRowRequest()
        items = [PutRowItem(Row(key_of(number), [("a", 0)]), IGNORE) for number in (2, 3)]
        request.add(TableInBatchWriteRowItem(self.table, items))
        request.set_transaction_id(transaction)
        self.assertTrue(self.ots.batch_write_row(request).is_all_succeed())
        bounds = [("group", "g"), ("id", INF_MIN)], [("group", "g"), ("id", INF_MAX)]
        for within, count in ((transaction, 3), (None, 1)):
            _, _, rows, _ = self.ots.get_range(self.table, "FORWARD", *bounds, transaction_id=within)
            self.assertEqual(len(rows), count)
        self.ots.abort_transaction(transaction)

    def test_what_is_no_transaction_is_refused(self):
        self.fails(
            "OTSParameterInvalid",
            "TransactionID is invalid.",
            lambda: self.ots.commit_transaction("nothing"),
            400,
        )
        transaction = self.start()
        self.ots.abort_transaction(transaction)
        self.fails(
            "OTSSessionNotExist",
            "Session not exist or may be timeout.",
            lambda: self.ots.commit_transaction(transaction),
        )

    def test_concurrent_transactions_lose_nothing(self):
        """Each adds one by reading and writing; who finds the key locked waits for its turn, as the SDK does."""
        self.put(0, [("n", 0)])
        own = threading.local()

        def add(_):
            if not hasattr(own, "client"):
                own.client = client()
            transaction = self.start(own.client)
            _, row, _ = own.client.get_row(self.table, key_of(0), transaction_id=transaction)
            value = as_dict(row)["n"]
            changed = Row(key_of(0), [("n", value + 1)])
            own.client.put_row(self.table, changed, IGNORE, transaction_id=transaction)
            own.client.commit_transaction(transaction)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(add, range(40)))
        self.assertEqual(self.read(0), [("n", 40)])


class Indexes(unittest.TestCase):
    def test_a_global_index_is_made_with_its_table_or_later(self):
        ots = client()
        name = f"i_{time.time_ns()}"
        meta = TableMeta(name, KEY, [("city", "STRING"), ("age", "INTEGER")])
        early = SecondaryIndexMeta(f"{name}_early", ["city"], ["age"])
        throughput = ReservedThroughput(CapacityUnit(0, 0))
        ots.create_table(meta, TableOptions(max_version=1), throughput, [early])
        rows = [("Rome", 30), ("Oslo", 20), ("Bern", 10)]
        for number, (city, age) in enumerate(rows):
            ots.put_row(name, Row(key_of(number), [("city", city), ("age", age)]), IGNORE)
        late = SecondaryIndexMeta(f"{name}_late", ["age"], ["city"])
        ots.create_secondary_index(name, late, True)
        found = ots.describe_table(name).secondary_indexes
        self.assertEqual(
            {index.index_name: (index.primary_key_names, index.defined_column_names) for index in found},
            {early.index_name: (["city"], ["age"]), late.index_name: (["age"], ["city"])},
        )

        def entries(index, first):
            try:
                rows = read_range(ots, index, [first, "group", "id"])
            except OTSServiceError as error:
                message = "Disallow read index table in building base state"
                self.assertEqual(error.get_error_message(), message)
                return None
            return [(as_dict(row)["city"], as_dict(row)["age"]) for row in rows]

        wait_until(lambda: entries(early.index_name, "city") == sorted(rows), "the index by city")
        by_age = sorted(rows, key=lambda row: row[1])
        wait_until(lambda: entries(late.index_name, "age") == by_age, "the index by age")
        ots.delete_secondary_index(name, late.index_name)
        with self.assertRaises(OTSServiceError) as failure:
            read_range(ots, late.index_name, ["age", "group", "id"])
        self.assertEqual(failure.exception.get_error_code(), "OTSObjectNotExist")
        with self.assertRaises(OTSServiceError) as failure:
            ots.create_secondary_index("nowhere", late, False)
        self.assertEqual(failure.exception.get_error_message(), "Requested table does not exist.")


if __name__ == "__main__":
    unittest.main()
