package lakeferry;

import static lakeferry.Service.columns;
import static lakeferry.Service.integer;
import static lakeferry.Service.invalid;
import static lakeferry.Service.key;
import static lakeferry.Service.missing;
import static lakeferry.Service.newTable;
import static lakeferry.Service.put;
import static lakeferry.Service.read;
import static lakeferry.Service.reading;
import static lakeferry.Service.refused;
import static lakeferry.Service.text;
import static lakeferry.Service.update;
import static lakeferry.Service.write;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.model.BatchGetRowRequest;
import com.alicloud.openservices.tablestore.model.BatchGetRowResponse;
import com.alicloud.openservices.tablestore.model.CapacityUnit;
import com.alicloud.openservices.tablestore.model.ColumnValue;
import com.alicloud.openservices.tablestore.model.Direction;
import com.alicloud.openservices.tablestore.model.GetRangeRequest;
import com.alicloud.openservices.tablestore.model.GetRangeResponse;
import com.alicloud.openservices.tablestore.model.GetRowRequest;
import com.alicloud.openservices.tablestore.model.GetRowResponse;
import com.alicloud.openservices.tablestore.model.MultiRowQueryCriteria;
import com.alicloud.openservices.tablestore.model.PrimaryKey;
import com.alicloud.openservices.tablestore.model.RangeIteratorParameter;
import com.alicloud.openservices.tablestore.model.RangeRowQueryCriteria;
import com.alicloud.openservices.tablestore.model.Row;
import com.alicloud.openservices.tablestore.model.RowUpdateChange;
import com.alicloud.openservices.tablestore.model.SingleRowQueryCriteria;
import com.alicloud.openservices.tablestore.model.TableOptions;
import com.alicloud.openservices.tablestore.model.TimeRange;
import com.alicloud.openservices.tablestore.model.WideColumnIterator;
import com.alicloud.openservices.tablestore.model.filter.ColumnPaginationFilter;
import com.alicloud.openservices.tablestore.model.filter.ColumnValueFilter;
import com.alicloud.openservices.tablestore.model.filter.CompositeColumnValueFilter;
import com.alicloud.openservices.tablestore.model.filter.Filter;
import com.alicloud.openservices.tablestore.model.filter.RegexRule;
import com.alicloud.openservices.tablestore.model.filter.SingleColumnValueFilter;
import com.alicloud.openservices.tablestore.model.filter.SingleColumnValueFilter.CompareOperator;
import com.alicloud.openservices.tablestore.model.filter.SingleColumnValueRegexFilter;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** Reads of single rows, of batches and of ranges: columns, versions, filters, pages. */
class ReadsTest {
    private static final SyncClient CLIENT = Service.client();

    @AfterAll
    static void shutDown() {
        CLIENT.shutdown();
    }

    @Test
    void columnsAreChosenByNameByBoundsAndByCount() {
        String table = newTable(CLIENT);
        PrimaryKey key = key("g", 1);
        write(CLIENT, put(table, key, "c1", 1, "c2", 2, "c3", 3, "c4", 4, "c5", 5));
        SingleRowQueryCriteria criteria = reading(table, key);
        criteria.addColumnsToGet(new String[] {"c4", "c2", "absent"});
        assertEquals("c2=2 c4=4", columns(read(CLIENT, criteria)));
        criteria = reading(table, key);
        criteria.addColumnsToGet("absent");
        assertNull(read(CLIENT, criteria), "none of the columns asked for is there");
        criteria.addColumnsToGet("id");
        assertEquals("", columns(read(CLIENT, criteria)), "a key column is always there");
        criteria = reading(table, key);
        criteria.setStartColumn("c2");
        criteria.setEndColumn("c4");
        assertEquals("c2=2 c3=3", columns(read(CLIENT, criteria)));
        criteria = reading(table, key);
        criteria.setFilter(new ColumnPaginationFilter(2, 1));
        assertEquals("c2=2 c3=3", columns(read(CLIENT, criteria)));
        criteria.setStartColumn("c3");
        assertEquals("c4=4 c5=5", columns(read(CLIENT, criteria)));
    }

