package lakeferry;

import static lakeferry.Service.creation;
import static lakeferry.Service.fails;
import static lakeferry.Service.invalid;
import static lakeferry.Service.key;
import static lakeferry.Service.meta;
import static lakeferry.Service.missing;
import static lakeferry.Service.newName;
import static lakeferry.Service.newTable;
import static lakeferry.Service.put;
import static lakeferry.Service.refused;
import static lakeferry.Service.update;
import static lakeferry.Service.waitFor;
import static lakeferry.Service.write;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.model.AddDefinedColumnRequest;
import com.alicloud.openservices.tablestore.model.CapacityUnit;
import com.alicloud.openservices.tablestore.model.ColumnValue;
import com.alicloud.openservices.tablestore.model.ComputeSplitsBySizeRequest;
import com.alicloud.openservices.tablestore.model.CreateTableRequest;
import com.alicloud.openservices.tablestore.model.DefinedColumnType;
import com.alicloud.openservices.tablestore.model.DeleteDefinedColumnRequest;
import com.alicloud.openservices.tablestore.model.DeleteTableRequest;
import com.alicloud.openservices.tablestore.model.DescribeTableRequest;
import com.alicloud.openservices.tablestore.model.DescribeTableResponse;
import com.alicloud.openservices.tablestore.model.PrimaryKeySchema;
import com.alicloud.openservices.tablestore.model.PrimaryKeyType;
import com.alicloud.openservices.tablestore.model.PrimaryKeyValue;
import com.alicloud.openservices.tablestore.model.ReservedThroughput;
import com.alicloud.openservices.tablestore.model.Split;
import com.alicloud.openservices.tablestore.model.StreamSpecification;
import com.alicloud.openservices.tablestore.model.TableMeta;
import com.alicloud.openservices.tablestore.model.TableOptions;
import com.alicloud.openservices.tablestore.model.UpdateTableRequest;
import com.alicloud.openservices.tablestore.model.UpdateTableResponse;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** Tables: made, described, changed, split, deleted; their defined columns and options. */
class TablesTest {
    private static final SyncClient CLIENT = Service.client();

    @AfterAll
    static void shutDown() {
        CLIENT.shutdown();
    }

    private static DescribeTableResponse describe(String table) {
        return CLIENT.describeTable(new DescribeTableRequest(table));
    }

    @Test
    void aTableIsMadeDescribedListedAndDeleted() {
        String table = newName();
        long before = System.currentTimeMillis();
        CreateTableRequest request = creation(meta(table), new TableOptions(86_400, 3));
        request.setReservedThroughput(new ReservedThroughput(new CapacityUnit(1, 2)));
        CLIENT.createTable(request);
        DescribeTableResponse described = describe(table);
        List<PrimaryKeySchema> keys = described.getTableMeta().getPrimaryKeyList();
        assertEquals(List.of("group", "id"), keys.stream().map(PrimaryKeySchema::getName).collect(Collectors.toList()));
        assertEquals(PrimaryKeyType.INTEGER, keys.get(1).getType());
        assertEquals(86_400, described.getTableOptions().getTimeToLive());
        assertEquals(3, described.getTableOptions().getMaxVersions());
        assertEquals(86_400, described.getTableOptions().getMaxTimeDeviation());
        assertTrue(described.getTableOptions().getAllowUpdate());
        assertFalse(described.getTableOptions().getUpdateFullRow());
        CapacityUnit throughput = described.getReservedThroughputDetails().getCapacityUnit();
        assertEquals(new CapacityUnit(1, 2), throughput);
        assertFalse(described.getStreamDetails().isEnableStream());
        // Microseconds, near to now by the clock that both processes share.
        long created = described.getCreationTime() / 1000;
        assertTrue(created > before - 60_000 && created < System.currentTimeMillis() + 60_000, "" + created);
        assertTrue(CLIENT.listTable().getTableNames().contains(table));

        CLIENT.deleteTable(new DeleteTableRequest(table));
        assertFalse(CLIENT.listTable().getTableNames().contains(table));
        missing(() -> describe(table));
        missing(() -> CLIENT.deleteTable(new DeleteTableRequest(table)));
    }

