package lakeferry;

import static lakeferry.Service.conditionFails;
import static lakeferry.Service.creation;
import static lakeferry.Service.fails;
import static lakeferry.Service.integer;
import static lakeferry.Service.invalid;
import static lakeferry.Service.newName;
import static lakeferry.Service.newTable;
import static lakeferry.Service.number;
import static lakeferry.Service.put;
import static lakeferry.Service.read;
import static lakeferry.Service.reading;
import static lakeferry.Service.refused;
import static lakeferry.Service.text;
import static lakeferry.Service.update;
import static lakeferry.Service.write;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.model.BatchWriteRowRequest;
import com.alicloud.openservices.tablestore.model.BatchWriteRowResponse;
import com.alicloud.openservices.tablestore.model.CapacityUnit;
import com.alicloud.openservices.tablestore.model.Column;
import com.alicloud.openservices.tablestore.model.ColumnValue;
import com.alicloud.openservices.tablestore.model.Condition;
import com.alicloud.openservices.tablestore.model.DeleteRowRequest;
import com.alicloud.openservices.tablestore.model.PrimaryKey;
import com.alicloud.openservices.tablestore.model.PrimaryKeyType;
import com.alicloud.openservices.tablestore.model.PrimaryKeyValue;
import com.alicloud.openservices.tablestore.model.PutRowRequest;
import com.alicloud.openservices.tablestore.model.ReturnType;
import com.alicloud.openservices.tablestore.model.Row;
import com.alicloud.openservices.tablestore.model.RowDeleteChange;
import com.alicloud.openservices.tablestore.model.RowExistenceExpectation;
import com.alicloud.openservices.tablestore.model.RowPutChange;
import com.alicloud.openservices.tablestore.model.RowUpdateChange;
import com.alicloud.openservices.tablestore.model.SingleRowQueryCriteria;
import com.alicloud.openservices.tablestore.model.TableMeta;
import com.alicloud.openservices.tablestore.model.TableOptions;
import com.alicloud.openservices.tablestore.model.UpdateRowRequest;
import com.alicloud.openservices.tablestore.model.condition.ColumnCondition;
import com.alicloud.openservices.tablestore.model.condition.CompositeColumnValueCondition;
import com.alicloud.openservices.tablestore.model.condition.SingleColumnValueCondition;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** Writes of single rows and of batches: operations, conditions, versions, what they return. */
class WritesTest {
    private static final SyncClient CLIENT = Service.client();

    @AfterAll
    static void shutDown() {
        CLIENT.shutdown();
    }

    @Test
    void everyTypeComesBackAsItWasWritten() {
        String table = newTable(CLIENT);
        write(CLIENT, put(table, key("g", 1), "binary", ColumnValue.fromBinary(new byte[] {0, -1}), "double",
                ColumnValue.fromDouble(-0.25), "flag", ColumnValue.fromBoolean(true), "integer", Long.MIN_VALUE,
                "text", "ünï · 表"));
        Row row = read(CLIENT, table, key("g", 1));
        assertEquals(-1, row.getLatestColumn("binary").getValue().asBinary()[1]);
        assertEquals(-0.25, row.getLatestColumn("double").getValue().asDouble());
        assertTrue(row.getLatestColumn("flag").getValue().asBoolean());
        assertEquals(Long.MIN_VALUE, number(row, "integer"));
        assertEquals("ünï · 表", row.getLatestColumn("text").getValue().asString());
    }

    @Test
    void anUpdateChangesTheColumnsThatItNames() {
        String table = newTable(CLIENT, new TableOptions(-1, 3));
        PrimaryKey key = key("g", 1);
        write(CLIENT, put(table, key, "a", 1, "b", 2, "c", 3));
        write(CLIENT, update(table, key, "a", 10, "d", 4).deleteColumns("b"));
        assertEquals("a=10 c=3 d=4", Service.columns(read(CLIENT, table, key)));
        List<Column> versions = allVersions(table, key, "a");
        assertEquals(List.of(integer(10), integer(1)), values(versions));
        write(CLIENT, update(table, key).deleteColumn("a", versions.get(0).getTimestamp()));
        assertEquals(List.of(integer(1)), values(allVersions(table, key, "a")));
        write(CLIENT, put(table, key, "e", 5));
        assertEquals("e=5", Service.columns(read(CLIENT, table, key)), "a put takes the place of the whole row");
        write(CLIENT, new RowDeleteChange(table, key));
        assertNull(read(CLIENT, table, key));
    }

