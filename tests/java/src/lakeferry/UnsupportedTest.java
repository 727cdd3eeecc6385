package lakeferry;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.TableStoreException;
import com.alicloud.openservices.tablestore.model.search.DescribeSearchIndexRequest;
import com.alicloud.openservices.tablestore.model.search.ListSearchIndexRequest;
import com.alicloud.openservices.tablestore.model.sql.SQLQueryRequest;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** What is out of reach says so by name; what clients ask in passing answers that nothing is there. */
class UnsupportedTest {
    private static final SyncClient CLIENT = Service.client();

    @AfterAll
    static void shutDown() {
        CLIENT.shutdown();
    }

    @Test
    void sqlAndSearchAreRefusedByName() {
        String table = Service.newTable(CLIENT);
        refused("SQLQuery", () -> CLIENT.sqlQuery(new SQLQueryRequest("SELECT 1")));
        DescribeSearchIndexRequest request = new DescribeSearchIndexRequest();
        request.setTableName(table);
        request.setIndexName("index");
        refused("DescribeSearchIndex", () -> CLIENT.describeSearchIndex(request));
    }

    private static void refused(String operation, Runnable call) {
        TableStoreException failure = Service.refused("OTSUnsupportOperation", call);
        assertEquals(400, failure.getHttpStatus());
        assertTrue(failure.getMessage().contains(operation), failure.getMessage());
    }

    @Test
    void listsOfWhatIsNotThereAreEmpty() {
        ListSearchIndexRequest request = new ListSearchIndexRequest();
        request.setTableName(Service.newTable(CLIENT));
        assertTrue(CLIENT.listSearchIndex(request).getIndexInfos().isEmpty());
        assertTrue(CLIENT.asTimeseriesClient().listTimeseriesTable().getTimeseriesTableNames().isEmpty());
    }
}