    @Test
    void versionsAreChosenByNumberAndByTime() {
        TableOptions options = new TableOptions(-1, 5);
        options.setMaxTimeDeviation(Long.MAX_VALUE / 1_000_000);
        String table = newTable(CLIENT, options);
        PrimaryKey key = key("g", 1);
        RowUpdateChange change = update(table, key);
        for (long time = 1; time <= 7; time++) {
            change.put("a", integer(time), time * 1000);
        }
        write(CLIENT, change.put("b", integer(1), 1000));
        SingleRowQueryCriteria criteria = reading(table, key);
        criteria.setMaxVersions(3);
        assertEquals("a=7 a=6 a=5 b=1", columns(read(CLIENT, criteria)));
        criteria.setMaxVersions(100);
        assertEquals("a=7 a=6 a=5 a=4 a=3 b=1", columns(read(CLIENT, criteria)), "the table keeps five");
        criteria.setTimeRange(new TimeRange(4000, 6000));
        assertEquals("a=5 a=4", columns(read(CLIENT, criteria)));
        criteria.setMaxVersions(1);
        assertEquals("a=5", columns(read(CLIENT, criteria)));
        criteria.setTimeRange(new TimeRange(100_000, 200_000));
        assertEquals("", columns(read(CLIENT, criteria)), "the row is there, its cells are not");
        SingleRowQueryCriteria one = new SingleRowQueryCriteria(table, key);
        one.setTimestamp(6000);
        assertEquals("a=6", columns(read(CLIENT, one)));
        invalid("No version condition is specified.", () -> read(CLIENT, new SingleRowQueryCriteria(table, key)));
    }

    @Test
    void everyComparatorComparesEveryType() {
        String table = newTable(CLIENT);
        write(CLIENT, put(table, key("g", 1), "binary", ColumnValue.fromBinary(new byte[] {5}), "double",
                ColumnValue.fromDouble(5), "flag", ColumnValue.fromBoolean(true), "integer", 5, "text", "m"));
        Object[][] cases = {
            {"integer", integer(4), integer(5), integer(6)},
            {"double", ColumnValue.fromDouble(4), ColumnValue.fromDouble(5), ColumnValue.fromDouble(6)},
            {"text", text("l"), text("m"), text("ma")},
            {"binary", ColumnValue.fromBinary(new byte[] {4}), ColumnValue.fromBinary(new byte[] {5}),
                ColumnValue.fromBinary(new byte[] {5, 0})},
        };
        for (Object[] each : cases) {
            String column = (String) each[0];
            String below = passing(table, column, (ColumnValue) each[1]);
            String same = passing(table, column, (ColumnValue) each[2]);
            String above = passing(table, column, (ColumnValue) each[3]);
            assertEquals("NOT_EQUAL GREATER_THAN GREATER_EQUAL", below, column);
            assertEquals("EQUAL GREATER_EQUAL LESS_EQUAL", same, column);
            assertEquals("NOT_EQUAL LESS_THAN LESS_EQUAL", above, column);
        }
        assertEquals("EQUAL GREATER_EQUAL LESS_EQUAL", passing(table, "flag", ColumnValue.fromBoolean(true)));
        assertEquals("NOT_EQUAL GREATER_THAN GREATER_EQUAL", passing(table, "flag", ColumnValue.fromBoolean(false)));
        assertEquals("", passing(table, "integer", text("5")), "another type is never equal, and never unequal");
        assertEquals("EQUAL GREATER_EQUAL LESS_EQUAL", passing(table, "id", integer(1)), "keys are compared too");
    }

    /** The comparators under which the row passes. */
    private static String passing(String table, String column, ColumnValue value) {
        return List.of(CompareOperator.values()).stream()
                .filter(operator -> passes(table, key("g", 1), new SingleColumnValueFilter(column, operator, value)))
                .map(Enum::name)
                .collect(Collectors.joining(" "));
    }