    @Test
    void threeQuickWritesAreThreeVersions() {
        String table = newTable(CLIENT, new TableOptions(-1, 3));
        for (int at = 0; at < 3; at++) {
            write(CLIENT, update(table, key("g", 1), "a", at));
        }
        assertEquals(List.of(integer(2), integer(1), integer(0)), values(allVersions(table, key("g", 1), "a")));
    }

    @Test
    void timestampsOfTheCallerAreKeptWithinTheirWindow() {
        TableOptions options = new TableOptions(-1, 3);
        options.setMaxTimeDeviation(86_400);
        String table = newTable(CLIENT, options);
        long now = System.currentTimeMillis();
        RowPutChange row = new RowPutChange(table, key("g", 1));
        row.addColumn("a", integer(1), now - 1000).addColumn("a", integer(2), now).addColumn("a", integer(3), now);
        write(CLIENT, row);
        List<Column> versions = allVersions(table, key("g", 1), "a");
        assertEquals(List.of(integer(3), integer(1)), values(versions), "the last of the same version wins");
        assertEquals(List.of(now, now - 1000), versions.stream().map(Column::getTimestamp).collect(Collectors.toList()));
        refused("OTSParameterInvalid", () -> write(CLIENT,
                update(table, key("g", 1)).put("a", integer(9), now - 2 * 86_400_000L)));
        refused("OTSParameterInvalid", () -> write(CLIENT,
                update(table, key("g", 1)).put("a", integer(9), now + 2 * 86_400_000L)));
        invalid("Timestamp must be in range [0, INT64_MAX/1000).", () -> write(CLIENT,
                update(table, key("g", 1)).put("a", integer(9), Long.MAX_VALUE / 1000)));
        assertEquals(List.of(integer(3), integer(1)), values(allVersions(table, key("g", 1), "a")));
    }

    private static List<Column> allVersions(String table, PrimaryKey key, String column) {
        SingleRowQueryCriteria criteria = reading(table, key);
        criteria.setMaxVersions(100);
        return Service.versions(read(CLIENT, criteria), column);
    }

    private static List<ColumnValue> values(List<Column> versions) {
        return versions.stream().map(Column::getValue).collect(Collectors.toList());
    }

    @Test
    void existenceIsExpectedOrNot() {
        String table = newTable(CLIENT);
        Condition there = new Condition(RowExistenceExpectation.EXPECT_EXIST);
        Condition absent = new Condition(RowExistenceExpectation.EXPECT_NOT_EXIST);
        RowPutChange row = put(table, key("g", 1), "a", 1);
        row.setCondition(there);
        conditionFails(() -> write(CLIENT, row));
        row.setCondition(absent);
        write(CLIENT, row);
        conditionFails(() -> write(CLIENT, row));
        RowUpdateChange change = update(table, key("g", 2), "a", 1);
        change.setCondition(there);
        conditionFails(() -> write(CLIENT, change));
        RowDeleteChange deletion = new RowDeleteChange(table, key("g", 1));
        deletion.setCondition(absent);
        conditionFails(() -> write(CLIENT, deletion));
        assertEquals("a=1", Service.columns(read(CLIENT, table, key("g", 1))));
    }

