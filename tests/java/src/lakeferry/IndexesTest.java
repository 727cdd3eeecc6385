package lakeferry;

import static lakeferry.Service.creation;
import static lakeferry.Service.invalid;
import static lakeferry.Service.key;
import static lakeferry.Service.meta;
import static lakeferry.Service.missing;
import static lakeferry.Service.newName;
import static lakeferry.Service.put;
import static lakeferry.Service.update;
import static lakeferry.Service.waitFor;
import static lakeferry.Service.write;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.TableStoreException;
import com.alicloud.openservices.tablestore.model.Column;
import com.alicloud.openservices.tablestore.model.CreateIndexRequest;
import com.alicloud.openservices.tablestore.model.CreateTableRequest;
import com.alicloud.openservices.tablestore.model.DefinedColumnType;
import com.alicloud.openservices.tablestore.model.DeleteIndexRequest;
import com.alicloud.openservices.tablestore.model.DescribeTableRequest;
import com.alicloud.openservices.tablestore.model.IndexMeta;
import com.alicloud.openservices.tablestore.model.IndexType;
import com.alicloud.openservices.tablestore.model.IndexUpdateMode;
import com.alicloud.openservices.tablestore.model.PrimaryKey;
import com.alicloud.openservices.tablestore.model.PrimaryKeyColumn;
import com.alicloud.openservices.tablestore.model.PrimaryKeyValue;
import com.alicloud.openservices.tablestore.model.Row;
import com.alicloud.openservices.tablestore.model.RowDeleteChange;
import com.alicloud.openservices.tablestore.model.RowUpdateChange;
import com.alicloud.openservices.tablestore.model.TableMeta;
import com.alicloud.openservices.tablestore.model.TableOptions;
import java.util.List;
import java.util.Random;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** Secondary indexes: local ones are there with the row, global ones follow it. */
class IndexesTest {
    private static final SyncClient CLIENT = Service.client();

    @AfterAll
    static void shutDown() {
        CLIENT.shutdown();
    }

    /** A table with the defined columns {@code city} STRING, {@code age} INTEGER and {@code note} STRING. */
    private static CreateTableRequest table(String name) {
        TableMeta meta = meta(name);
        meta.addDefinedColumn("city", DefinedColumnType.STRING);
        meta.addDefinedColumn("age", DefinedColumnType.INTEGER);
        meta.addDefinedColumn("note", DefinedColumnType.STRING);
        return creation(meta, new TableOptions(-1, 1));
    }

    /** An index by city with the age beside it. */
    private static IndexMeta byCity(String name) {
        IndexMeta index = new IndexMeta(name);
        index.addPrimaryKeyColumn("city");
        index.addDefinedColumn("age");
        return index;
    }

    private static IndexMeta byAgeInGroup(String name) {
        IndexMeta index = new IndexMeta(name);
        index.setIndexType(IndexType.IT_LOCAL_INDEX);
        index.setIndexUpdateMode(IndexUpdateMode.IUM_SYNC_INDEX);
        index.addPrimaryKeyColumn("group");
        index.addPrimaryKeyColumn("age");
        index.addDefinedColumn("city");
        return index;
    }

    /** What an index by city holds, {@code city/group/id:age} in its order. */
    private static String cities(String index) {
        return told(Service.scan(CLIENT, Service.everything(index, "city", "group", "id")));
    }

    private static String ages(String index) {
        return told(Service.scan(CLIENT, Service.everything(index, "group", "age", "id")));
    }

    private static String told(List<Row> rows) {
        return rows.stream().map(IndexesTest::told).collect(Collectors.joining(" "));
    }

    private static String told(Row row) {
        StringBuilder told = new StringBuilder();
        for (PrimaryKeyColumn column : row.getPrimaryKey().getPrimaryKeyColumns()) {
            told.append(told.length() == 0 ? "" : "/").append(column.getValue());
        }
        for (Column column : row.getColumns()) {
            told.append(':').append(column.getValue());
        }
        return told.toString();
    }

    private static void becomes(String expected, Supplier<String> found) {
        waitFor(() -> "`" + expected + "`, not `" + found.get() + "`", () -> expected.equals(found.get()));
    }