    private static boolean passes(String table, PrimaryKey key, Filter filter) {
        SingleRowQueryCriteria criteria = reading(table, key);
        criteria.setMaxVersions(100);
        criteria.setFilter(filter);
        return read(CLIENT, criteria) != null;
    }

    private static SingleColumnValueFilter is(String column, long value) {
        return new SingleColumnValueFilter(column, CompareOperator.EQUAL, integer(value));
    }

    private static CompositeColumnValueFilter composite(
            CompositeColumnValueFilter.LogicOperator operator, ColumnValueFilter... filters) {
        CompositeColumnValueFilter all = new CompositeColumnValueFilter(operator);
        for (ColumnValueFilter filter : filters) {
            all.addFilter(filter);
        }
        return all;
    }

    @Test
    void filtersAreCombined() {
        String table = newTable(CLIENT);
        write(CLIENT, put(table, key("g", 1), "a", 1, "b", 2));
        PrimaryKey key = key("g", 1);
        CompositeColumnValueFilter.LogicOperator and = CompositeColumnValueFilter.LogicOperator.AND;
        CompositeColumnValueFilter.LogicOperator or = CompositeColumnValueFilter.LogicOperator.OR;
        CompositeColumnValueFilter.LogicOperator not = CompositeColumnValueFilter.LogicOperator.NOT;
        assertTrue(passes(table, key, composite(and, is("a", 1), is("b", 2))));
        assertFalse(passes(table, key, composite(and, is("a", 1), is("b", 3))));
        assertTrue(passes(table, key, composite(or, is("a", 9), is("b", 2))));
        assertFalse(passes(table, key, composite(or, is("a", 9), is("b", 9))));
        assertTrue(passes(table, key, composite(not, is("a", 9))));
        assertTrue(passes(table, key, composite(and, composite(not, is("a", 9)), composite(or, is("a", 1), is("b", 9)))));
        invalid("Invalid AND/OR operator: the number of sub-filters must be more than 1.",
                () -> passes(table, key, composite(and, is("a", 1))));
        invalid("Invalid NOT operator: the number of sub-filters must be 1.",
                () -> passes(table, key, composite(not, is("a", 1), is("b", 1))));
        CompositeColumnValueFilter large = composite(or);
        for (int at = 0; at < 32; at++) {
            large.addFilter(is("a", at));
        }
        invalid("The count of filter exceeds the max: 32.", () -> passes(table, key, large));
        invalid("Invalid column name: '#'.", () -> passes(table, key, is("#", 1)));
    }

    @Test
    void aMissingColumnPassesIfItMay() {
        String table = newTable(CLIENT);
        write(CLIENT, put(table, key("g", 1), "a", 1));
        assertFalse(passes(table, key("g", 1), is("b", 1).setPassIfMissing(false)));
        assertTrue(passes(table, key("g", 1), is("b", 1).setPassIfMissing(true)));
        SingleColumnValueRegexFilter there =
                new SingleColumnValueRegexFilter("a", SingleColumnValueRegexFilter.CompareOperator.EXIST);
        SingleColumnValueRegexFilter absent =
                new SingleColumnValueRegexFilter("a", SingleColumnValueRegexFilter.CompareOperator.NOT_EXIST);
        assertTrue(passes(table, key("g", 1), there));
        assertFalse(passes(table, key("g", 1), absent));
        write(CLIENT, put(table, key("g", 2), "b", 1));
        assertFalse(passes(table, key("g", 2), there));
        assertTrue(passes(table, key("g", 2), absent));
    }

    @Test
    void theLatestVersionOrAnyIsCompared() {
        String table = newTable(CLIENT, new TableOptions(-1, 3));
        write(CLIENT, put(table, key("g", 1), "a", 1));
        write(CLIENT, update(table, key("g", 1), "a", 2));
        assertFalse(passes(table, key("g", 1), is("a", 1).setLatestVersionsOnly(true)));
        assertTrue(passes(table, key("g", 1), is("a", 1).setLatestVersionsOnly(false)));
    }