    @Test
    void aTableOfADeletedOnesNameIsEmptyAndHasItsOwnSchema() {
        String table = newTable(CLIENT);
        write(CLIENT, put(table, key("g", 1), "a", 1));
        CLIENT.deleteTable(new DeleteTableRequest(table));
        TableMeta meta = new TableMeta(table);
        meta.addPrimaryKeyColumn("other", PrimaryKeyType.BINARY);
        CLIENT.createTable(creation(meta, new TableOptions(-1, 1)));
        assertTrue(Service.scan(CLIENT, Service.everything(table, "other")).isEmpty());
    }

    @Test
    void whatCannotBeATableIsRefused() {
        String table = newTable(CLIENT);
        fails(409, "OTSObjectAlreadyExist", "Requested table already exists.",
                () -> CLIENT.createTable(creation(meta(table), new TableOptions(-1, 1))));
        invalid("Invalid table name: '1t'.", () -> CLIENT.createTable(creation(meta("1t"), new TableOptions(-1, 1))));
        TableMeta many = new TableMeta(newName());
        for (int at = 0; at < 5; at++) {
            many.addPrimaryKeyColumn("k" + at, PrimaryKeyType.INTEGER);
        }
        invalid("The number of primary key columns must be in range: [1, 4].",
                () -> CLIENT.createTable(creation(many, new TableOptions(-1, 1))));
    }

    @Test
    void optionsThroughputAndStreamAreChangedOneByOne() {
        String table = newTable(CLIENT);
        UpdateTableRequest options = new UpdateTableRequest(table);
        TableOptions wanted = new TableOptions();
        wanted.setMaxVersions(5);
        options.setTableOptionsForUpdate(wanted);
        UpdateTableResponse told = CLIENT.updateTable(options);
        assertEquals(5, told.getTableOptions().getMaxVersions());
        assertEquals(-1, told.getTableOptions().getTimeToLive());

        wanted = new TableOptions();
        wanted.setTimeToLive(100_000);
        wanted.setMaxTimeDeviation(1_000_000);
        options.setTableOptionsForUpdate(wanted);
        told = CLIENT.updateTable(options);
        assertEquals(5, told.getTableOptions().getMaxVersions());
        assertEquals(100_000, told.getTableOptions().getTimeToLive());
        assertEquals(1_000_000, told.getTableOptions().getMaxTimeDeviation());

        UpdateTableRequest throughput = new UpdateTableRequest(table);
        throughput.setReservedThroughputForUpdate(new ReservedThroughput(new CapacityUnit(3, 4)));
        told = CLIENT.updateTable(throughput);
        assertEquals(new CapacityUnit(3, 4), told.getReservedThroughputDetails().getCapacityUnit());
        assertEquals(5, told.getTableOptions().getMaxVersions());

        UpdateTableRequest stream = new UpdateTableRequest(table);
        stream.setStreamSpecification(new StreamSpecification(true, 24));
        told = CLIENT.updateTable(stream);
        assertTrue(told.getStreamDetails().isEnableStream());
        assertEquals(24, told.getStreamDetails().getExpirationTime());
        stream.setStreamSpecification(new StreamSpecification(false));
        assertFalse(CLIENT.updateTable(stream).getStreamDetails().isEnableStream());
        DescribeTableResponse described = describe(table);
        assertFalse(described.getStreamDetails().isEnableStream());
        assertEquals(5, described.getTableOptions().getMaxVersions());
        assertEquals(new CapacityUnit(3, 4), described.getReservedThroughputDetails().getCapacityUnit());
        UpdateTableRequest nowhere = new UpdateTableRequest("nowhere");
        nowhere.setTableOptionsForUpdate(wanted);
        missing(() -> CLIENT.updateTable(nowhere));
    }