    @Test
    void aGlobalIndexFollowsItsTable() {
        String table = newName();
        String index = newName();
        CreateTableRequest request = table(table);
        request.addIndex(byCity(index));
        CLIENT.createTable(request);
        IndexMeta described = CLIENT.describeTable(new DescribeTableRequest(table)).getIndexMeta().get(0);
        assertEquals(index, described.getIndexName());
        assertEquals(List.of("city"), described.getPrimaryKeyList());
        assertEquals(List.of("age"), described.getDefinedColumnsList());
        assertEquals(IndexType.IT_GLOBAL_INDEX, described.getIndexType());

        write(CLIENT, put(table, key("g", 1), "city", "Rome", "age", 30, "note", "x"));
        write(CLIENT, put(table, key("g", 2), "city", "Oslo", "age", 20));
        write(CLIENT, put(table, key("g", 3), "age", 10));
        becomes("Oslo/g/2:20 Rome/g/1:30", () -> cities(index));
        write(CLIENT, update(table, key("g", 1), "city", "Bern"));
        write(CLIENT, update(table, key("g", 2), "age", 21));
        write(CLIENT, update(table, key("g", 3), "city", "Cork"));
        becomes("Bern/g/1:30 Cork/g/3:10 Oslo/g/2:21", () -> cities(index));
        Row row = Service.read(CLIENT, index, key("city", PrimaryKeyValue.fromString("Cork"), "group",
                PrimaryKeyValue.fromString("g"), "id", PrimaryKeyValue.fromLong(3)));
        assertEquals("age=10", Service.columns(row));
        write(CLIENT, new RowDeleteChange(table, key("g", 1)));
        write(CLIENT, new RowUpdateChange(table, key("g", 2)).deleteColumns("city"));
        becomes("Cork/g/3:10", () -> cities(index));
        CLIENT.deleteIndex(new DeleteIndexRequest(table, index));
        assertTrue(CLIENT.describeTable(new DescribeTableRequest(table)).getIndexMeta().isEmpty());
        missing(() -> cities(index));
    }

    @Test
    void aLocalIndexIsThereWithTheRow() {
        String table = newName();
        String index = newName();
        CreateTableRequest request = table(table);
        request.addIndex(byAgeInGroup(index));
        CLIENT.createTable(request);
        assertEquals(IndexType.IT_LOCAL_INDEX,
                CLIENT.describeTable(new DescribeTableRequest(table)).getIndexMeta().get(0).getIndexType());
        write(CLIENT, put(table, key("g", 1), "age", 30, "city", "Rome"));
        write(CLIENT, put(table, key("g", 2), "age", 20, "city", "Oslo"));
        // No waiting: what was answered is in the index.
        assertEquals("g/20/2:Oslo g/30/1:Rome", ages(index));
        write(CLIENT, update(table, key("g", 1), "age", 10));
        assertEquals("g/10/1:Rome g/20/2:Oslo", ages(index));
        write(CLIENT, new RowDeleteChange(table, key("g", 2)));
        assertEquals("g/10/1:Rome", ages(index));
    }

    @Test
    void anIndexOfATableWithRowsTakesThemInIfAsked() {
        String table = newName();
        CLIENT.createTable(table(table));
        int count = 1000;
        for (int at = 0; at < count; at++) {
            write(CLIENT, put(table, key("g", at), "city", String.format("c%04d", count - at), "age", at));
        }
        String whole = newName();
        String fresh = newName();
        String local = newName();
        CLIENT.createIndex(new CreateIndexRequest(table, byCity(whole), true));
        CLIENT.createIndex(new CreateIndexRequest(table, byCity(fresh), false));
        CLIENT.createIndex(new CreateIndexRequest(table, byAgeInGroup(local), true));
        write(CLIENT, put(table, key("g", count), "city", "late", "age", count));
        waitFor("a global index of all rows", () -> rowsOf(whole, "city", "group", "id") == count + 1);
        waitFor("a local index of all rows", () -> rowsOf(local, "group", "age", "id") == count + 1);
        becomes("late/g/1000:1000", () -> cities(fresh));
    }

