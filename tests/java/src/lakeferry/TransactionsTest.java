package lakeferry;

import static lakeferry.Service.columns;
import static lakeferry.Service.creation;
import static lakeferry.Service.fails;
import static lakeferry.Service.integer;
import static lakeferry.Service.invalid;
import static lakeferry.Service.key;
import static lakeferry.Service.meta;
import static lakeferry.Service.newName;
import static lakeferry.Service.newTable;
import static lakeferry.Service.number;
import static lakeferry.Service.put;
import static lakeferry.Service.read;
import static lakeferry.Service.reading;
import static lakeferry.Service.refused;
import static lakeferry.Service.update;
import static lakeferry.Service.write;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.TableStoreException;
import com.alicloud.openservices.tablestore.model.AbortTransactionRequest;
import com.alicloud.openservices.tablestore.model.BatchWriteRowRequest;
import com.alicloud.openservices.tablestore.model.BatchWriteRowResponse;
import com.alicloud.openservices.tablestore.model.Column;
import com.alicloud.openservices.tablestore.model.CommitTransactionRequest;
import com.alicloud.openservices.tablestore.model.Condition;
import com.alicloud.openservices.tablestore.model.CreateTableRequest;
import com.alicloud.openservices.tablestore.model.DeleteRowRequest;
import com.alicloud.openservices.tablestore.model.GetRangeRequest;
import com.alicloud.openservices.tablestore.model.GetRowRequest;
import com.alicloud.openservices.tablestore.model.PrimaryKey;
import com.alicloud.openservices.tablestore.model.PrimaryKeyValue;
import com.alicloud.openservices.tablestore.model.PutRowRequest;
import com.alicloud.openservices.tablestore.model.RangeRowQueryCriteria;
import com.alicloud.openservices.tablestore.model.Row;
import com.alicloud.openservices.tablestore.model.RowDeleteChange;
import com.alicloud.openservices.tablestore.model.RowExistenceExpectation;
import com.alicloud.openservices.tablestore.model.RowPutChange;
import com.alicloud.openservices.tablestore.model.RowUpdateChange;
import com.alicloud.openservices.tablestore.model.StartLocalTransactionRequest;
import com.alicloud.openservices.tablestore.model.TableOptions;
import com.alicloud.openservices.tablestore.model.UpdateRowRequest;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** Local transactions and atomic batches, alone and under concurrent writers. */
class TransactionsTest {
    private static final SyncClient CLIENT = Service.client();

    @AfterAll
    static void shutDown() {
        CLIENT.shutdown();
    }

    private static String start(SyncClient client, String table, String group) {
        PrimaryKey key = key("group", PrimaryKeyValue.fromString(group));
        return client.startLocalTransaction(new StartLocalTransactionRequest(table, key)).getTransactionID();
    }

    private static void put(String transaction, RowPutChange row) {
        PutRowRequest request = new PutRowRequest(row);
        request.setTransactionId(transaction);
        CLIENT.putRow(request);
    }

    private static Row readIn(String transaction, String table, PrimaryKey key) {
        GetRowRequest request = new GetRowRequest(reading(table, key));
        request.setTransactionId(transaction);
        return CLIENT.getRow(request).getRow();
    }

    private static void commit(String transaction) {
        CLIENT.commitTransaction(new CommitTransactionRequest(transaction));
    }

    private static void abort(String transaction) {
        CLIENT.abortTransaction(new AbortTransactionRequest(transaction));
    }

    private static RowPutChange row(String table, PrimaryKey key, Object... columns) {
        return Service.put(table, key, columns);
    }

    @Test
    void whatATransactionWritesIsItsOwnUntilItCommits() {
        String table = newTable(CLIENT);
        write(CLIENT, row(table, key("g", 1), "a", 1));
        write(CLIENT, row(table, key("g", 3), "a", 3));
        String transaction = start(CLIENT, table, "g");
        put(transaction, row(table, key("g", 1), "a", 10));
        UpdateRowRequest change = new UpdateRowRequest(update(table, key("g", 2), "a", 20));
        change.setTransactionId(transaction);
        CLIENT.updateRow(change);
        DeleteRowRequest deletion = new DeleteRowRequest(new RowDeleteChange(table, key("g", 3)));
        deletion.setTransactionId(transaction);
        CLIENT.deleteRow(deletion);
        BatchWriteRowRequest batch = new BatchWriteRowRequest();
        batch.addRowChange(row(table, key("g", 4), "a", 40));
        batch.setTransactionId(transaction);
        assertTrue(CLIENT.batchWriteRow(batch).isAllSucceed());

        assertEquals("a=10", columns(readIn(transaction, table, key("g", 1))));
        assertNull(readIn(transaction, table, key("g", 3)));
        RangeRowQueryCriteria range = new RangeRowQueryCriteria(table);
        range.setInclusiveStartPrimaryKey(Service.key(PrimaryKeyValue.fromString("g"), PrimaryKeyValue.INF_MIN));
        range.setExclusiveEndPrimaryKey(Service.key(PrimaryKeyValue.fromString("g"), PrimaryKeyValue.INF_MAX));
        range.setMaxVersions(1);
        GetRangeRequest inside = new GetRangeRequest(range);
        inside.setTransactionId(transaction);
        assertEquals("1:a=10 2:a=20 4:a=40", told(CLIENT.getRange(inside).getRows()));
        assertEquals("1:a=1 3:a=3", told(CLIENT.getRange(new GetRangeRequest(range)).getRows()), "from outside");
        commit(transaction);
        assertEquals("1:a=10 2:a=20 4:a=40", told(CLIENT.getRange(new GetRangeRequest(range)).getRows()));
    }