    @Test
    void aTableThatForbidsUpdatesTakesPutsAlone() {
        String table = newTable(CLIENT);
        UpdateTableRequest request = new UpdateTableRequest(table);
        request.setTableOptionsForUpdate(new TableOptions(false));
        assertFalse(CLIENT.updateTable(request).getTableOptions().getAllowUpdate());
        write(CLIENT, put(table, key("g", 1), "a", 1));
        assertEquals(400, refused("OTSParameterInvalid", () -> write(CLIENT, update(table, key("g", 1), "a", 2)))
                .getHttpStatus());
        assertEquals("a=1", Service.columns(Service.read(CLIENT, table, key("g", 1))));
        request.setTableOptionsForUpdate(new TableOptions(true));
        CLIENT.updateTable(request);
        write(CLIENT, update(table, key("g", 1), "a", 2));
        assertEquals("a=2", Service.columns(Service.read(CLIENT, table, key("g", 1))));
    }

    @Test
    void whatIsOlderThanItsTimeToLiveIsNotReturned() {
        TableOptions options = new TableOptions(-1, 3);
        options.setMaxTimeDeviation(10L * 365 * 86_400);
        String table = newTable(CLIENT, options);
        long now = System.currentTimeMillis();
        write(CLIENT, Service.update(table, key("g", 1)).put("old", Service.integer(1), now - 3 * 86_400_000L)
                .put("new", Service.integer(2), now));
        assertEquals("new=2 old=1", Service.columns(Service.read(CLIENT, table, key("g", 1))));
        UpdateTableRequest request = new UpdateTableRequest(table);
        TableOptions wanted = new TableOptions();
        wanted.setTimeToLive(2 * 86_400);
        request.setTableOptionsForUpdate(wanted);
        CLIENT.updateTable(request);
        assertEquals("new=2", Service.columns(Service.read(CLIENT, table, key("g", 1))));
    }

    @Test
    void definedColumnsAreAddedAndDeleted() {
        String table = newName();
        TableMeta meta = meta(table);
        meta.addDefinedColumn("a", DefinedColumnType.STRING);
        meta.addDefinedColumn("b", DefinedColumnType.INTEGER);
        CLIENT.createTable(creation(meta, new TableOptions(-1, 1)));
        assertEquals("a:STRING b:INTEGER", defined(table));
        AddDefinedColumnRequest addition = new AddDefinedColumnRequest();
        addition.setTableName(table);
        addition.addDefinedColumn("c", DefinedColumnType.DOUBLE);
        addition.addDefinedColumn("d", DefinedColumnType.BINARY);
        CLIENT.addDefinedColumn(addition);
        assertEquals("a:STRING b:INTEGER c:DOUBLE d:BINARY", defined(table));
        DeleteDefinedColumnRequest deletion = new DeleteDefinedColumnRequest();
        deletion.setTableName(table);
        deletion.addDefinedColumn("b");
        deletion.addDefinedColumn("c");
        CLIENT.deleteDefinedColumn(deletion);
        assertEquals("a:STRING d:BINARY", defined(table));

        addition.setTableName("nowhere");
        missing(() -> CLIENT.addDefinedColumn(addition));
        deletion.setTableName("nowhere");
        missing(() -> CLIENT.deleteDefinedColumn(deletion));
        TableMeta many = meta(newName());
        for (int at = 0; at < 33; at++) {
            many.addDefinedColumn("c" + at, DefinedColumnType.INTEGER);
        }
        invalid("The number of defined columns must be in range: [0, 32].",
                () -> CLIENT.createTable(creation(many, new TableOptions(-1, 1))));
    }

    private static String defined(String table) {
        return describe(table).getTableMeta().getDefinedColumnsList().stream()
                .map(column -> column.getName() + ":" + column.getType())
                .collect(Collectors.joining(" "));
    }