    @Test
    void aPartOfATextIsCastAndCompared() {
        String table = newTable(CLIENT);
        write(CLIENT, put(table, key("g", 1), "a", "t1:abc,t2:42,t3:1.5,"));
        assertTrue(passes(table, key("g", 1), regex("t1:([a-z]+),", RegexRule.CastType.VT_STRING, text("abc"))));
        assertTrue(passes(table, key("g", 1), regex("t2:([0-9]+),", RegexRule.CastType.VT_INTEGER, integer(42))));
        assertFalse(passes(table, key("g", 1), regex("t2:([0-9]+),", RegexRule.CastType.VT_INTEGER, integer(41))));
        assertTrue(passes(table, key("g", 1),
                regex("t3:([0-9.]+),", RegexRule.CastType.VT_DOUBLE, ColumnValue.fromDouble(1.5))));
        assertFalse(passes(table, key("g", 1), regex("t1:([a-z]+),", RegexRule.CastType.VT_INTEGER, integer(1))),
                "what cannot be cast does not match");
        assertFalse(passes(table, key("g", 1), regex("t9:([a-z]+),", RegexRule.CastType.VT_STRING, text("abc"))));
    }

    private static SingleColumnValueRegexFilter regex(String regex, RegexRule.CastType cast, ColumnValue value) {
        return new SingleColumnValueRegexFilter(
                "a", new RegexRule(regex, cast), SingleColumnValueRegexFilter.CompareOperator.EQUAL, value);
    }

    @Test
    void aWideRowComesColumnByColumn() {
        String table = newTable(CLIENT);
        int wide = 3000;
        for (int part = 0; part < wide; part += 1000) {
            RowUpdateChange change = update(table, key("g", 1));
            for (int at = part; at < part + 1000; at++) {
                change.put(String.format("c%05d", at), text("v".repeat(1000) + at));
            }
            write(CLIENT, change);
        }
        WideColumnIterator iterator = CLIENT.createWideColumnIterator(new GetRowRequest(reading(table, key("g", 1))));
        for (int at = 0; at < wide; at++) {
            assertTrue(iterator.hasNextColumn(), "column " + at);
            assertEquals(String.format("c%05d", at), iterator.nextColumn().getName());
        }
        assertFalse(iterator.hasNextColumn());
        SingleRowQueryCriteria forged = reading(table, key("g", 1));
        forged.setToken(new byte[] {1, 2, 3});
        refused("OTSParameterInvalid", () -> read(CLIENT, forged));
    }

    @Test
    void aBatchReadsEachRowByItself() {
        String table = newTable(CLIENT);
        write(CLIENT, put(table, key("g", 1), "a", 1, "b", 1));
        write(CLIENT, put(table, key("g", 2), "a", 2, "b", 2));
        MultiRowQueryCriteria criteria = new MultiRowQueryCriteria(table);
        criteria.addRow(key("g", 2)).addRow(key("g", 3)).addRow(key("g", 2)).addRow(key("g", 1));
        criteria.setMaxVersions(1);
        criteria.addColumnsToGet("a");
        criteria.setFilter(is("a", 2));
        MultiRowQueryCriteria elsewhere = new MultiRowQueryCriteria("nowhere");
        elsewhere.addRow(key("g", 1));
        elsewhere.setMaxVersions(1);
        BatchGetRowRequest request = new BatchGetRowRequest();
        request.addMultiRowQueryCriteria(criteria);
        request.addMultiRowQueryCriteria(elsewhere);
        BatchGetRowResponse response = CLIENT.batchGetRow(request);
        List<BatchGetRowResponse.RowResult> rows = response.getBatchGetRowResult(table);
        assertEquals("a=2", columns(rows.get(0).getRow()));
        assertTrue(rows.get(1).isSucceed());
        assertNull(rows.get(1).getRow());
        assertEquals("a=2", columns(rows.get(2).getRow()));
        assertNull(rows.get(3).getRow(), "filtered");
        BatchGetRowResponse.RowResult failed = response.getBatchGetRowResult("nowhere").get(0);
        assertEquals("OTSObjectNotExist", failed.getError().getCode());
        MultiRowQueryCriteria many = new MultiRowQueryCriteria(table);
        for (int at = 0; at < 101; at++) {
            many.addRow(key("g", at));
        }
        many.setMaxVersions(1);
        BatchGetRowRequest large = new BatchGetRowRequest();
        large.addMultiRowQueryCriteria(many);
        invalid("Rows count exceeds the upper limit: 100.", () -> CLIENT.batchGetRow(large));
    }

