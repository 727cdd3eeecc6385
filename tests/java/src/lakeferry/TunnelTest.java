package lakeferry;

import static lakeferry.Service.creation;
import static lakeferry.Service.key;
import static lakeferry.Service.meta;
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

import com.alicloud.openservices.tablestore.ClientException;
import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.TunnelClient;
import com.alicloud.openservices.tablestore.TunnelClientInterface;
import com.alicloud.openservices.tablestore.model.BatchWriteRowRequest;
import com.alicloud.openservices.tablestore.model.CreateTableRequest;
import com.alicloud.openservices.tablestore.model.PrimaryKeyValue;
import com.alicloud.openservices.tablestore.model.RowDeleteChange;
import com.alicloud.openservices.tablestore.model.StreamRecord;
import com.alicloud.openservices.tablestore.model.StreamSpecification;
import com.alicloud.openservices.tablestore.model.TableOptions;
import com.alicloud.openservices.tablestore.model.tunnel.ChannelInfo;
import com.alicloud.openservices.tablestore.model.tunnel.ChannelStatus;
import com.alicloud.openservices.tablestore.model.tunnel.ChannelType;
import com.alicloud.openservices.tablestore.model.tunnel.CreateTunnelRequest;
import com.alicloud.openservices.tablestore.model.tunnel.DeleteTunnelRequest;
import com.alicloud.openservices.tablestore.model.tunnel.DescribeTunnelRequest;
import com.alicloud.openservices.tablestore.model.tunnel.DescribeTunnelResponse;
import com.alicloud.openservices.tablestore.model.tunnel.ListTunnelRequest;
import com.alicloud.openservices.tablestore.model.tunnel.TunnelStage;
import com.alicloud.openservices.tablestore.model.tunnel.TunnelType;
import com.alicloud.openservices.tablestore.model.tunnel.internal.CheckpointRequest;
import com.alicloud.openservices.tablestore.model.tunnel.internal.ConnectTunnelRequest;
import com.alicloud.openservices.tablestore.model.tunnel.internal.GetCheckpointRequest;
import com.alicloud.openservices.tablestore.model.tunnel.internal.HeartbeatRequest;
import com.alicloud.openservices.tablestore.model.tunnel.internal.ReadRecordsRequest;
import com.alicloud.openservices.tablestore.model.tunnel.internal.ShutdownTunnelRequest;
import com.alicloud.openservices.tablestore.tunnel.worker.IChannelProcessor;
import com.alicloud.openservices.tablestore.tunnel.worker.ProcessRecordsInput;
import com.alicloud.openservices.tablestore.tunnel.worker.TunnelClientConfig;
import com.alicloud.openservices.tablestore.tunnel.worker.TunnelWorker;
import com.alicloud.openservices.tablestore.tunnel.worker.TunnelWorkerConfig;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** The tunnel service under the SDK's own workers. */
class TunnelTest {
    private static final SyncClient CLIENT = Service.client();
    private static final TunnelClient TUNNELS = new TunnelClient(Service.ENDPOINT, "dev", "dev", Service.INSTANCE);
    private static final int PARTITIONS = 4;

    @AfterAll
    static void shutDown() {
        TUNNELS.shutdown();
        CLIENT.shutdown();
    }

    /** A table of four partitions, whose groups are {@code g0} to {@code g3}. */
    private static String partitionedTable() {
        String table = newName();
        CreateTableRequest request = creation(meta(table), new TableOptions(-1, 1));
        request.setStreamSpecification(new StreamSpecification(true, 24));
        Service.createInPieces(request, List.of(PrimaryKeyValue.fromString("g1"), PrimaryKeyValue.fromString("g2"),
                PrimaryKeyValue.fromString("g3")));
        return table;
    }

    private static String tunnel(String table, TunnelType type) {
        return TUNNELS.createTunnel(new CreateTunnelRequest(table, "tunnel", type)).getTunnelId();
    }

    private static DescribeTunnelResponse describe(String table) {
        return TUNNELS.describeTunnel(new DescribeTunnelRequest(table, "tunnel"));
    }

