// Package support has what the tests share: clients of the server that the environment names, tables, keys, and
// how failures are looked at.
//
// Most tables have the primary key (group STRING, id INTEGER).
package support

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
)

// Instance is the tests' own; with `serve --dev` it is made when it is first named.
const Instance = "go-tests"

const waitAtMost = 90 * time.Second

// Endpoint is the server's address.
func Endpoint() string { return os.Getenv("LAKEFERRY_ENDPOINT") }

// Client makes a client that tries again as the SDK does by itself.
func Client() *tablestore.TableStoreClient {
	return tablestore.NewClient(Endpoint(), Instance, "dev", "dev")
}

// Impatient makes a client that hands out every failure at once.
func Impatient() *tablestore.TableStoreClient {
	config := tablestore.NewDefaultTableStoreConfig()
	config.RetryTimes = 0
	config.MaxRetryTime = 0
	return tablestore.NewClientWithConfig(Endpoint(), Instance, "dev", "dev", "", config)
}

// NewName gives a name that no test used before.
func NewName() string {
	random := make([]byte, 6)
	if _, err := rand.Read(random); err != nil {
		panic(err)
	}
	return "t_" + hex.EncodeToString(random)
}

// Creation asks for a table that keeps so many versions.
func Creation(name string, versions int) *tablestore.CreateTableRequest {
	meta := &tablestore.TableMeta{TableName: name}
	meta.AddPrimaryKeyColumn("group", tablestore.PrimaryKeyType_STRING)
	meta.AddPrimaryKeyColumn("id", tablestore.PrimaryKeyType_INTEGER)
	return &tablestore.CreateTableRequest{
		TableMeta:          meta,
		TableOption:        tablestore.NewTableOption(-1, versions),
		ReservedThroughput: &tablestore.ReservedThroughput{},
	}
}

// NewTable makes a table that keeps so many versions.
func NewTable(t *testing.T, client *tablestore.TableStoreClient, versions int) string {
	t.Helper()
	name := NewName()
	_, err := client.CreateTable(Creation(name, versions))
	Succeeds(t, err)
	return name
}

// Key is a whole primary key.
func Key(group string, id int64) *tablestore.PrimaryKey {
	key := new(tablestore.PrimaryKey)
	key.AddPrimaryKeyColumn("group", group)
	key.AddPrimaryKeyColumn("id", id)
	return key
}

// PutChange is a put of these columns, under no condition.
func PutChange(table string, key *tablestore.PrimaryKey, columns map[string]interface{}) *tablestore.PutRowChange {
	change := &tablestore.PutRowChange{TableName: table, PrimaryKey: key}
	for name, value := range columns {
		change.AddColumn(name, value)
	}
	change.SetCondition(tablestore.RowExistenceExpectation_IGNORE)
	return change
}

// Put writes a row.
func Put(t *testing.T, client *tablestore.TableStoreClient, table string, key *tablestore.PrimaryKey, columns map[string]interface{}) {
	t.Helper()
	_, err := client.PutRow(&tablestore.PutRowRequest{PutRowChange: PutChange(table, key, columns)})
	Succeeds(t, err)
}

// Get reads a row, the newest version of each column; nil if there is none.
func Get(t *testing.T, client *tablestore.TableStoreClient, table string, key *tablestore.PrimaryKey) map[string]interface{} {
	t.Helper()
	criteria := &tablestore.SingleRowQueryCriteria{TableName: table, PrimaryKey: key, MaxVersion: 1}
	response, err := client.GetRow(&tablestore.GetRowRequest{SingleRowQueryCriteria: criteria})
	Succeeds(t, err)
	if len(response.PrimaryKey.PrimaryKeys) == 0 {
		return nil
	}
	return Columns(response.Columns)
}

// Columns gives the first version of each column by its name.
func Columns(columns []*tablestore.AttributeColumn) map[string]interface{} {
	values := map[string]interface{}{}
	for _, column := range columns {
		if _, seen := values[column.ColumnName]; !seen {
			values[column.ColumnName] = column.Value
		}
	}
	return values
}

// Everything is the range of all rows of a table with these key columns.
func Everything(table string, keys ...string) *tablestore.RangeRowQueryCriteria {
	start, end := new(tablestore.PrimaryKey), new(tablestore.PrimaryKey)
	for _, name := range keys {
		start.AddPrimaryKeyColumnWithMinValue(name)
		end.AddPrimaryKeyColumnWithMaxValue(name)
	}
	return &tablestore.RangeRowQueryCriteria{
		TableName: table, StartPrimaryKey: start, EndPrimaryKey: end, MaxVersion: 1, Direction: tablestore.FORWARD,
	}
}

// Scan reads all rows of a range, page by page.
func Scan(t *testing.T, client *tablestore.TableStoreClient, criteria *tablestore.RangeRowQueryCriteria) []*tablestore.Row {
	t.Helper()
	var rows []*tablestore.Row
	for {
		page, err := client.GetRange(&tablestore.GetRangeRequest{RangeRowQueryCriteria: criteria})
		Succeeds(t, err)
		rows = append(rows, page.Rows...)
		if page.NextStartPrimaryKey == nil {
			return rows
		}
		criteria.StartPrimaryKey = page.NextStartPrimaryKey
	}
}

// ID is the id of a row.
func ID(key *tablestore.PrimaryKey) int64 { return key.PrimaryKeys[1].Value.(int64) }

// Succeeds ends the test if there is an error.
func Succeeds(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Fails checks that the error is exactly this one; an empty message stands for any.
func Fails(t *testing.T, err error, status int, code, message string) {
	t.Helper()
	failure, ok := err.(*tablestore.OtsError)
	if !ok {
		t.Fatalf("expected %s, got %v", code, err)
	}
	if failure.Code != code || (message != "" && failure.Message != message) || failure.HttpStatusCode != status {
		t.Fatalf("expected %d %s %q, got %d %v", status, code, message, failure.HttpStatusCode, failure)
	}
	if len(failure.RequestId) != 36 {
		t.Fatalf("no request id: %q", failure.RequestId)
	}
}

// WaitFor asks again and again until the answer is yes.
func WaitFor(t *testing.T, what func() string, found func() bool) {
	t.Helper()
	for end := time.Now().Add(waitAtMost); !found(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", waitAtMost, what())
		}
	}
}
