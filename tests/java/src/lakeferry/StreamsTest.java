package lakeferry;

import static lakeferry.Service.creation;
import static lakeferry.Service.key;
import static lakeferry.Service.meta;
import static lakeferry.Service.missing;
import static lakeferry.Service.newName;
import static lakeferry.Service.newTable;
import static lakeferry.Service.put;
import static lakeferry.Service.update;
import static lakeferry.Service.write;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.TableStoreException;
import com.alicloud.openservices.tablestore.model.Column;
import com.alicloud.openservices.tablestore.model.CreateTableRequest;
import com.alicloud.openservices.tablestore.model.DescribeStreamRequest;
import com.alicloud.openservices.tablestore.model.DescribeStreamResponse;
import com.alicloud.openservices.tablestore.model.GetShardIteratorRequest;
import com.alicloud.openservices.tablestore.model.GetShardIteratorResponse;
import com.alicloud.openservices.tablestore.model.GetStreamRecordRequest;
import com.alicloud.openservices.tablestore.model.GetStreamRecordResponse;
import com.alicloud.openservices.tablestore.model.ListStreamRequest;
import com.alicloud.openservices.tablestore.model.RecordColumn;
import com.alicloud.openservices.tablestore.model.RowDeleteChange;
import com.alicloud.openservices.tablestore.model.RowUpdateChange;
import com.alicloud.openservices.tablestore.model.Stream;
import com.alicloud.openservices.tablestore.model.StreamRecord;
import com.alicloud.openservices.tablestore.model.StreamSpecification;
import com.alicloud.openservices.tablestore.model.StreamStatus;
import com.alicloud.openservices.tablestore.model.TableOptions;
import com.alicloud.openservices.tablestore.model.UpdateTableRequest;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** Streams: what a table's changes look like to a reader of its shards. */
class StreamsTest {
    private static final SyncClient CLIENT = Service.client();

    @AfterAll
    static void shutDown() {
        CLIENT.shutdown();
    }

    private static String tableWithStream(String... originColumns) {
        String table = newName();
        CreateTableRequest request = creation(meta(table), new TableOptions(-1, 3));
        StreamSpecification stream = new StreamSpecification(true, 24);
        stream.addOriginColumnsToGet(originColumns);
        request.setStreamSpecification(stream);
        CLIENT.createTable(request);
        return table;
    }

    private static DescribeStreamResponse describe(String table) {
        List<Stream> streams = CLIENT.listStream(new ListStreamRequest(table)).getStreams();
        assertEquals(1, streams.size());
        assertEquals(table, streams.get(0).getTableName());
        return CLIENT.describeStream(new DescribeStreamRequest(streams.get(0).getStreamId()));
    }

    private static GetShardIteratorRequest firstShard(String table) {
        DescribeStreamResponse described = describe(table);
        assertEquals(1, described.getShards().size());
        return new GetShardIteratorRequest(described.getStreamId(), described.getShards().get(0).getShardId());
    }

    /** All records from an iterator on; checks what is promised of each page. */
    private static List<StreamRecord> drain(String iterator, int limit) {
        List<StreamRecord> records = new ArrayList<>();
        while (true) {
            GetStreamRecordRequest request = new GetStreamRecordRequest(iterator);
            request.setLimit(limit);
            GetStreamRecordResponse page = CLIENT.getStreamRecord(request);
            assertTrue(page.getRecords().size() <= limit);
            records.addAll(page.getRecords());
            assertNotNull(page.getNextShardIterator(), "an open shard has no end");
            if (page.getNextShardIterator().equals(iterator)) {
                assertTrue(page.getRecords().isEmpty(), "an iterator that read something has moved");
                return records;
            }
            iterator = page.getNextShardIterator();
        }
    }

    private static String told(StreamRecord record) {
        return record.getRecordType() + " " + record.getPrimaryKey().getPrimaryKeyColumn("id").getValue() + told(record.getColumns());
    }

    private static String told(List<RecordColumn> columns) {
        return columns.stream()
                .map(column -> " " + column.getColumn().getName()
                        + (column.getColumnType() == RecordColumn.ColumnType.PUT
                                ? "=" + column.getColumn().getValue() : "!" + column.getColumnType()))
                .collect(Collectors.joining());
    }

