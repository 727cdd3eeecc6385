package lakeferry;

import static lakeferry.Service.fails;
import static lakeferry.Service.invalid;
import static lakeferry.Service.key;
import static lakeferry.Service.newTable;
import static lakeferry.Service.put;
import static lakeferry.Service.update;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.alicloud.openservices.tablestore.SyncClient;
import com.alicloud.openservices.tablestore.model.BulkExportRequest;
import com.alicloud.openservices.tablestore.model.BulkExportResponse;
import com.alicloud.openservices.tablestore.model.BulkImportRequest;
import com.alicloud.openservices.tablestore.model.BulkImportResponse;
import com.alicloud.openservices.tablestore.model.CapacityUnit;
import com.alicloud.openservices.tablestore.model.DataBlockType;
import com.alicloud.openservices.tablestore.model.PrimaryKeyValue;
import com.alicloud.openservices.tablestore.model.RowDeleteChange;
import com.alicloud.openservices.tablestore.model.SimpleRowMatrixBlockParser;
import com.alicloud.openservices.tablestore.model.SimpleRowMatrixBlockRowIterator;
import com.alicloud.openservices.tablestore.model.filter.SingleColumnValueFilter;
import com.alicloud.openservices.tablestore.model.tunnel.BulkExportQueryCriteria;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** BulkImport and BulkExport, both formats of the latter. */
class BulkTest {
    private static final SyncClient CLIENT = Service.client();

    @AfterAll
    static void shutDown() {
        CLIENT.shutdown();
    }

    @Test
    void rowsAreImportedAndAnsweredOneByOne() {
        String table = newTable(CLIENT);
        BulkImportRequest request = new BulkImportRequest(table);
        request.addRowChange(put(table, key("g", 1), "a", 1));
        request.addRowChange(update(table, key("g", 2), "a", 2));
        request.addRowChange(put(table, key("g", 3), "a", 3));
        request.addRowChange(new RowDeleteChange(table, key("g", 3)));
        request.addRowChange(put(table, Service.key(PrimaryKeyValue.fromString("g"), PrimaryKeyValue.fromString("x")), "a", 1));
        List<BulkImportResponse.RowResult> results = CLIENT.bulkImport(request).getRowResults();
        // Names and values: group 5+1, id 2+8, a 1+8.
        long[] sizes = {25, 25, 25, 16};
        for (int at = 0; at < sizes.length; at++) {
            assertTrue(results.get(at).isSucceed());
            assertEquals(new CapacityUnit(0, 0), results.get(at).getConsumedCapacity().getCapacityUnit());
            assertEquals(sizes[at],
                    results.get(at).getConsumedCapacity().getCapacityDataSize().getWriteCapacityDataSize());
        }
        assertFalse(results.get(4).isSucceed());
        assertEquals("OTSInvalidPK", results.get(4).getError().getCode());
        assertEquals("Validate PK type fail. Input: VT_STRING, Meta: VT_INTEGER.", results.get(4).getError().getMessage());
        assertEquals("a=1", Service.columns(Service.read(CLIENT, table, key("g", 1))));
        assertEquals("a=2", Service.columns(Service.read(CLIENT, table, key("g", 2))));
        assertNull(Service.read(CLIENT, table, key("g", 3)));
    }

    @Test
    void whatCannotBeImportedIsRefused() {
        String table = newTable(CLIENT);
        BulkImportRequest many = new BulkImportRequest(table);
        for (int at = 0; at < 201; at++) {
            many.addRowChange(put(table, key("g", at), "a", at));
        }
        invalid("Rows count exceeds the upper limit: 200.", () -> CLIENT.bulkImport(many));
        BulkImportRequest nowhere = new BulkImportRequest("nowhere");
        nowhere.addRowChange(put("nowhere", key("g", 1), "a", 1));
        BulkImportResponse.RowResult result = CLIENT.bulkImport(nowhere).getRowResults().get(0);
        assertEquals("OTSObjectNotExist Requested table does not exist.",
                result.getError().getCode() + " " + result.getError().getMessage());
    }

