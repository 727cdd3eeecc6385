package lakeferry;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.TableStoreException;
import com.alicloud.openservices.tablestore.model.CapacityUnit;
import com.alicloud.openservices.tablestore.model.ColumnValue;
import com.alicloud.openservices.tablestore.model.CreateTableRequest;
import com.alicloud.openservices.tablestore.model.PrimaryKey;
import com.alicloud.openservices.tablestore.model.PrimaryKeyBuilder;
import com.alicloud.openservices.tablestore.model.PrimaryKeyType;
import com.alicloud.openservices.tablestore.model.PrimaryKeyValue;
import com.alicloud.openservices.tablestore.model.PutRowRequest;
import com.alicloud.openservices.tablestore.model.ReservedThroughput;
import com.alicloud.openservices.tablestore.model.RowPutChange;
import com.alicloud.openservices.tablestore.model.TableMeta;
import com.alicloud.openservices.tablestore.model.TableOptions;
import com.alicloud.openservices.tablestore.model.delivery.CreateDeliveryTaskRequest;
import com.alicloud.openservices.tablestore.model.delivery.DataType;
import com.alicloud.openservices.tablestore.model.delivery.DeleteDeliveryTaskRequest;
import com.alicloud.openservices.tablestore.model.delivery.DeliveryErrorType;
import com.alicloud.openservices.tablestore.model.delivery.DeliveryTaskInfo;
import com.alicloud.openservices.tablestore.model.delivery.DeliveryTaskType;
import com.alicloud.openservices.tablestore.model.delivery.DescribeDeliveryTaskRequest;
import com.alicloud.openservices.tablestore.model.delivery.DescribeDeliveryTaskResponse;
import com.alicloud.openservices.tablestore.model.delivery.EventColumn;
import com.alicloud.openservices.tablestore.model.delivery.EventTimeFormat;
import com.alicloud.openservices.tablestore.model.delivery.ListDeliveryTaskRequest;
import com.alicloud.openservices.tablestore.model.delivery.OSSTaskConfig;
import com.alicloud.openservices.tablestore.model.delivery.ParquetSchema;
import com.alicloud.openservices.tablestore.model.delivery.TaskSyncPhase;
import com.alicloud.openservices.tablestore.model.delivery.TaskSyncStat;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * Delivery tasks as the official samples make them.
 *
 * <p>The first sample's task is made, described, listed, waited for and deleted on a local bucket. The second
 * one's goes to a real S3 endpoint behind a gate, which holds the store so that each phase can be looked at.
 */
class DeliveryTest {
    private static final String INSTANCE = "java-tests";
    private static final long WAIT_MILLIS = 60_000;

    private final String endpoint = System.getenv("LAKEFERRY_ENDPOINT");
    private final Store store = new Store(System.getenv("LAKEFERRY_S3"));
    private final SyncClient client = new SyncClient(endpoint, "dev", "dev", INSTANCE);

    @AfterEach
    void shutDown() {
        client.shutdown();
    }

    /** The sample in the SDK's own repository: task, bucket, endpoint, role, event time and columns. */
    @Test
    void theFirstSampleWorksAsItStands() {
        String table = "TaskInfo";
        String task = "taskTest_29";
        createTable(table, "TaskID", PrimaryKeyType.STRING, "SoftDelete", PrimaryKeyType.INTEGER);
        putRow(table, "TaskID", "SoftDelete", 1, "TaskInfo", "Wed, 01 Feb 2023 10:00:00 GMT");
        OSSTaskConfig config = new OSSTaskConfig();
        config.setOssPrefix("taskTest_02/year=$yyyy/month=$MM");
        config.setOssBucket("ots-delivery-hz");
        config.setOssEndpoint("oss-cn-hangzhou.aliyuncs.com");
        config.setOssStsRole("aliyunotsdeliveryrole");
        config.setEventTimeColumn(new EventColumn("TaskInfo", EventTimeFormat.RFC1123));
        config.addParquetSchema(new ParquetSchema("TaskID", "TaskID", DataType.UTF8));
        config.addParquetSchema(new ParquetSchema("SoftDelete", "SoftDelete", DataType.BOOL));
        config.addParquetSchema(new ParquetSchema("Config", "Config", DataType.UTF8));

        create(table, task, config);
        say("the sample's task is made");
        describedAsAsked(describe(table, task), config);
        List<DeliveryTaskInfo> listed = list(table);
        check(listed.size() == 1, "one task is listed");
        check(listed.get(0).getTableName().equals(table), "it names its table");
        check(listed.get(0).getTaskName().equals(task), "it has its name");
        check(listed.get(0).getTaskType() == DeliveryTaskType.BASE_INC, "it has its type");
        fails("OTSObjectAlreadyExist", () -> create(table, task, config));

        waitFor("phase INCR", () -> describe(table, task).getTaskSyncStat().getTaskSyncPhase() == TaskSyncPhase.INCR);
        check(describe(table, task).getTaskSyncStat().getErrorType() == DeliveryErrorType.OK, "nothing is wrong");
        delete(table, task);
        check(list(table).isEmpty(), "a deleted task is not listed");
        fails("OTSObjectNotExist", () -> describe(table, task));
        fails("OTSObjectNotExist", () -> delete(table, task));
        fails("OTSObjectNotExist", () -> list("nowhere"));
    }