    /** How many rows an index holds; none while it still takes in the rows that were there before. */
    private static long rowsOf(String index, String... keys) {
        try {
            return Service.scan(CLIENT, Service.everything(index, keys)).size();
        } catch (TableStoreException early) {
            assertEquals("Disallow read index table in building base state", early.getMessage());
            return 0;
        }
    }

    /** Writers change the same rows at once; in the end the index holds exactly what the table holds. */
    @Test
    void globalAndLocalIndexesAgreeWithTheirTableAfterConcurrentWriters() throws Exception {
        String table = newName();
        String global = newName();
        String local = newName();
        CreateTableRequest request = table(table);
        request.addIndex(byCity(global));
        request.addIndex(byAgeInGroup(local));
        CLIENT.createTable(request);
        Service.concurrently(6, thread -> {
            Random random = new Random(thread);
            for (int at = 0; at < 150; at++) {
                PrimaryKey key = key("g" + random.nextInt(3), random.nextInt(10));
                switch (random.nextInt(4)) {
                    case 0:
                        write(CLIENT, new RowDeleteChange(table, key));
                        break;
                    case 1:
                        write(CLIENT, put(table, key, "city", "c" + random.nextInt(5), "age", random.nextInt(5)));
                        break;
                    case 2:
                        write(CLIENT, update(table, key, "city", "c" + random.nextInt(5)));
                        break;
                    default:
                        write(CLIENT, update(table, key, "age", random.nextInt(5)));
                }
            }
        });
        List<Row> rows = Service.scan(CLIENT, Service.everything(table, "group", "id"));
        assertFalse(rows.isEmpty());
        assertEquals(entries(rows, true), new TreeSet<>(List.of(ages(local).split(" "))));
        String expected = entries(rows, false).toString();
        becomes(expected, () -> new TreeSet<>(List.of(cities(global).split(" "))).toString());
    }

    private static TreeSet<String> entries(List<Row> rows, boolean local) {
        TreeSet<String> entries = new TreeSet<>();
        for (Row row : rows) {
            String group = row.getPrimaryKey().getPrimaryKeyColumn("group").getValue().asString();
            if (!row.contains(local ? "age" : "city")) {
                continue;
            }
            String city = row.contains("city") ? row.getLatestColumn("city").getValue().asString() : null;
            String age = row.contains("age") ? "" + Service.number(row, "age") : null;
            String id = "" + Service.id(row);
            entries.add(local ? group + "/" + age + "/" + id + (city == null ? "" : ":" + city)
                    : city + "/" + group + "/" + id + (age == null ? "" : ":" + age));
        }
        return entries;
    }

    @Test
    void whatCannotBeAnIndexIsRefused() {
        String table = newName();
        CLIENT.createTable(table(table));
        for (int at = 0; at < 5; at++) {
            CLIENT.createIndex(new CreateIndexRequest(table, byCity(newName()), false));
        }
        invalid("Number of index per table exceeds the quota:5.",
                () -> CLIENT.createIndex(new CreateIndexRequest(table, byCity(newName()), false)));
        String other = newName();
        CLIENT.createTable(table(other));
        IndexMeta empty = new IndexMeta(newName());
        empty.addDefinedColumn("age");
        invalid("The number of primary key columns must be in range: [1, 4] in index.",
                () -> CLIENT.createIndex(new CreateIndexRequest(other, empty, false)));
        IndexMeta wide = new IndexMeta(newName());
        wide.addPrimaryKeyColumn("city");
        for (int at = 0; at < 33; at++) {
            wide.addDefinedColumn("c" + at);
        }
        invalid("The number of attribute columns must be in range: [0, 32] in index.",
                () -> CLIENT.createIndex(new CreateIndexRequest(other, wide, false)));
        missing(() -> CLIENT.createIndex(new CreateIndexRequest("nowhere", byCity(newName()), false)));
        missing(() -> CLIENT.deleteIndex(new DeleteIndexRequest("nowhere", "index")));
        Service.refused("OTSObjectNotExist", () -> CLIENT.deleteIndex(new DeleteIndexRequest(other, "index")));
    }
}