    private static void fill(String table, int from, int to) {
        for (int at = from; at < to; at++) {
            write(CLIENT, put(table, key("g" + at % PARTITIONS, at), "n", at));
        }
    }

    /** What workers were given: by id of the row, the values in their order. */
    private static final class Seen {
        final Map<Long, List<Long>> values = new ConcurrentHashMap<>();
        final Set<String> channels = ConcurrentHashMap.newKeySet();

        boolean hasAll(int from, int to) {
            for (long at = from; at < to; at++) {
                if (!values.containsKey(at)) {
                    return false;
                }
            }
            return true;
        }

        String missing(int from, int to) {
            List<Long> missing = new ArrayList<>();
            for (long at = from; at < to; at++) {
                if (!values.containsKey(at)) {
                    missing.add(at);
                }
            }
            return missing.size() + " rows are missing: " + missing.stream().limit(20).collect(Collectors.toList());
        }
    }

    /** A worker of the SDK, which can be cut off from the service as if its machine had died. */
    private static final class Worker implements IChannelProcessor {
        final Seen seen;
        private final TunnelWorkerConfig config = new TunnelWorkerConfig(this);
        private final TunnelWorker worker;
        private volatile boolean dead;

        Worker(String tunnel, Seen seen) {
            this.seen = seen;
            config.setHeartbeatIntervalInSec(5);
            config.setHeartbeatTimeoutInSec(10);
            config.setCheckpointIntervalInMillis(500);
            worker = new TunnelWorker(tunnel, connection(), config);
            try {
                worker.connectAndWorking();
            } catch (Exception failure) {
                throw new AssertionError(failure);
            }
        }

        private TunnelClientInterface connection() {
            return (TunnelClientInterface) Proxy.newProxyInstance(getClass().getClassLoader(),
                    new Class<?>[] {TunnelClientInterface.class}, (proxy, method, arguments) -> {
                        if (dead) {
                            throw new ClientException("this worker is cut off");
                        }
                        try {
                            return method.invoke(TUNNELS, arguments);
                        } catch (InvocationTargetException failure) {
                            throw failure.getCause();
                        }
                    });
        }

        @Override
        public void process(ProcessRecordsInput input) {
            if (dead) {
                throw new ClientException("this worker is cut off");
            }
            seen.channels.add(input.getChannelId());
            for (StreamRecord record : input.getRecords()) {
                long id = record.getPrimaryKey().getPrimaryKeyColumn("id").getValue().asLong();
                long value = record.getColumns().isEmpty()
                        ? -1 : record.getColumns().get(0).getColumn().getValue().asLong();
                seen.values.computeIfAbsent(id, unseen -> new CopyOnWriteArrayList<>()).add(value);
            }
        }

        @Override
        public void shutdown() {}

        /** Takes it away without a word to the service. */
        void die() {
            dead = true;
        }

        void close() {
            worker.shutdown();
            config.shutdown();
        }
    }

    private static List<ChannelInfo> openChannels(String table, ChannelType type) {
        return describe(table).getChannelInfos().stream()
                .filter(channel -> channel.getChannelType() == type)
                .filter(channel -> channel.getChannelStatus() == ChannelStatus.OPEN)
                .collect(Collectors.toList());
    }

    private static Set<String> holders(String table) {
        return openChannels(table, ChannelType.Stream).stream()
                .map(ChannelInfo::getClientId).collect(Collectors.toSet());
    }