    /** The sample of the documentation, over a store that is held in INIT and again in FULL. */
    @Test
    void phasesAreSeenInTheirOrder() throws Exception {
        String table = "sampleTable";
        String task = "sampledeliverytask";
        createTable(table, "PK1", PrimaryKeyType.STRING, "PK2", PrimaryKeyType.INTEGER);
        // Event times in three months: the full phase makes three objects at least.
        String[] times = {
            "Mon, 02 Jan 2023 15:04:05 GMT", "Thu, 02 Feb 2023 15:04:05 GMT", "Thu, 02 Mar 2023 15:04:05 GMT"
        };
        for (int row = 0; row < 30; row++) {
            putRow(table, "PK1", "PK2", row, "Col1", times[row % times.length]);
        }
        new Api(endpoint, INSTANCE).addBucket("datadeliverytest", store);
        OSSTaskConfig config = new OSSTaskConfig();
        config.setOssPrefix("sampledeliverytask/year=$yyyy/month=$MM");
        config.setOssBucket("datadeliverytest");
        config.setOssEndpoint(store.endpoint());
        config.setOssStsRole("acs:ram::17************45:role/aliyunserviceroleforotsdatadelivery");
        config.setEventTimeColumn(new EventColumn("Col1", EventTimeFormat.RFC1123));
        config.addParquetSchema(new ParquetSchema("PK1", "PK1", DataType.UTF8));
        config.addParquetSchema(new ParquetSchema("PK2", "PK2", DataType.BOOL));
        config.addParquetSchema(new ParquetSchema("Col1", "Col1", DataType.UTF8));

        // Every request is held: the task cannot try its destination.
        store.hold("/");
        create(table, task, config);
        Phases phases = new Phases();
        check(phases.look(describe(table, task)) == TaskSyncPhase.INIT, "a task whose store is held is in INIT");
        refused(() -> delete(table, task));
        check(list(table).size() == 1, "deletion in INIT is refused and changes nothing");

        // Only the data objects are held: the task goes on to FULL and stays there.
        store.hold("/sampledeliverytask/");
        waitFor("phase FULL", () -> phases.look(describe(table, task)) == TaskSyncPhase.FULL);
        waitFor("three objects under way", () -> {
            phases.look(describe(table, task));
            return store.held() >= times.length;
        });
        check(store.objects("sampledeliverytask/").isEmpty(), "nothing is listed while the store holds it");
        check(describe(table, task).getTaskSyncStat().getCurrentSyncPoint().getTime() == 0, "no sync point in FULL");
        say("INIT and FULL are seen with the store held");

        // All but one go through: this is not the end of FULL.
        store.release(times.length - 1);
        waitFor("two objects listed", () -> store.objects("sampledeliverytask/").size() == times.length - 1);
        for (int look = 0; look < 20; look++) {
            check(phases.look(describe(table, task)) == TaskSyncPhase.FULL, "FULL lasts until the last object");
        }
        store.open();
        waitFor("phase INCR", () -> phases.look(describe(table, task)) == TaskSyncPhase.INCR);
        Set<String> listed = store.objects("sampledeliverytask/");
        check(listed.size() >= times.length, "at INCR every BASE object can be listed");

        Date first = describe(table, task).getTaskSyncStat().getCurrentSyncPoint();
        check(first.getTime() > 0, "INCR shows a sync point");
        waitFor("a later sync point", () -> syncPoint(table, task, phases).after(first));
        check(store.objects("sampledeliverytask/").equals(listed), "no BASE object comes after INCR");
        say("INCR came after the last BASE object, and the sync point advances");

        putRow(table, "PK1", "PK2", 99, "Col1", times[0]);
        Date written = new Date();
        new Api(endpoint, INSTANCE).deliverNow(table, task);
        waitFor("the sync point past a new row", () -> syncPoint(table, task, phases).after(written));
        check(store.objects("sampledeliverytask/").size() > listed.size(), "the new row is in the lake by then");
        check(phases.seen.equals(List.of(TaskSyncPhase.INIT, TaskSyncPhase.FULL, TaskSyncPhase.INCR)), "phases");
        describedAsAsked(describe(table, task), config);
        delete(table, task);
        check(list(table).isEmpty(), "a deleted task is not listed");
    }

    private Date syncPoint(String table, String task, Phases phases) {
        DescribeDeliveryTaskResponse described = describe(table, task);
        phases.look(described);
        return described.getTaskSyncStat().getCurrentSyncPoint();
    }

    /** The phases of a task in the order in which they were seen; it never goes back. */
    private static final class Phases {
        final List<TaskSyncPhase> seen = new ArrayList<>();
        private long lastSyncPoint = 0;