    private static String told(List<Row> rows) {
        StringBuilder told = new StringBuilder();
        for (Row row : rows) {
            told.append(told.length() == 0 ? "" : " ").append(Service.id(row)).append(':').append(columns(row));
        }
        return told.toString();
    }

    @Test
    void anAbortedTransactionLeavesNothing() {
        String table = newTable(CLIENT);
        write(CLIENT, row(table, key("g", 1), "a", 1));
        String transaction = start(CLIENT, table, "g");
        put(transaction, row(table, key("g", 1), "a", 2));
        put(transaction, row(table, key("g", 2), "a", 2));
        abort(transaction);
        assertEquals("a=1", columns(read(CLIENT, table, key("g", 1))));
        assertNull(read(CLIENT, table, key("g", 2)));
        write(CLIENT, row(table, key("g", 1), "a", 3));
        assertEquals("a=3", columns(read(CLIENT, table, key("g", 1))), "its lock is given back");
    }

    @Test
    void aConditionSeesWhatTheTransactionWrote() {
        String table = newTable(CLIENT);
        String transaction = start(CLIENT, table, "g");
        RowPutChange once = row(table, key("g", 1), "a", 1);
        once.setCondition(new Condition(RowExistenceExpectation.EXPECT_NOT_EXIST));
        put(transaction, once);
        Service.conditionFails(() -> put(transaction, once));
        commit(transaction);
        assertEquals("a=1", columns(read(CLIENT, table, key("g", 1))));
    }

    @Test
    void othersAreKeptOffTheLockedKey() {
        String table = newTable(CLIENT);
        String transaction = start(CLIENT, table, "g");
        refused("OTSRowOperationConflict", () -> start(CLIENT, table, "g"));
        refused("OTSRowOperationConflict", () -> write(CLIENT, row(table, key("g", 1), "a", 1)));
        write(CLIENT, row(table, key("other", 1), "a", 1));
        String other = start(CLIENT, table, "h");
        assertFalse(other.equals(transaction));
        abort(other);
        commit(transaction);
        write(CLIENT, row(table, key("g", 1), "a", 1));
    }

    @Test
    void aTransactionStaysInsideItsKey() {
        String table = newTable(CLIENT);
        String transaction = start(CLIENT, table, "g");
        refused("OTSDataOutOfRange", () -> put(transaction, row(table, key("other", 1), "a", 1)));
        abort(transaction);
        assertNull(read(CLIENT, table, key("other", 1)));
    }

    @Test
    void whatIsNoTransactionIsRefused() {
        String table = newTable(CLIENT);
        invalid("TransactionID is invalid.", () -> commit(""));
        invalid("TransactionID is invalid.", () -> put("no transaction", row(table, key("g", 1), "a", 1)));
        String finished = start(CLIENT, table, "g");
        commit(finished);
        fails(404, "OTSSessionNotExist", "Session not exist or may be timeout.", () -> commit(finished));
        fails(404, "OTSSessionNotExist", "Session not exist or may be timeout.", () -> abort(finished));
        invalid("StartLocalTransaction support only one primary key.", () -> CLIENT.startLocalTransaction(
                new StartLocalTransactionRequest(table, key("g", 1))));
        Service.missing(() -> start(CLIENT, "nowhere", "g"));

        String without = newName();
        CreateTableRequest request = creation(meta(without), new TableOptions(-1, 1));
        request.setLocalTxnEnabled(false);
        CLIENT.createTable(request);
        invalid("Try to call method using explicit transaction on explicit-transaction-disabled table.",
                () -> start(CLIENT, without, "g"));
    }