    @Test
    void eachRowOperationIsARecordInOrder() {
        String table = tableWithStream();
        DescribeStreamResponse described = describe(table);
        assertEquals(StreamStatus.ACTIVE, described.getStatus());
        assertEquals(24, described.getExpirationTime());
        assertEquals(table, described.getTableName());
        write(CLIENT, put(table, key("g", 1), "a", 1, "b", 2));
        long version = Service.read(CLIENT, table, key("g", 1)).getLatestColumn("a").getTimestamp();
        write(CLIENT, update(table, key("g", 1), "c", 3).deleteColumn("a", version).deleteColumns("b"));
        RowUpdateChange increment = update(table, key("g", 1));
        increment.increment(new Column("c", Service.integer(4)));
        write(CLIENT, increment);
        write(CLIENT, new RowDeleteChange(table, key("g", 1)));
        write(CLIENT, new RowDeleteChange(table, key("g", 2)));

        String iterator = CLIENT.getShardIterator(firstShard(table)).getShardIterator();
        List<StreamRecord> records = drain(iterator, 2);
        assertEquals(List.of("PUT 1 a=1 b=2", "UPDATE 1 a!DELETE_ONE_VERSION b!DELETE_ALL_VERSION c=3", "UPDATE 1 c=7",
                "DELETE 1", "DELETE 2"), records.stream().map(StreamsTest::told).collect(Collectors.toList()));
        assertEquals(version, records.get(0).getColumns().get(0).getColumn().getTimestamp());
        assertEquals(version, records.get(1).getColumns().get(0).getColumn().getTimestamp());
        for (int at = 1; at < records.size(); at++) {
            assertTrue(position(records.get(at - 1)).compareTo(position(records.get(at))) < 0);
        }
        assertEquals(records.size(), drain(iterator, 1000).size(), "an iterator can be read again");
    }

    private static String position(StreamRecord record) {
        return String.format("%010d %020d %010d", record.getSequenceInfo().getEpoch(),
                record.getSequenceInfo().getTimestamp(), record.getSequenceInfo().getRowIndex());
    }

    @Test
    void originColumnsAreTheValuesBefore() {
        String table = tableWithStream("a");
        write(CLIENT, put(table, key("g", 1), "a", 1, "b", 1));
        write(CLIENT, update(table, key("g", 1), "a", 2, "b", 2));
        write(CLIENT, new RowDeleteChange(table, key("g", 1)));
        List<StreamRecord> records = drain(CLIENT.getShardIterator(firstShard(table)).getShardIterator(), 100);
        assertEquals(List.of("", " a=1", " a=2"), records.stream()
                .map(record -> record.getOriginColumns() == null ? "" : told(record.getOriginColumns()))
                .collect(Collectors.toList()));
    }

    @Test
    void anIteratorStartsAtATime() throws InterruptedException {
        String table = tableWithStream();
        for (int at = 0; at < 20; at++) {
            write(CLIENT, put(table, key("g", at), "a", at));
            Thread.sleep(2);
        }
        GetShardIteratorRequest request = firstShard(table);
        List<StreamRecord> all = drain(CLIENT.getShardIterator(request).getShardIterator(), 100);
        assertEquals(20, all.size());
        // Microseconds: the time of a record finds this record first.
        request.setTimestamp(all.get(7).getSequenceInfo().getTimestamp());
        GetShardIteratorResponse found = CLIENT.getShardIterator(request);
        while (found.getNextToken() != null) {
            request.setToken(found.getNextToken());
            found = CLIENT.getShardIterator(request);
        }
        List<StreamRecord> later = drain(found.getShardIterator(), 100);
        assertEquals(told(all.get(7)), told(later.get(0)));
        assertEquals(13, later.size());
    }

    @Test
    void aStreamIsTurnedOnAndOff() {
        String table = newTable(CLIENT);
        assertTrue(CLIENT.listStream(new ListStreamRequest(table)).getStreams().isEmpty());
        UpdateTableRequest request = new UpdateTableRequest(table);
        request.setStreamSpecification(new StreamSpecification(true, 12));
        String stream = CLIENT.updateTable(request).getStreamDetails().getStreamId();
        assertEquals(stream, describe(table).getStreamId());
        assertTrue(CLIENT.listStream(new ListStreamRequest()).getStreams().stream()
                .anyMatch(listed -> listed.getStreamId().equals(stream)));
        request.setStreamSpecification(new StreamSpecification(false));
        CLIENT.updateTable(request);
        assertTrue(CLIENT.listStream(new ListStreamRequest(table)).getStreams().isEmpty());
    }

    @Test
    void whatIsNoStreamIsRefused() {
        String table = tableWithStream();
        missing(() -> CLIENT.listStream(new ListStreamRequest("nowhere")));
        refused(() -> CLIENT.describeStream(new DescribeStreamRequest("no stream")));
        refused(() -> CLIENT.getShardIterator(new GetShardIteratorRequest("no stream", "no shard")));
        refused(() -> CLIENT.getShardIterator(new GetShardIteratorRequest(describe(table).getStreamId(), "no shard")));
        refused(() -> CLIENT.getStreamRecord(new GetStreamRecordRequest("no iterator")));
    }

    /** Which of the two codes it is, no client asks. */
    private static void refused(Runnable call) {
        TableStoreException failure = assertThrows(TableStoreException.class, call::run);
        assertTrue(List.of("OTSParameterInvalid", "OTSObjectNotExist").contains(failure.getErrorCode()),
                failure.getErrorCode() + ": " + failure.getMessage());
    }
}