    @Test
    void tunnelsAreMadeListedDescribedAndDeleted() {
        String table = partitionedTable();
        String tunnel = tunnel(table, TunnelType.BaseAndStream);
        refused("OTSTunnelExist", () -> tunnel(table, TunnelType.Stream));
        DescribeTunnelResponse described = describe(table);
        assertEquals(tunnel, described.getTunnelInfo().getTunnelId());
        assertEquals("tunnel", described.getTunnelInfo().getTunnelName());
        assertEquals(table, described.getTunnelInfo().getTableName());
        assertEquals(TunnelType.BaseAndStream, described.getTunnelInfo().getTunnelType());
        assertFalse(described.getTunnelInfo().isExpired());
        assertEquals(List.of(tunnel), TUNNELS.listTunnel(new ListTunnelRequest(table)).getTunnelInfos().stream()
                .map(info -> info.getTunnelId()).collect(Collectors.toList()));
        TUNNELS.deleteTunnel(new DeleteTunnelRequest(table, "tunnel"));
        assertTrue(TUNNELS.listTunnel(new ListTunnelRequest(table)).getTunnelInfos().isEmpty());
        refused("OTSParameterInvalid", () -> describe(table));
        refused("OTSParameterInvalid", () -> TUNNELS.deleteTunnel(new DeleteTunnelRequest(table, "tunnel")));
        refused("OTSParameterInvalid",
                () -> TUNNELS.connectTunnel(new ConnectTunnelRequest("no tunnel", new TunnelClientConfig())));
    }

    @Test
    void aClientThatIsNotConnectedIsRefused() {
        String table = partitionedTable();
        String tunnel = tunnel(table, TunnelType.Stream);
        refused("OTSResourceGone", () -> TUNNELS.heartbeat(new HeartbeatRequest(tunnel, "nobody", List.of())));
        refused("OTSResourceGone",
                () -> TUNNELS.readRecords(new ReadRecordsRequest(tunnel, "nobody", "no_channel", "finished")));
        refused("OTSResourceGone",
                () -> TUNNELS.getCheckpoint(new GetCheckpointRequest(tunnel, "nobody", "no_channel")));
        refused("OTSResourceGone",
                () -> TUNNELS.checkpoint(new CheckpointRequest(tunnel, "nobody", "no_channel", "finished", 1)));
        refused("OTSParameterInvalid",
                () -> TUNNELS.shutdownTunnel(new ShutdownTunnelRequest("no tunnel", "nobody")));
        refused("OTSObjectNotExist", () -> TUNNELS.listTunnel(new ListTunnelRequest("nowhere")));
    }

    @Test
    void aChannelThatNobodyHasCanBeLookedInto() {
        String table = partitionedTable();
        String tunnel = tunnel(table, TunnelType.Stream);
        write(CLIENT, put(table, key("g0", 1), "n", 1));
        int seen = 0;
        for (ChannelInfo channel : describe(table).getChannelInfos()) {
            assertEquals("", channel.getClientId());
            String from = TUNNELS.getCheckpoint(new GetCheckpointRequest(tunnel, "", channel.getChannelId()))
                    .getCheckpoint();
            ReadRecordsRequest page = new ReadRecordsRequest(tunnel, "", channel.getChannelId(), from);
            seen += TUNNELS.readRecords(page).getRecords().size();
        }
        assertEquals(1, seen);
    }

    @Test
    void baseDataIsReadOnceAndThenTheStreamIsAtItsBegin() {
        String table = newTable(CLIENT);
        int count = 6000;
        for (int from = 0; from < count; from += 200) {
            BatchWriteRowRequest batch = new BatchWriteRowRequest();
            for (int at = from; at < from + 200; at++) {
                batch.addRowChange(put(table, key("g0", at), "n", at));
            }
            assertTrue(CLIENT.batchWriteRow(batch).isAllSucceed());
        }
        Worker worker = new Worker(tunnel(table, TunnelType.BaseData), new Seen());
        try {
            waitFor(() -> worker.seen.missing(0, count), () -> worker.seen.hasAll(0, count));
            waitFor("stage ProcessStream",
                    () -> describe(table).getTunnelInfo().getStage() == TunnelStage.ProcessStream);
            worker.seen.values.forEach((id, values) -> assertEquals(List.of(id), values, "each row once"));
        } finally {
            worker.close();
        }
    }