    @Test
    void columnsAreConditions() {
        String table = newTable(CLIENT);
        PrimaryKey key = key("g", 1);
        write(CLIENT, put(table, key, "a", 5, "b", "x"));
        SingleColumnValueCondition fits =
                new SingleColumnValueCondition("a", SingleColumnValueCondition.CompareOperator.GREATER_THAN, integer(4));
        SingleColumnValueCondition not =
                new SingleColumnValueCondition("b", SingleColumnValueCondition.CompareOperator.EQUAL, text("y"));
        RowUpdateChange change = update(table, key, "c", 1);
        change.setCondition(condition(not));
        conditionFails(() -> write(CLIENT, change));
        change.setCondition(condition(fits));
        write(CLIENT, change);
        CompositeColumnValueCondition both =
                new CompositeColumnValueCondition(CompositeColumnValueCondition.LogicOperator.AND);
        both.addCondition(fits).addCondition(not);
        RowDeleteChange deletion = new RowDeleteChange(table, key);
        deletion.setCondition(condition(both));
        conditionFails(() -> write(CLIENT, deletion));
        CompositeColumnValueCondition either =
                new CompositeColumnValueCondition(CompositeColumnValueCondition.LogicOperator.OR);
        either.addCondition(fits).addCondition(not);
        RowPutChange row = put(table, key, "z", 1);
        row.setCondition(condition(either));
        write(CLIENT, row);
        assertEquals("z=1", Service.columns(read(CLIENT, table, key)));
        // On a row that is not there every column is missing.
        SingleColumnValueCondition missing =
                new SingleColumnValueCondition("a", SingleColumnValueCondition.CompareOperator.EQUAL, integer(1));
        missing.setPassIfMissing(false);
        RowPutChange fresh = put(table, key("g", 2), "a", 1);
        fresh.setCondition(condition(missing));
        conditionFails(() -> write(CLIENT, fresh));
        missing.setPassIfMissing(true);
        fresh.setCondition(condition(missing));
        write(CLIENT, fresh);
    }

    private static Condition condition(ColumnCondition column) {
        Condition condition = new Condition(RowExistenceExpectation.IGNORE);
        condition.setColumnCondition(column);
        return condition;
    }

    @Test
    void aWriteReturnsItsKeyOrWhatItIncremented() {
        String table = newTable(CLIENT);
        RowPutChange row = put(table, key("g", 1), "n", 40);
        assertNull(CLIENT.putRow(new PutRowRequest(row)).getRow());
        row.setReturnType(ReturnType.RT_PK);
        Row returned = CLIENT.putRow(new PutRowRequest(row)).getRow();
        assertEquals(key("g", 1), returned.getPrimaryKey());
        assertEquals(0, returned.getColumns().length);

        RowUpdateChange change = update(table, key("g", 1), "other", 1);
        change.increment(new Column("n", integer(2)));
        change.increment(new Column("fresh", integer(-7)));
        change.addReturnColumn("n");
        change.addReturnColumn("fresh");
        change.setReturnType(ReturnType.RT_AFTER_MODIFY);
        returned = CLIENT.updateRow(new UpdateRowRequest(change)).getRow();
        assertEquals("fresh=-7 n=42", Service.columns(returned));
        change.addReturnColumn("other");
        refused("OTSParameterInvalid", () -> CLIENT.updateRow(new UpdateRowRequest(change)));
        assertEquals(42, number(read(CLIENT, table, key("g", 1)), "n"), "a refused increment changes nothing");
        RowDeleteChange deletion = new RowDeleteChange(table, key("g", 1));
        deletion.setReturnType(ReturnType.RT_PK);
        assertEquals(key("g", 1), CLIENT.deleteRow(new DeleteRowRequest(deletion)).getRow().getPrimaryKey());
    }

    @Test
    void whatIsNoIntegerIsNotIncremented() {
        String table = newTable(CLIENT);
        write(CLIENT, put(table, key("g", 1), "n", "text"));
        RowUpdateChange change = update(table, key("g", 1));
        change.increment(new Column("n", integer(1)));
        assertEquals(400, refused("OTSParameterInvalid", () -> write(CLIENT, change)).getHttpStatus());
        assertEquals("n=text", Service.columns(read(CLIENT, table, key("g", 1))));
    }