    @Test
    void aTableIsExportedAsAMatrixPageByPage() {
        String table = newTable(CLIENT);
        int count = 12_000;
        for (int from = 0; from < count; from += 200) {
            BulkImportRequest request = new BulkImportRequest(table);
            for (int at = from; at < from + 200; at++) {
                request.addRowChange(at % 2 == 0 ? put(table, key("g", at), "a", at, "b", "text " + at)
                        : put(table, key("g", at), "a", at));
            }
            assertTrue(CLIENT.bulkImport(request).isAllSucceed());
        }
        BulkExportQueryCriteria criteria = everything(table, DataBlockType.DBT_SIMPLE_ROW_MATRIX);
        criteria.addColumnsToGet(new String[] {"id", "a", "b"});
        SimpleRowMatrixBlockRowIterator rows = new SimpleRowMatrixBlockRowIterator(CLIENT, criteria, true);
        for (int at = 0; at < count; at++) {
            assertTrue(rows.hasNext(), "row " + at);
            rows.next();
            assertEquals(at, rows.getLong("id"));
            assertEquals(at, rows.getLong("a"));
            assertEquals(at % 2 == 1, rows.isNull("b"));
        }
        assertFalse(rows.hasNext());
    }

    @Test
    void bothFormatsAndTheFilterAreHonoured() {
        String table = newTable(CLIENT);
        for (int at = 0; at < 10; at++) {
            Service.write(CLIENT, put(table, key("g", at), "a", at));
        }
        BulkExportQueryCriteria matrix = everything(table, DataBlockType.DBT_SIMPLE_ROW_MATRIX);
        matrix.addColumnsToGet("a");
        matrix.setFilter(new SingleColumnValueFilter(
                "a", SingleColumnValueFilter.CompareOperator.GREATER_EQUAL, Service.integer(7)));
        BulkExportResponse response = CLIENT.bulkExport(new BulkExportRequest(matrix));
        assertEquals(DataBlockType.DBT_SIMPLE_ROW_MATRIX, response.getDataBlockType());
        assertNull(response.getNextStartPrimaryKey());
        SimpleRowMatrixBlockParser parser = new SimpleRowMatrixBlockParser(response.getRows());
        assertEquals(3, parser.getRowCount());
        assertEquals(0, parser.getPkCount(), "no key column was asked for");
        assertEquals(new CapacityUnit(0, 0), response.getConsumedCapacity().getCapacityUnit());

        BulkExportQueryCriteria plain = everything(table, DataBlockType.DBT_PLAIN_BUFFER);
        plain.addColumnsToGet("a");
        response = CLIENT.bulkExport(new BulkExportRequest(plain));
        assertEquals(DataBlockType.DBT_PLAIN_BUFFER, response.getDataBlockType());
        assertTrue(response.getRows().remaining() > 0);
    }

    @Test
    void whatCannotBeExportedIsRefused() {
        String table = newTable(CLIENT);
        BulkExportQueryCriteria criteria = everything(table, DataBlockType.DBT_SIMPLE_ROW_MATRIX);
        invalid("DBT_SIMPLE_ROW_MATRIX need at least one column to get.",
                () -> CLIENT.bulkExport(new BulkExportRequest(criteria)));
        criteria.addColumnsToGet("a");
        criteria.setInclusiveStartPrimaryKey(Service.lowest("group"));
        criteria.setExclusiveEndPrimaryKey(Service.highest("group"));
        fails(400, "OTSInvalidPK", "Validate PK size fail. Input: 1, Meta: 2.",
                () -> CLIENT.bulkExport(new BulkExportRequest(criteria)));
        criteria.setInclusiveStartPrimaryKey(Service.highest("group", "id"));
        criteria.setExclusiveEndPrimaryKey(Service.lowest("group", "id"));
        invalid("Begin key must less than end key in FORWARD",
                () -> CLIENT.bulkExport(new BulkExportRequest(criteria)));
    }

    private static BulkExportQueryCriteria everything(String table, DataBlockType format) {
        BulkExportQueryCriteria criteria = new BulkExportQueryCriteria(table);
        criteria.setInclusiveStartPrimaryKey(Service.lowest("group", "id"));
        criteria.setExclusiveEndPrimaryKey(Service.highest("group", "id"));
        criteria.setDataBlockType(format);
        return criteria;
    }
}