    @Test
    void theStreamShowsChangesWithTheValuesBefore() {
        String table = newName();
        CreateTableRequest request = creation(meta(table), new TableOptions(-1, 1));
        StreamSpecification stream = new StreamSpecification(true, 24);
        stream.addOriginColumnsToGet("n");
        request.setStreamSpecification(stream);
        CLIENT.createTable(request);
        String tunnel = tunnel(table, TunnelType.Stream);
        List<String> told = new CopyOnWriteArrayList<>();
        TunnelWorkerConfig config = new TunnelWorkerConfig(new IChannelProcessor() {
            @Override
            public void process(ProcessRecordsInput input) {
                input.getRecords().forEach(record -> told.add(record.getRecordType() + " " + record.getColumns().size()
                        + " " + (record.getOriginColumns() == null ? 0 : record.getOriginColumns().size())));
            }

            @Override
            public void shutdown() {}
        });
        config.setHeartbeatIntervalInSec(5);
        TunnelWorker worker = new TunnelWorker(tunnel, TUNNELS, config);
        try {
            worker.connectAndWorking();
            write(CLIENT, put(table, key("g", 1), "n", 1));
            write(CLIENT, update(table, key("g", 1), "n", 2));
            write(CLIENT, new RowDeleteChange(table, key("g", 1)));
            waitFor(told::toString, () -> told.size() >= 3);
            assertEquals(List.of("PUT 1 0", "UPDATE 1 1", "DELETE 0 1"), told);
        } catch (Exception failure) {
            throw new AssertionError(failure);
        } finally {
            worker.shutdown();
            config.shutdown();
        }
    }

    /** Two workers share the channels; one dies, its channels move; it comes back, they are shared again. */
    @Test
    void workersShareTheChannelsAndTakeThemOver() {
        String table = partitionedTable();
        fill(table, 0, 400);
        String tunnel = tunnel(table, TunnelType.BaseAndStream);
        fill(table, 400, 500);
        Seen seen = new Seen();
        Worker first = new Worker(tunnel, seen);
        Worker second = new Worker(tunnel, seen);
        Worker third = null;
        try {
            waitFor(() -> seen.missing(0, 500), () -> seen.hasAll(0, 500));
            waitFor(() -> "four stream channels on two workers: " + describe(table).getChannelInfos(),
                    () -> openChannels(table, ChannelType.Stream).size() == PARTITIONS && holders(table).size() == 2);
            fill(table, 500, 700);
            waitFor(() -> seen.missing(0, 700), () -> seen.hasAll(0, 700));

            second.die();
            fill(table, 700, 900);
            waitFor(() -> seen.missing(0, 900), () -> seen.hasAll(0, 900));
            waitFor(() -> "all channels on the worker that is left: " + describe(table).getChannelInfos(),
                    () -> openChannels(table, ChannelType.Stream).size() == PARTITIONS && holders(table).size() == 1);

            third = new Worker(tunnel, seen);
            fill(table, 900, 1000);
            waitFor(() -> "the channels shared again: " + describe(table).getChannelInfos(),
                    () -> openChannels(table, ChannelType.Stream).size() == PARTITIONS && holders(table).size() == 2);
            fill(table, 1000, 1200);
            waitFor(() -> seen.missing(0, 1200), () -> seen.hasAll(0, 1200));
            seen.values.forEach((id, values) -> assertEquals(Set.of(id), Set.copyOf(values)));
        } finally {
            first.close();
            second.close();
            if (third != null) {
                third.close();
            }
        }
    }

    /** A worker that stops and starts again goes on where it was. */
    @Test
    void aWorkerThatRestartsMissesNothing() {
        String table = partitionedTable();
        String tunnel = tunnel(table, TunnelType.Stream);
        Seen seen = new Seen();
        for (int life = 0; life < 3; life++) {
            Worker worker = new Worker(tunnel, seen);
            int to = (life + 1) * 200;
            try {
                fill(table, to - 200, to - 100);
                waitFor(() -> seen.missing(0, to - 100), () -> seen.hasAll(0, to - 100));
            } finally {
                worker.close();
            }
            // Nobody reads these until the next life.
            fill(table, to - 100, to);
        }
        Worker last = new Worker(tunnel, seen);
        try {
            waitFor(() -> seen.missing(0, 600), () -> seen.hasAll(0, 600));
        } finally {
            last.close();
        }
    }
}