        TaskSyncPhase look(DescribeDeliveryTaskResponse described) {
            TaskSyncStat state = described.getTaskSyncStat();
            TaskSyncPhase phase = state.getTaskSyncPhase();
            if (seen.isEmpty() || seen.get(seen.size() - 1) != phase) {
                check(!seen.contains(phase), "phase " + phase + " is not seen again after " + seen);
                seen.add(phase);
            }
            check(state.getCurrentSyncPoint().getTime() >= lastSyncPoint, "the sync point does not go back");
            lastSyncPoint = state.getCurrentSyncPoint().getTime();
            return phase;
        }
    }

    // Calls of the SDK.

    private void createTable(String table, String first, PrimaryKeyType firstType, String second, PrimaryKeyType secondType) {
        TableMeta meta = new TableMeta(table);
        meta.addPrimaryKeyColumn(first, firstType);
        meta.addPrimaryKeyColumn(second, secondType);
        CreateTableRequest request = new CreateTableRequest(meta, new TableOptions(-1, 1));
        request.setReservedThroughput(new ReservedThroughput(new CapacityUnit(0, 0)));
        client.createTable(request);
    }

    private void putRow(String table, String first, String second, int row, String timeColumn, String time) {
        PrimaryKey key = PrimaryKeyBuilder.createPrimaryKeyBuilder()
                .addPrimaryKeyColumn(first, PrimaryKeyValue.fromString("key" + row))
                .addPrimaryKeyColumn(second, PrimaryKeyValue.fromLong(row))
                .build();
        RowPutChange change = new RowPutChange(table, key);
        change.addColumn(timeColumn, ColumnValue.fromString(time));
        client.putRow(new PutRowRequest(change));
    }

    private void create(String table, String task, OSSTaskConfig config) {
        CreateDeliveryTaskRequest request = new CreateDeliveryTaskRequest();
        request.setTableName(table);
        request.setTaskName(task);
        request.setTaskConfig(config);
        request.setTaskType(DeliveryTaskType.BASE_INC);
        check(client.createDeliveryTask(request).getRequestId().length() == 36, "a request id");
    }

    private DescribeDeliveryTaskResponse describe(String table, String task) {
        return client.describeDeliveryTask(new DescribeDeliveryTaskRequest(table, task));
    }

    private List<DeliveryTaskInfo> list(String table) {
        return client.listDeliveryTask(new ListDeliveryTaskRequest(table)).getTaskInfos();
    }

    private void delete(String table, String task) {
        client.deleteDeliveryTask(new DeleteDeliveryTaskRequest(table, task));
    }

    // Checks.

    private static void describedAsAsked(DescribeDeliveryTaskResponse described, OSSTaskConfig asked) {
        OSSTaskConfig told = described.getTaskConfig();
        same(told.getOssPrefix(), asked.getOssPrefix());
        same(told.getOssBucket(), asked.getOssBucket());
        same(told.getOssEndpoint(), asked.getOssEndpoint());
        same(told.getOssStsRole(), asked.getOssStsRole());
        same(told.getEventTimeColumn().getColumnName(), asked.getEventTimeColumn().getColumnName());
        same(told.getEventTimeColumn().getEventTimeFormat(), asked.getEventTimeColumn().getEventTimeFormat());
        same(told.getParquetSchemaList().size(), asked.getParquetSchemaList().size());
        for (int at = 0; at < asked.getParquetSchemaList().size(); at++) {
            ParquetSchema toldColumn = told.getParquetSchemaList().get(at);
            ParquetSchema askedColumn = asked.getParquetSchemaList().get(at);
            same(toldColumn.getColumnName(), askedColumn.getColumnName());
            same(toldColumn.getOssColumnName(), askedColumn.getOssColumnName());
            same(toldColumn.getType(), askedColumn.getType());
            same(toldColumn.getEncode(), askedColumn.getEncode());
        }
        same(described.getTaskType(), DeliveryTaskType.BASE_INC);
        check(!described.isFinished(), "a BASE_INC task is never finished");
    }

    private static void fails(String code, Runnable call) {
        try {
            call.run();
        } catch (TableStoreException error) {
            same(error.getErrorCode(), code);
            return;
        }
        throw new AssertionError("expected " + code);
    }

    private static void refused(Runnable call) {
        try {
            call.run();
        } catch (TableStoreException error) {
            say("refused as it should be: " + error.getErrorCode() + " " + error.getMessage());
            check(error.getHttpStatus() >= 400 && error.getHttpStatus() < 500, "a refusal is the caller's matter");
            return;
        }
        throw new AssertionError("expected a refusal");
    }

    private static void waitFor(String what, Supplier<Boolean> found) {
        long end = System.nanoTime() + WAIT_MILLIS * 1_000_000;
        while (!found.get()) {
            check(System.nanoTime() < end, "within " + WAIT_MILLIS + " ms: " + what);
            pause();
        }
    }

    private static void pause() {
        try {
            Thread.sleep(20);
        } catch (InterruptedException interrupted) {
            throw new AssertionError(interrupted);
        }
    }

    private static void same(Object told, Object asked) {
        check(asked.equals(told), "described as asked: " + asked + ", not " + told);
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private static void say(String what) {
        System.out.println("    " + what);
    }
}
