"""Every type that can be delivered, with every encoding that Parquet defines for it.

A row of the table has a column for each type, and a task's schema a column for each encoding of it. What the table
holds and what a reader is to find are written down apart from each other: `held` makes values, `means` says what a
value is in the lake.
"""

import dataclasses
import datetime
import decimal
import typing

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)

PLAIN, DICTIONARY = "PLAIN", "PLAIN_DICTIONARY"
PACKED, DELTA, LENGTHS = "DELTA_BINARY_PACKED", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"
# What an object says of pages in the encoding that was asked for.
WRITTEN = {
    PLAIN: "PLAIN",
    DICTIONARY: "RLE_DICTIONARY",
    PACKED: "DELTA_BINARY_PACKED",
    DELTA: "DELTA_BYTE_ARRAY",
    LENGTHS: "DELTA_LENGTH_BYTE_ARRAY",
}
COMPRESSIONS = {"snappy": "SNAPPY", "none": "UNCOMPRESSED"}


@dataclasses.dataclass(frozen=True)
class Type:
    """A type of the lake, and the table's column that is delivered as it."""

    kind: str
    extend: str | None
    encodings: list
    # Values at the ends of what the type holds; the first rows have them.
    edges: list
    # What row `n` has otherwise.
    held: typing.Callable
    # What a reader is to find for a value.
    means: typing.Callable
    # A value of the table that the type cannot hold.
    misfit: typing.Any

    def value(self, number):
        return self.edges[number] if number < len(self.edges) else self.held(number)

    def expected(self, value):
        """What a reader is to find for the table's value; nothing for no value and for one that does not fit."""
        is_misfit = type(value) is type(self.misfit) and value == self.misfit
        return None if value is None or is_misfit else self.means(value)


def instant(micros):
    return EPOCH + datetime.timedelta(microseconds=micros)


def clock(micros):
    return (EPOCH + datetime.timedelta(microseconds=micros)).time()


def days(value):
    if isinstance(value, str):
        return datetime.date.fromisoformat(value)
    return (EPOCH + datetime.timedelta(days=value)).date()


def time_in(unit):
    return lambda value: datetime.time.fromisoformat(value) if isinstance(value, str) else clock(value * unit)


def instant_in(unit):
    def means(value):
        # Python before 3.11 does not read the Z.
        is_text = isinstance(value, str)
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00")) if is_text else instant(value * unit)

    return means


def as_bytes(value):
    return value.encode() if isinstance(value, str) else bytes(value)


def itself(value):
    return value


def nines(digits, scale, sign=""):
    return f"{sign}{'9' * (digits - scale)}.{'9' * scale}"