    @Test
    void concurrentIncrementsAreAllCounted() throws Exception {
        String table = newTable(CLIENT);
        Set<Long> results = ConcurrentHashMap.newKeySet();
        Service.concurrently(8, thread -> {
            for (int at = 0; at < 50; at++) {
                RowUpdateChange change = update(table, key("g", 1));
                change.increment(new Column("n", integer(1)));
                change.addReturnColumn("n");
                change.setReturnType(ReturnType.RT_AFTER_MODIFY);
                results.add(number(CLIENT.updateRow(new UpdateRowRequest(change)).getRow(), "n"));
            }
        });
        assertEquals(400, number(read(CLIENT, table, key("g", 1)), "n"));
        assertEquals(400, results.size(), "each increment returned a value of its own");
    }

    @Test
    void theServerPicksRisingKeysForAnAutoIncrementColumn() throws Exception {
        String table = newName();
        TableMeta meta = new TableMeta(table);
        meta.addPrimaryKeyColumn("group", PrimaryKeyType.STRING);
        meta.addAutoIncrementPrimaryKeyColumn("id");
        CLIENT.createTable(creation(meta, new TableOptions(-1, 1)));
        Set<Long> picked = ConcurrentHashMap.newKeySet();
        Service.concurrently(4, thread -> {
            long last = 0;
            for (int at = 0; at < 25; at++) {
                long id = Service.id(putNew(table));
                assertTrue(id > last, id + " after " + last);
                last = id;
                picked.add(id);
            }
        });
        assertEquals(100, picked.size());
        List<Row> rows = Service.scan(CLIENT, Service.everything(table, "group", "id"));
        assertEquals(picked, rows.stream().map(Service::id).collect(Collectors.toCollection(HashSet::new)));
        long known = Service.id(rows.get(0));
        write(CLIENT, put(table, key("g", known), "a", 2));
        assertEquals("a=2", Service.columns(read(CLIENT, table, key("g", known))));
        conditionFails(() -> write(CLIENT, put(table, key("g", Long.MAX_VALUE), "a", 1)));
    }

    private static Row putNew(String table) {
        PrimaryKey key = key(PrimaryKeyValue.fromString("g"), PrimaryKeyValue.AUTO_INCREMENT);
        RowPutChange row = put(table, key, "a", 1);
        row.setReturnType(ReturnType.RT_PK);
        return CLIENT.putRow(new PutRowRequest(row)).getRow();
    }

    @Test
    void aBatchAnswersRowByRowInOrder() {
        String table = newTable(CLIENT);
        BatchWriteRowRequest request = new BatchWriteRowRequest();
        RowPutChange first = put(table, key("g", 1), "a", 1);
        first.setReturnType(ReturnType.RT_PK);
        request.addRowChange(first);
        request.addRowChange(update(table, key("g", 1), "b", 2));
        RowPutChange failing = put(table, key("g", 2), "a", 1);
        failing.setCondition(new Condition(RowExistenceExpectation.EXPECT_EXIST));
        request.addRowChange(failing);
        RowUpdateChange wrong = update(table, key("g", PrimaryKeyValue.fromString("x")), "a", 1);
        request.addRowChange(wrong);
        List<BatchWriteRowResponse.RowResult> results = CLIENT.batchWriteRow(request).getRowStatus(table);
        assertEquals(key("g", 1), results.get(0).getRow().getPrimaryKey());
        assertTrue(results.get(1).isSucceed());
        assertNull(results.get(1).getRow());
        assertEquals("OTSConditionCheckFail Condition check failed.", told(results.get(2)));
        assertEquals("OTSInvalidPK Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.", told(results.get(3)));
        assertEquals("a=1 b=2", Service.columns(read(CLIENT, table, key("g", 1))));
    }

    private static PrimaryKey key(String group, PrimaryKeyValue id) {
        return Service.key(PrimaryKeyValue.fromString(group), id);
    }

    private static PrimaryKey key(String group, long id) {
        return Service.key(group, id);
    }

    private static PrimaryKey key(PrimaryKeyValue group, PrimaryKeyValue id) {
        return Service.key(group, id);
    }