    @Test
    void aTableIsMadeInPieces() {
        String table = newName();
        List<PrimaryKeyValue> points = List.of(PrimaryKeyValue.fromString("g2"), PrimaryKeyValue.fromString("g5"));
        createInPieces(table, points);
        List<String> splits = describe(table).getShardSplits().stream()
                .map(split -> split.getPrimaryKeyColumn(0).getValue().asString())
                .collect(Collectors.toList());
        assertEquals(List.of("g2", "g5"), splits);
        for (int at = 0; at < 9; at++) {
            write(CLIENT, put(table, key("g" + at, at), "a", at));
        }
        List<Long> ids = Service.scan(CLIENT, Service.everything(table, "group", "id")).stream()
                .map(Service::id)
                .collect(Collectors.toList());
        assertEquals(List.of(0L, 1L, 2L, 3L, 4L, 5L, 6L, 7L, 8L), ids);
    }

    @Test
    void piecesThatCannotBeAreRefused() {
        List<PrimaryKeyValue> ten = IntStream.range(0, 10)
                .mapToObj(at -> PrimaryKeyValue.fromString("g" + at))
                .collect(Collectors.toList());
        invalid("The count of partitions cannot be greater than 10", () -> createInPieces(newName(), ten));
        invalid("The value of partition range can not be empty string.",
                () -> createInPieces(newName(), List.of(PrimaryKeyValue.fromString(""))));
        invalid("The value of partition range exceeds the MaxLength:64 with CurrentLength:65.",
                () -> createInPieces(newName(), List.of(PrimaryKeyValue.fromString("x".repeat(65)))));
    }

    private static void createInPieces(String table, List<PrimaryKeyValue> points) {
        Service.createInPieces(creation(meta(table), new TableOptions(-1, 1)), points);
    }

    @Test
    void splitPointsCutATableIntoPartsOfASize() {
        String table = newTable(CLIENT);
        ComputeSplitsBySizeRequest request = new ComputeSplitsBySizeRequest(table, 1, 1 << 20);
        List<Split> splits = CLIENT.computeSplitsBySize(request).getSplits();
        assertEquals(1, splits.size(), "an empty table is one part");
        assertEquals(Service.lowest("group", "id"), splits.get(0).getLowerBound());
        assertEquals(Service.highest("group", "id"), splits.get(0).getUpperBound());

        byte[] bytes = new byte[64 * 1024];
        for (int at = 0; at < 128; at++) {
            // Bytes that no compression makes smaller.
            new java.util.Random(at).nextBytes(bytes);
            write(CLIENT, put(table, key(String.format("g%03d", at), at), "a", ColumnValue.fromBinary(bytes)));
        }
        // What is not yet written to its place may be left out of the estimate.
        waitFor("8 MiB are more than one part of 1 MiB",
                () -> CLIENT.computeSplitsBySize(request).getSplits().size() > 1);
        splits = CLIENT.computeSplitsBySize(request).getSplits();
        assertEquals(Service.lowest("group", "id"), splits.get(0).getLowerBound());
        assertEquals(Service.highest("group", "id"), splits.get(splits.size() - 1).getUpperBound());
        for (int at = 1; at < splits.size(); at++) {
            assertEquals(splits.get(at - 1).getUpperBound(), splits.get(at).getLowerBound());
            assertTrue(splits.get(at).getLowerBound().compareTo(splits.get(at).getUpperBound()) < 0);
        }
        splits.forEach(split -> assertEquals(32, split.getLocation().length()));
        request.setSplitPointLimit(1);
        assertEquals(2, CLIENT.computeSplitsBySize(request).getSplits().size());

        invalid("The split_size should be greater than 0.",
                () -> CLIENT.computeSplitsBySize(new ComputeSplitsBySizeRequest(table, 0, 1 << 20)));
        invalid("The split_size_unit_in_byte should be greater equal than: 1048576",
                () -> CLIENT.computeSplitsBySize(new ComputeSplitsBySizeRequest(table, 1, (1 << 20) - 1)));
        missing(() -> CLIENT.computeSplitsBySize(new ComputeSplitsBySizeRequest("nowhere", 1)));
    }
}
