package lakeferry;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.fail;

import com.alicloud.openservices.tablestore.InternalClient;
import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.TableStoreException;
import com.alicloud.openservices.tablestore.model.CapacityUnit;
import com.alicloud.openservices.tablestore.model.Column;
import com.alicloud.openservices.tablestore.model.ColumnValue;
import com.alicloud.openservices.tablestore.model.CreateTableRequest;
import com.alicloud.openservices.tablestore.model.CreateTableRequestEx;
import com.alicloud.openservices.tablestore.model.DeleteRowRequest;
import com.alicloud.openservices.tablestore.model.Direction;
import com.alicloud.openservices.tablestore.model.GetRangeRequest;
import com.alicloud.openservices.tablestore.model.GetRangeResponse;
import com.alicloud.openservices.tablestore.model.GetRowRequest;
import com.alicloud.openservices.tablestore.model.PrimaryKey;
import com.alicloud.openservices.tablestore.model.PrimaryKeyBuilder;
import com.alicloud.openservices.tablestore.model.PrimaryKeyColumn;
import com.alicloud.openservices.tablestore.model.PrimaryKeyType;
import com.alicloud.openservices.tablestore.model.PrimaryKeyValue;
import com.alicloud.openservices.tablestore.model.PutRowRequest;
import com.alicloud.openservices.tablestore.model.RangeRowQueryCriteria;
import com.alicloud.openservices.tablestore.model.ReservedThroughput;
import com.alicloud.openservices.tablestore.model.Row;
import com.alicloud.openservices.tablestore.model.RowDeleteChange;
import com.alicloud.openservices.tablestore.model.RowPutChange;
import com.alicloud.openservices.tablestore.model.RowUpdateChange;
import com.alicloud.openservices.tablestore.model.SingleRowQueryCriteria;
import com.alicloud.openservices.tablestore.model.TableMeta;
import com.alicloud.openservices.tablestore.model.TableOptions;
import com.alicloud.openservices.tablestore.model.UpdateRowRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What the tests share: clients of the server that the environment names, tables, keys, and how failures are
 * looked at.
 *
 * <p>Most tables have the primary key ({@code group} STRING, {@code id} INTEGER).
 */
final class Service {
    static final String ENDPOINT = System.getenv("LAKEFERRY_ENDPOINT");
    /** Each class has its own, since there is a limit to the tables of one; `serve --dev` makes it. */
    static final String INSTANCE = "java-" + UUID.randomUUID().toString().substring(0, 8);
    private static final long WAIT_SECONDS = 90;

    private Service() {}

    // Clients.

    static SyncClient client() {
        return new SyncClient(ENDPOINT, "dev", "dev", INSTANCE);
    }

    // Tables.

    /** A name that no test used before. */
    static String newName() {
        return "t_" + UUID.randomUUID().toString().replace("-", "").substring(0, 12);
    }

    static TableMeta meta(String name) {
        TableMeta meta = new TableMeta(name);
        meta.addPrimaryKeyColumn("group", PrimaryKeyType.STRING);
        meta.addPrimaryKeyColumn("id", PrimaryKeyType.INTEGER);
        return meta;
    }

    static CreateTableRequest creation(TableMeta meta, TableOptions options) {
        return new CreateTableRequest(meta, options, new ReservedThroughput(new CapacityUnit(0, 0)));
    }

    /** Makes a table that keeps one version of each column. */
    static String newTable(SyncClient client) {
        return newTable(client, new TableOptions(-1, 1));
    }

    /**
     * Makes a table in the pieces that these values of its first key column bound. The SDK keeps the call for it
     * inside.
     */
    static void createInPieces(CreateTableRequest whole, List<PrimaryKeyValue> points) {
        CreateTableRequestEx request =
                new CreateTableRequestEx(whole.getTableMeta(), whole.getTableOptions(), whole.getReservedThroughput());
        if (whole.getStreamSpecification() != null) {
            request.setStreamSpecification(whole.getStreamSpecification());
        }
        request.setSplitPoints(points);
        InternalClient client = new InternalClient(ENDPOINT, "dev", "dev", INSTANCE);
        try {
            client.createTableEx(request, null).get();
        } catch (ExecutionException failure) {
            throw (RuntimeException) failure.getCause();
        } catch (InterruptedException interrupted) {
            throw new AssertionError(interrupted);
        } finally {
            client.shutdown();
        }
    }

    static String newTable(SyncClient client, TableOptions options) {
        String name = newName();
        client.createTable(creation(meta(name), options));
        return name;
    }

    // Keys.

    static PrimaryKey key(String group, long id) {
        return key(PrimaryKeyValue.fromString(group), PrimaryKeyValue.fromLong(id));
    }

    static PrimaryKey key(PrimaryKeyValue group, PrimaryKeyValue id) {
        return key("group", group, "id", id);
    }

    /** A key of names and values by turns. */
    static PrimaryKey key(Object... namesAndValues) {
        PrimaryKeyBuilder builder = PrimaryKeyBuilder.createPrimaryKeyBuilder();
        for (int at = 0; at < namesAndValues.length; at += 2) {
            builder.addPrimaryKeyColumn((String) namesAndValues[at], (PrimaryKeyValue) namesAndValues[at + 1]);
        }
        return builder.build();
    }

    static long id(Row row) {
        return row.getPrimaryKey().getPrimaryKeyColumn("id").getValue().asLong();
    }

    static PrimaryKey lowest(String... names) {
        return bounds(names, PrimaryKeyValue.INF_MIN);
    }

    static PrimaryKey highest(String... names) {
        return bounds(names, PrimaryKeyValue.INF_MAX);
    }

    private static PrimaryKey bounds(String[] names, PrimaryKeyValue bound) {
        return new PrimaryKey(
                Stream.of(names).map(name -> new PrimaryKeyColumn(name, bound)).collect(Collectors.toList()));
    }