    private static String told(BatchWriteRowResponse.RowResult result) {
        return result.getError().getCode() + " " + result.getError().getMessage();
    }

    @Test
    void aBatchThatIsTooLargeIsRefusedWhole() {
        String table = newTable(CLIENT);
        BatchWriteRowRequest request = new BatchWriteRowRequest();
        for (int at = 0; at < 201; at++) {
            request.addRowChange(put(table, key("g", at), "a", at));
        }
        invalid("Rows count exceeds the upper limit: 200.", () -> CLIENT.batchWriteRow(request));
        assertNull(read(CLIENT, table, key("g", 0)));
        // Two full columns and one that is chosen so that names and values come to one byte too many.
        int most = 2 << 20;
        int keys = 2 * ("group".length() + 1 + "id".length() + 8);
        int rest = 2 * most + 1 - keys - 3 - most;
        BatchWriteRowRequest heavy = new BatchWriteRowRequest();
        heavy.addRowChange(put(table, key("g", 1), "a", ColumnValue.fromBinary(new byte[most])));
        heavy.addRowChange(put(table, key("g", 2), "a", ColumnValue.fromBinary(new byte[rest]), "b",
                ColumnValue.fromString("")));
        invalid("The total data size of BatchWriteRow request exceeds the limit, limit size: 4194304, "
                + "data size: 4194305.", () -> CLIENT.batchWriteRow(heavy));
    }

    @Test
    void capacityUnitsAreCountedAsDocumented() {
        String table = newTable(CLIENT);
        RowPutChange row = put(table, key("g", 1), "a", "x".repeat(4096), "b", "y".repeat(4096));
        assertEquals(new CapacityUnit(0, 3),
                CLIENT.putRow(new PutRowRequest(row)).getConsumedCapacity().getCapacityUnit());
        row.setCondition(new Condition(RowExistenceExpectation.EXPECT_EXIST));
        assertEquals(new CapacityUnit(1, 3),
                CLIENT.putRow(new PutRowRequest(row)).getConsumedCapacity().getCapacityUnit());
        RowDeleteChange deletion = new RowDeleteChange(table, key("g", 1));
        assertEquals(new CapacityUnit(0, 1),
                CLIENT.deleteRow(new DeleteRowRequest(deletion)).getConsumedCapacity().getCapacityUnit());
    }

    @Test
    void whatCannotBeWrittenIsRefused() {
        String table = newTable(CLIENT);
        invalid("Invalid column name: '#'.", () -> write(CLIENT, put(table, key("g", 1), "#", 1)));
        invalid("The length of primary key column: 'group' exceeds the MaxLength:1024 with CurrentLength:1025.",
                () -> write(CLIENT, put(table, key("x".repeat(1025), 1), "a", 1)));
        invalid("VT_INF_MAX is an invalid type for the primary key.",
                () -> write(CLIENT, put(table, key("g", PrimaryKeyValue.INF_MAX), "a", 1)));
        fails(400, "OTSInvalidPK", "Validate PK size fail. Input: 1, Meta: 2.", () -> write(CLIENT,
                put(table, Service.key("group", PrimaryKeyValue.fromString("g")), "a", 1)));
        fails(400, "OTSInvalidPK", "Validate PK name fail. Input: id, Meta: group.", () -> write(CLIENT, update(table,
                Service.key("id", PrimaryKeyValue.fromLong(1), "group", PrimaryKeyValue.fromString("g")), "a", 1)));
        fails(400, "OTSInvalidPK", "Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.", () -> write(CLIENT,
                new RowDeleteChange(table, key("g", PrimaryKeyValue.fromString("1")))));
        Object[] many = new Object[2 * 1025];
        for (int at = 0; at < 1025; at++) {
            many[2 * at] = "c" + at;
            many[2 * at + 1] = at;
        }
        invalid("The number of attribute columns exceeds the limit, limit count: 1024, column count: 1025.",
                () -> write(CLIENT, put(table, key("g", 1), many)));
    }
}