    /** Eight writers move amounts between the rows of one key; the sum that any reader sees never changes. */
    @Test
    void concurrentTransactionsLoseNothing() throws Exception {
        String table = newTable(CLIENT);
        int accounts = 5;
        for (int account = 0; account < accounts; account++) {
            write(CLIENT, row(table, key("bank", account), "n", 100));
        }
        AtomicInteger conflicts = new AtomicInteger();
        Service.concurrently(8, thread -> {
            Random random = new Random(thread);
            for (int done = 0; done < 20; ) {
                if (thread == 0) {
                    assertEquals(100 * accounts, sum(table), "what a reader sees");
                    done++;
                    continue;
                }
                if (transfer(table, random.nextInt(accounts), random.nextInt(accounts), random.nextInt(50))) {
                    done++;
                } else {
                    conflicts.incrementAndGet();
                    Thread.sleep(random.nextInt(5));
                }
            }
        });
        assertEquals(100 * accounts, sum(table));
    }

    private static long sum(String table) {
        return Service.scan(CLIENT, Service.everything(table, "group", "id")).stream()
                .mapToLong(row -> number(row, "n")).sum();
    }

    private static boolean transfer(String table, int from, int to, int amount) {
        String transaction;
        try {
            transaction = start(CLIENT, table, "bank");
        } catch (TableStoreException conflict) {
            assertEquals("OTSRowOperationConflict", conflict.getErrorCode());
            return false;
        }
        for (int account : new int[] {from, to}) {
            long before = number(readIn(transaction, table, key("bank", account)), "n");
            put(transaction, row(table, key("bank", account), "n", before + (account == from ? -amount : amount)));
            if (from == to) {
                put(transaction, row(table, key("bank", account), "n", before));
                break;
            }
        }
        commit(transaction);
        return true;
    }

    @Test
    void anAtomicBatchIsAppliedWholeOrNotAtAll() {
        String table = newTable(CLIENT);
        BatchWriteRowRequest good = new BatchWriteRowRequest();
        good.setAtomic(true);
        good.addRowChange(row(table, key("g", 1), "a", 1));
        good.addRowChange(update(table, key("g", 1), "b", 2));
        good.addRowChange(row(table, key("g", 2), "a", 2));
        assertTrue(CLIENT.batchWriteRow(good).isAllSucceed());
        assertEquals("a=1 b=2", columns(read(CLIENT, table, key("g", 1))));

        BatchWriteRowRequest failing = new BatchWriteRowRequest();
        failing.setAtomic(true);
        failing.addRowChange(row(table, key("g", 1), "a", 9));
        RowPutChange absent = row(table, key("g", 3), "a", 9);
        absent.setCondition(new Condition(RowExistenceExpectation.EXPECT_EXIST));
        failing.addRowChange(absent);
        assertFalse(CLIENT.batchWriteRow(failing).isAllSucceed());
        assertEquals("a=1 b=2", columns(read(CLIENT, table, key("g", 1))), "nothing of it was applied");

        BatchWriteRowRequest wide = new BatchWriteRowRequest();
        wide.setAtomic(true);
        wide.addRowChange(row(table, key("0", 1), "a", 1));
        wide.addRowChange(row(table, key("1", 1), "a", 1));
        List<BatchWriteRowResponse.RowResult> results = CLIENT.batchWriteRow(wide).getRowStatus(table);
        for (BatchWriteRowResponse.RowResult result : results) {
            assertEquals("OTSDataOutOfRange", result.getError().getCode());
            assertEquals("Data out of scope of atomic. Atomic PartKey:0. Data PartKey:1",
                    result.getError().getMessage());
        }
        assertNull(read(CLIENT, table, key("0", 1)));
    }

    /** Writers give all rows of a key one number, in one batch each; a reader never sees two numbers. */
    @Test
    void concurrentAtomicBatchesAreNotMixed() throws Exception {
        String table = newTable(CLIENT);
        Set<Long> seen = new HashSet<>();
        Service.concurrently(5, thread -> {
            for (int round = 0; round < 40; round++) {
                if (thread == 0) {
                    Set<Long> numbers = new HashSet<>();
                    Service.scan(CLIENT, Service.everything(table, "group", "id"))
                            .forEach(row -> numbers.add(number(row, "n")));
                    assertTrue(numbers.size() <= 1, "rows of several batches: " + numbers);
                    seen.addAll(numbers);
                    continue;
                }
                BatchWriteRowRequest batch = new BatchWriteRowRequest();
                batch.setAtomic(true);
                for (int at = 0; at < 10; at++) {
                    RowUpdateChange change = update(table, key("g", at), "n", thread * 1000 + round);
                    change.increment(new Column("count", integer(1)));
                    batch.addRowChange(change);
                }
                assertTrue(CLIENT.batchWriteRow(batch).isAllSucceed());
            }
        });
        for (Row row : Service.scan(CLIENT, Service.everything(table, "group", "id"))) {
            assertEquals(160, number(row, "count"));
        }
    }
}