WHOLE = [PLAIN, DICTIONARY, PACKED]
BYTES = [PLAIN, DICTIONARY, DELTA, LENGTHS]
TYPES = {
    "bool": Type("BOOL", None, [PLAIN], [True, False], lambda n: n % 3 == 0, itself, "true"),
    "int64": Type(
        "INT64", None, WHOLE, [-(2**63), 2**63 - 1, 0, -1], lambda n: (-1) ** n * n * 2**40, itself, 1.0
    ),
    "int32": Type("INT32", None, WHOLE, [-(2**31), 2**31 - 1, 0, -1], lambda n: n * (-7) ** (n % 5), itself, 2**31),
    "double": Type(
        "DOUBLE",
        None,
        [PLAIN, DICTIONARY],
        [float("inf"), float("-inf"), float("nan"), -0.0, 5e-324, 1.7976931348623157e308],
        lambda n: n / 3,
        itself,
        1,
    ),
    "float": Type(
        "FLOAT",
        None,
        [PLAIN, DICTIONARY],
        [float("inf"), float("-inf"), float("nan"), -0.0, 2.0**-149, 2.0**127],
        lambda n: n / 4,
        itself,
        0.1,
    ),
    "utf8": Type(
        "UTF8", None, BYTES, ["", "a\0b", "漢字 🦀", "long " * 2000], lambda n: f"текст {n}", itself, bytearray(b"\xff")
    ),
    "binary": Type(
        "UTF8",
        "BINARY",
        BYTES,
        [bytearray(), bytearray(range(256)), "текст", bytearray(b"\xfe" * 9000)],
        lambda n: bytearray(b"\x00\xff" * (n % 7)),
        as_bytes,
        1.0,
    ),
    "date": Type(
        "DATE",
        None,
        WHOLE,
        ["0001-01-01", "9999-12-31", "1582-10-04", "1582-10-15", -1, 0],
        lambda n: n * 50 if n % 2 else days(n * 50).isoformat(),
        days,
        "31.8.2020",
    ),
    "time_millis": Type(
        "TIME_MILLIS",
        None,
        WHOLE,
        [0, 86_399_999, "23:59:59.999"],
        lambda n: n * 1001 if n % 2 else clock(n * 1_001_000).isoformat("milliseconds"),
        time_in(1000),
        86_400_000,
    ),
    "time_micros": Type(
        "TIME_MICROS",
        None,
        WHOLE,
        [0, 86_399_999_999, "23:59:59.999999"],
        lambda n: n * 7_001_001 if n % 2 else clock(n * 7_001_001).isoformat("microseconds"),
        time_in(1),
        "24:00:00",
    ),
    "timestamp_millis": Type(
        "TIMESTAMP_MILLIS",
        None,
        WHOLE,
        ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "1582-10-04T23:59:59Z", -1, "2020-08-31T16:03:00+08:00"],
        lambda n: n * 10**10 if n % 2 else instant(n * 10**13).isoformat(timespec="milliseconds"),
        instant_in(1000),
        "2020-08-31",
    ),
    "timestamp_micros": Type(
        "TIMESTAMP_MICROS",
        None,
        WHOLE,
        ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "1582-10-04T23:59:59Z", -1, "2020-08-31T16:03:00-11:30"],
        lambda n: n * 10**9 + n if n % 2 else instant(n * 10**9 + n).isoformat(timespec="microseconds"),
        instant_in(1),
        "yesterday",
    ),
    "decimal9": Type(
        "DECIMAL",
        "9,2",
        WHOLE,
        [nines(9, 2), nines(9, 2, "-"), 0, "-0.01"],
        lambda n: n if n % 2 else f"-{n}.25",
        decimal.Decimal,
        10**7,
    ),
    "decimal18": Type(
        "DECIMAL",
        "18,4",
        WHOLE,
        [nines(18, 4), nines(18, 4, "-"), 0, "-0.0001"],
        lambda n: n * 10**9 if n % 2 else f"{n}.0625",
        decimal.Decimal,
        "0.00001",
    ),
    "decimal38": Type(
        "DECIMAL",
        "38,10",
        [PLAIN, DICTIONARY, DELTA],
        [nines(38, 10), nines(38, 10, "-"), 0, "-0.0000000001"],
        lambda n: -n if n % 2 else f"{n}123456789012345678.0000000001",
        decimal.Decimal,
        "1e3",
    ),
}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the lake."""

    source: str
    type: Type
    encoding: str

    def field(self, target):
        """The column as a task's schema names it."""
        field = {"source": self.source, "target": target, "kind": self.type.kind, "encoding": self.encoding}
        return field | ({"type_extend": self.type.extend} if self.type.extend else {})


def columns():
    """Every type with every encoding, by the column's name."""
    return {
        f"{source}_{encoding.lower()}": Column(source, type, encoding)
        for source, type in TYPES.items()
        for encoding in type.encodings
    }


def cells(number):
    """A row of all types. Every eleventh lacks one of them, and in every seventh one does not fit."""
    values = {name: type.value(number) for name, type in TYPES.items()}
    names = list(TYPES)
    if number % 11 == 10:
        del values[names[number // 11 % len(names)]]
    if number % 7 == 6:
        name = names[number // 7 % len(names)]
        values[name] = TYPES[name].misfit
    return list(values.items())


def misfits(columns, row):
    """The columns that have no value although the table's row, a dictionary, does."""
    return {
        target: row[column.source]
        for target, column in columns.items()
        if row.get(column.source) is not None and column.type.expected(row[column.source]) is None
    }


def comparable(value):
    """A value so that equal ones are equal whoever has read them; NaN, and the zeros, are told apart as text."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(UTC)
    if isinstance(value, float):
        return repr(value)
    return bytes(value) if isinstance(value, bytearray) else value


def check(test, columns, found):
    """Compares delivered rows with rows of the table, column by column; `found` are pairs of dictionaries."""
    for target, column in columns.items():
        with test.subTest(column=target):
            for delivered, row in found:
                value = row.get(column.source)
                wanted = comparable(column.type.expected(value))
                test.assertEqual(comparable(delivered[target]), wanted, f"{value!r} of {delivered}")


__all__ = [name for name in globals() if not name.startswith("_")]