    // Rows.

    static ColumnValue integer(long value) {
        return ColumnValue.fromLong(value);
    }

    static ColumnValue text(String value) {
        return ColumnValue.fromString(value);
    }

    /** A put of integer columns, or of columns of other values: names and values by turns. */
    static RowPutChange put(String table, PrimaryKey key, Object... namesAndValues) {
        RowPutChange change = new RowPutChange(table, key);
        for (int at = 0; at < namesAndValues.length; at += 2) {
            Object value = namesAndValues[at + 1];
            change.addColumn((String) namesAndValues[at], value(value));
        }
        return change;
    }

    /** An update that puts columns: names and values by turns. */
    static RowUpdateChange update(String table, PrimaryKey key, Object... namesAndValues) {
        RowUpdateChange change = new RowUpdateChange(table, key);
        for (int at = 0; at < namesAndValues.length; at += 2) {
            change.put((String) namesAndValues[at], value(namesAndValues[at + 1]));
        }
        return change;
    }

    private static ColumnValue value(Object value) {
        if (value instanceof Number) {
            return integer(((Number) value).longValue());
        }
        return value instanceof String ? text((String) value) : (ColumnValue) value;
    }

    static void write(SyncClient client, RowPutChange change) {
        client.putRow(new PutRowRequest(change));
    }

    static void write(SyncClient client, RowUpdateChange change) {
        client.updateRow(new UpdateRowRequest(change));
    }

    static void write(SyncClient client, RowDeleteChange change) {
        client.deleteRow(new DeleteRowRequest(change));
    }

    static SingleRowQueryCriteria reading(String table, PrimaryKey key) {
        SingleRowQueryCriteria criteria = new SingleRowQueryCriteria(table, key);
        criteria.setMaxVersions(1);
        return criteria;
    }

    static Row read(SyncClient client, String table, PrimaryKey key) {
        return read(client, reading(table, key));
    }

    static Row read(SyncClient client, SingleRowQueryCriteria criteria) {
        return client.getRow(new GetRowRequest(criteria)).getRow();
    }

    /** The newest integer of a column. */
    static long number(Row row, String column) {
        return row.getLatestColumn(column).getValue().asLong();
    }

    /** Name and value of each column, in the order of the answer: {@code a=1 b=x}. */
    static String columns(Row row) {
        return Stream.of(row.getColumns())
                .map(column -> column.getName() + "=" + column.getValue())
                .collect(Collectors.joining(" "));
    }

    static List<Column> versions(Row row, String column) {
        return row.getColumn(column);
    }

    static RangeRowQueryCriteria everything(String table, String... keyNames) {
        RangeRowQueryCriteria criteria = new RangeRowQueryCriteria(table);
        criteria.setInclusiveStartPrimaryKey(lowest(keyNames));
        criteria.setExclusiveEndPrimaryKey(highest(keyNames));
        criteria.setDirection(Direction.FORWARD);
        criteria.setMaxVersions(1);
        return criteria;
    }

    /** All rows of a range, page by page. */
    static List<Row> scan(SyncClient client, RangeRowQueryCriteria criteria) {
        List<Row> rows = new ArrayList<>();
        while (true) {
            GetRangeResponse page = client.getRange(new GetRangeRequest(criteria));
            rows.addAll(page.getRows());
            if (page.getNextStartPrimaryKey() == null) {
                return rows;
            }
            criteria.setInclusiveStartPrimaryKey(page.getNextStartPrimaryKey());
        }
    }

    // Failures.

    /** The call fails with exactly this. */
    static void fails(int status, String code, String message, Runnable call) {
        TableStoreException failure = assertThrows(TableStoreException.class, call::run);
        assertEquals(code + ": " + message, failure.getErrorCode() + ": " + failure.getMessage());
        assertEquals(status, failure.getHttpStatus());
        assertEquals(36, failure.getRequestId().length());
    }

    static void invalid(String message, Runnable call) {
        fails(400, "OTSParameterInvalid", message, call);
    }

    static void missing(Runnable call) {
        fails(404, "OTSObjectNotExist", "Requested table does not exist.", call);
    }

    static void conditionFails(Runnable call) {
        fails(403, "OTSConditionCheckFail", "Condition check failed.", call);
    }

    /** The call fails with this code, whatever it says. */
    static TableStoreException refused(String code, Runnable call) {
        TableStoreException failure = assertThrows(TableStoreException.class, call::run);
        assertEquals(code, failure.getErrorCode(), failure.getMessage());
        return failure;
    }

    // Waiting, and doing several things at once.

    static void waitFor(String what, BooleanSupplier found) {
        waitFor(() -> what, found);
    }

    static void waitFor(Supplier<String> what, BooleanSupplier found) {
        long end = System.nanoTime() + WAIT_SECONDS * 1_000_000_000;
        while (!found.getAsBoolean()) {
            if (System.nanoTime() > end) {
                fail("not within " + WAIT_SECONDS + " s: " + what.get());
            }
            try {
                Thread.sleep(20);
            } catch (InterruptedException interrupted) {
                throw new AssertionError(interrupted);
            }
        }
    }

    /** Something that a thread does. */
    interface Work {
        void run(int thread) throws Exception;
    }

    /** Runs the work on so many threads and hands out what went wrong on any. */
    static void concurrently(int threads, Work work) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try {
            List<Callable<Void>> calls = new ArrayList<>();
            for (int thread = 0; thread < threads; thread++) {
                int number = thread;
                calls.add(() -> {
                    work.run(number);
                    return null;
                });
            }
            for (Future<Void> done : pool.invokeAll(calls)) {
                done.get();
            }
        } finally {
            pool.shutdownNow();
        }
    }
}