    @Test
    void aRangeIsWalkedBothWaysWithFiltersAndLimits() {
        String table = newTable(CLIENT);
        for (int at = 0; at < 20; at++) {
            write(CLIENT, put(table, key("g" + at % 2, at), "a", at, "b", at % 3));
        }
        RangeRowQueryCriteria criteria = new RangeRowQueryCriteria(table);
        criteria.setInclusiveStartPrimaryKey(key("g0", 4));
        criteria.setExclusiveEndPrimaryKey(key("g0", 12));
        criteria.setMaxVersions(1);
        assertEquals(List.of(4L, 6L, 8L, 10L), ids(Service.scan(CLIENT, criteria)));
        criteria.setDirection(Direction.BACKWARD);
        criteria.setInclusiveStartPrimaryKey(key("g0", 12));
        criteria.setExclusiveEndPrimaryKey(key("g0", 4));
        assertEquals(List.of(12L, 10L, 8L, 6L), ids(Service.scan(CLIENT, criteria)));

        RangeRowQueryCriteria limited = Service.everything(table, "group", "id");
        limited.setLimit(3);
        limited.setFilter(is("b", 0));
        GetRangeResponse page = CLIENT.getRange(new GetRangeRequest(limited));
        assertEquals(List.of(0L, 6L, 12L), ids(page.getRows()), "the limit counts the rows that are returned");
        assertEquals(List.of(0L, 6L, 12L, 18L, 3L, 9L, 15L), ids(Service.scan(CLIENT, limited)));
        RangeIteratorParameter parameter = new RangeIteratorParameter(Service.everything(table, "group", "id"));
        parameter.setMaxCount(7);
        Iterator<Row> rows = CLIENT.createRangeIterator(parameter);
        int count = 0;
        for (; rows.hasNext(); rows.next()) {
            count++;
        }
        assertEquals(7, count);
        RangeRowQueryCriteria absent = Service.everything(table, "group", "id");
        absent.addColumnsToGet("absent");
        assertTrue(Service.scan(CLIENT, absent).isEmpty(), "rows without the columns asked for are passed over");

        criteria.setExclusiveEndPrimaryKey(key("g0", 12));
        invalid("Begin key must more than end key in BACKWARD", () -> CLIENT.getRange(new GetRangeRequest(criteria)));
        criteria.setDirection(Direction.FORWARD);
        invalid("Begin key must less than end key in FORWARD", () -> CLIENT.getRange(new GetRangeRequest(criteria)));
        missing(() -> CLIENT.getRange(new GetRangeRequest(Service.everything("nowhere", "group", "id"))));
    }

    private static List<Long> ids(List<Row> rows) {
        return rows.stream().map(Service::id).collect(Collectors.toList());
    }

    @Test
    void readsAreCountedAsDocumented() {
        String table = newTable(CLIENT);
        write(CLIENT, put(table, key("g", 1), "a", "x".repeat(4096)));
        write(CLIENT, put(table, key("g", 2), "a", "x".repeat(2000)));
        GetRowResponse response = CLIENT.getRow(new GetRowRequest(reading(table, key("g", 1))));
        assertEquals(new CapacityUnit(2, 0), response.getConsumedCapacity().getCapacityUnit());
        response = CLIENT.getRow(new GetRowRequest(reading(table, key("g", 3))));
        assertEquals(new CapacityUnit(1, 0), response.getConsumedCapacity().getCapacityUnit());
        GetRangeResponse page = CLIENT.getRange(new GetRangeRequest(Service.everything(table, "group", "id")));
        assertEquals(new CapacityUnit(2, 0), page.getConsumedCapacity().getCapacityUnit(), "summed, then rounded up");
    }
}
