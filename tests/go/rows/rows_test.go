// Package rows has the Go SDK write and read rows, alone, in batches and in ranges.
package rows

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	. "lakeferry/tests/support"
)

type columns = map[string]interface{}

func TestATableIsMadeListedChangedAndDeleted(t *testing.T) {
	client := Client()
	name := NewName()
	request := Creation(name, 3)
	request.ReservedThroughput = &tablestore.ReservedThroughput{Readcap: 1, Writecap: 2}
	_, err := client.CreateTable(request)
	Succeeds(t, err)
	described, err := client.DescribeTable(&tablestore.DescribeTableRequest{TableName: name})
	Succeeds(t, err)
	if len(described.TableMeta.SchemaEntry) != 2 || *described.TableMeta.SchemaEntry[1].Name != "id" {
		t.Fatalf("the key is %v", described.TableMeta.SchemaEntry)
	}
	if described.TableOption.MaxVersion != 3 || described.TableOption.TimeToAlive != -1 ||
		described.TableOption.DeviationCellVersionInSec != 86400 || !*described.TableOption.AllowUpdate {
		t.Fatalf("the options are %+v", described.TableOption)
	}
	if *described.ReservedThroughput != *request.ReservedThroughput || described.StreamDetails.EnableStream {
		t.Fatalf("described as %+v %+v", described.ReservedThroughput, described.StreamDetails)
	}
	updated, err := client.UpdateTable(&tablestore.UpdateTableRequest{TableName: name, TableOption: tablestore.NewTableOption(100000, 5)})
	Succeeds(t, err)
	if updated.TableOption.MaxVersion != 5 || updated.TableOption.TimeToAlive != 100000 {
		t.Fatalf("updated to %+v", updated.TableOption)
	}
	listed := func() bool {
		response, err := client.ListTable()
		Succeeds(t, err)
		for _, other := range response.TableNames {
			if other == name {
				return true
			}
		}
		return false
	}
	if !listed() {
		t.Fatal("it is not listed")
	}
	_, err = client.DeleteTable(&tablestore.DeleteTableRequest{TableName: name})
	Succeeds(t, err)
	if listed() {
		t.Fatal("it is still listed")
	}
	_, err = client.DescribeTable(&tablestore.DescribeTableRequest{TableName: name})
	Fails(t, err, 404, "OTSObjectNotExist", "Requested table does not exist.")
}

func TestDefinedColumnsAreAddedAndDeleted(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 1)
	addition := &tablestore.AddDefinedColumnRequest{TableName: table}
	addition.AddDefinedColumn("a", tablestore.DefinedColumn_STRING)
	addition.AddDefinedColumn("b", tablestore.DefinedColumn_BINARY)
	_, err := client.AddDefinedColumn(addition)
	Succeeds(t, err)
	_, err = client.DeleteDefinedColumn(&tablestore.DeleteDefinedColumnRequest{TableName: table, DefinedColumns: []string{"a"}})
	Succeeds(t, err)
	described, err := client.DescribeTable(&tablestore.DescribeTableRequest{TableName: table})
	Succeeds(t, err)
	if found := described.TableMeta.DefinedColumns; len(found) != 1 || found[0].Name != "b" || found[0].ColumnType != tablestore.DefinedColumn_BINARY {
		t.Fatalf("defined are %v", found)
	}
}

func TestARowIsPutUpdatedReadAndDeleted(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 3)
	key := Key("g", 1)
	whole := columns{"binary": []byte{0, 255}, "double": -0.25, "flag": true, "integer": int64(-7), "text": "ünï"}
	Put(t, client, table, key, whole)
	if found := Get(t, client, table, key); !reflect.DeepEqual(found, whole) {
		t.Fatalf("read back as %v", found)
	}
	change := &tablestore.UpdateRowChange{TableName: table, PrimaryKey: key}
	change.PutColumn("text", "new")
	change.DeleteColumn("binary")
	change.IncrementColumn("integer", 10)
	change.IncrementColumn("fresh", 1)
	change.AppendIncrementColumnToReturn("integer")
	change.SetReturnIncrementValue()
	change.SetCondition(tablestore.RowExistenceExpectation_EXPECT_EXIST)
	updated, err := client.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: change})
	Succeeds(t, err)
	if len(updated.Columns) != 1 || updated.Columns[0].Value != int64(3) {
		t.Fatalf("the increment returned %v", updated.Columns)
	}
	expected := columns{"double": -0.25, "flag": true, "fresh": int64(1), "integer": int64(3), "text": "new"}
	if found := Get(t, client, table, key); !reflect.DeepEqual(found, expected) {
		t.Fatalf("after the update %v", found)
	}
	deletion := &tablestore.DeleteRowChange{TableName: table, PrimaryKey: key}
	deletion.SetCondition(tablestore.RowExistenceExpectation_IGNORE)
	_, err = client.DeleteRow(&tablestore.DeleteRowRequest{DeleteRowChange: deletion})
	Succeeds(t, err)
	if found := Get(t, client, table, key); found != nil {
		t.Fatalf("still there: %v", found)
	}
}

func TestVersionsAreDeletedOneByOne(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 3)
	for value := int64(1); value <= 3; value++ {
		change := &tablestore.UpdateRowChange{TableName: table, PrimaryKey: Key("g", 1)}
		change.PutColumn("a", value)
		change.SetCondition(tablestore.RowExistenceExpectation_IGNORE)
		_, err := client.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: change})
		Succeeds(t, err)
	}
	read := func() []*tablestore.AttributeColumn {
		criteria := &tablestore.SingleRowQueryCriteria{TableName: table, PrimaryKey: Key("g", 1), MaxVersion: 10}
		response, err := client.GetRow(&tablestore.GetRowRequest{SingleRowQueryCriteria: criteria})
		Succeeds(t, err)
		return response.Columns
	}
	versions := read()
	if len(versions) != 3 || versions[0].Value != int64(3) || versions[2].Value != int64(1) {
		t.Fatalf("versions %v", versions)
	}
	change := &tablestore.UpdateRowChange{TableName: table, PrimaryKey: Key("g", 1)}
	change.DeleteColumnWithTimestamp("a", versions[1].Timestamp)
	change.SetCondition(tablestore.RowExistenceExpectation_IGNORE)
	_, err := client.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: change})
	Succeeds(t, err)
	if left := read(); len(left) != 2 || left[1].Value != int64(1) {
		t.Fatalf("left are %v", left)
	}
}

func TestTheServerPicksKeys(t *testing.T) {
	client := Client()
	name := NewName()
	meta := &tablestore.TableMeta{TableName: name}
	meta.AddPrimaryKeyColumn("group", tablestore.PrimaryKeyType_STRING)
	meta.AddPrimaryKeyColumnOption("id", tablestore.PrimaryKeyType_INTEGER, tablestore.AUTO_INCREMENT)
	_, err := client.CreateTable(&tablestore.CreateTableRequest{
		TableMeta: meta, TableOption: tablestore.NewTableOption(-1, 1), ReservedThroughput: &tablestore.ReservedThroughput{},
	})
	Succeeds(t, err)
	last := int64(0)
	for at := 0; at < 20; at++ {
		key := new(tablestore.PrimaryKey)
		key.AddPrimaryKeyColumn("group", "g")
		key.AddPrimaryKeyColumnWithAutoIncrement("id")
		change := PutChange(name, key, columns{"a": int64(at)})
		change.SetReturnPk()
		response, err := client.PutRow(&tablestore.PutRowRequest{PutRowChange: change})
		Succeeds(t, err)
		picked := ID(&response.PrimaryKey)
		if picked <= last {
			t.Fatalf("picked %d after %d", picked, last)
		}
		last = picked
	}
	_, err = client.PutRow(&tablestore.PutRowRequest{PutRowChange: PutChange(name, Key("g", last+1000), columns{"a": int64(1)})})
	Fails(t, err, 403, "OTSConditionCheckFail", "Condition check failed.")
}

func TestConditionsLookAtRowAndColumns(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 1)
	change := PutChange(table, Key("g", 1), columns{"a": int64(1)})
	change.SetCondition(tablestore.RowExistenceExpectation_EXPECT_EXIST)
	_, err := client.PutRow(&tablestore.PutRowRequest{PutRowChange: change})
	Fails(t, err, 403, "OTSConditionCheckFail", "Condition check failed.")
	Put(t, client, table, Key("g", 1), columns{"a": int64(1)})
	update := &tablestore.UpdateRowChange{TableName: table, PrimaryKey: Key("g", 1)}
	update.PutColumn("a", int64(2))
	update.SetCondition(tablestore.RowExistenceExpectation_EXPECT_EXIST)
	update.SetColumnCondition(tablestore.NewSingleColumnCondition("a", tablestore.CT_EQUAL, int64(7)))
	_, err = client.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: update})
	Fails(t, err, 403, "OTSConditionCheckFail", "Condition check failed.")
	both := tablestore.NewCompositeColumnCondition(tablestore.LO_AND)
	both.AddFilter(tablestore.NewSingleColumnCondition("a", tablestore.CT_GREATER_EQUAL, int64(1)))
	both.AddFilter(tablestore.NewSingleColumnCondition("a", tablestore.CT_LESS_THAN, int64(2)))
	update.SetColumnCondition(both)
	_, err = client.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: update})
	Succeeds(t, err)
	if found := Get(t, client, table, Key("g", 1)); found["a"] != int64(2) {
		t.Fatalf("left is %v", found)
	}
}

func TestBatchesAnswerRowByRow(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 1)
	write := new(tablestore.BatchWriteRowRequest)
	write.AddRowChange(PutChange(table, Key("g", 1), columns{"a": int64(1)}))
	absent := PutChange(table, Key("g", 2), columns{"a": int64(1)})
	absent.SetCondition(tablestore.RowExistenceExpectation_EXPECT_EXIST)
	write.AddRowChange(absent)
	written, err := client.BatchWriteRow(write)
	Succeeds(t, err)
	results := written.TableToRowsResult[table]
	if !results[0].IsSucceed || results[1].IsSucceed || results[1].Error.Code != "OTSConditionCheckFail" ||
		results[1].Error.Message != "Condition check failed." {
		t.Fatalf("answered %+v", results)
	}
	criteria := &tablestore.MultiRowQueryCriteria{TableName: table, MaxVersion: 1}
	for id := int64(0); id < 3; id++ {
		criteria.AddRow(Key("g", id))
	}
	read, err := client.BatchGetRow(&tablestore.BatchGetRowRequest{MultiRowQueryCriteria: []*tablestore.MultiRowQueryCriteria{criteria}})
	Succeeds(t, err)
	rows := read.TableToRowsResult[table]
	if len(rows) != 3 || len(rows[0].Columns) != 0 || rows[1].Columns[0].Value != int64(1) || len(rows[2].Columns) != 0 {
		t.Fatalf("read %+v", rows)
	}
	for id := int64(3); id < 102; id++ {
		criteria.AddRow(Key("g", id))
	}
	_, err = client.BatchGetRow(&tablestore.BatchGetRowRequest{MultiRowQueryCriteria: []*tablestore.MultiRowQueryCriteria{criteria}})
	Fails(t, err, 400, "OTSParameterInvalid", "Rows count exceeds the upper limit: 100.")
}

func TestARangeIsWalkedInPages(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 1)
	const count = 11000
	var group sync.WaitGroup
	failures := make(chan error, count)
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for from := worker * 200; from < count; from += 8 * 200 {
				request := new(tablestore.BatchWriteRowRequest)
				for id := from; id < from+200 && id < count; id++ {
					request.AddRowChange(PutChange(table, Key("g", int64(id)), columns{"a": int64(id), "b": int64(id % 3)}))
				}
				if _, err := client.BatchWriteRow(request); err != nil {
					failures <- err
				}
			}
		}(worker)
	}
	group.Wait()
	close(failures)
	for err := range failures {
		t.Fatal(err)
	}
	rows := Scan(t, client, Everything(table, "group", "id"))
	if len(rows) != count {
		t.Fatalf("%d rows", len(rows))
	}
	for at, row := range rows {
		if ID(row.PrimaryKey) != int64(at) {
			t.Fatalf("row %d is %d", at, ID(row.PrimaryKey))
		}
	}
	filtered := Everything(table, "group", "id")
	filtered.Filter = tablestore.NewSingleColumnCondition("b", tablestore.CT_EQUAL, int64(0))
	if rows := Scan(t, client, filtered); len(rows) != (count+2)/3 {
		t.Fatalf("%d rows pass", len(rows))
	}
	backward := Everything(table, "group", "id")
	backward.StartPrimaryKey, backward.EndPrimaryKey = Key("g", 10), Key("g", 7)
	backward.Direction = tablestore.BACKWARD
	if rows := Scan(t, client, backward); len(rows) != 3 || ID(rows[0].PrimaryKey) != 10 || ID(rows[2].PrimaryKey) != 8 {
		t.Fatalf("backward %v", rows)
	}
	backward.Direction = tablestore.FORWARD
	_, err := client.GetRange(&tablestore.GetRangeRequest{RangeRowQueryCriteria: backward})
	Fails(t, err, 400, "OTSParameterInvalid", "Begin key must less than end key in FORWARD")
}

func TestColumnsAreChosenByBoundsAndByCount(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 1)
	all := columns{}
	for at := 1; at <= 8; at++ {
		all[fmt.Sprintf("col%d", at)] = int64(at)
	}
	Put(t, client, table, Key("g", 1), all)
	criteria := &tablestore.SingleRowQueryCriteria{TableName: table, PrimaryKey: Key("g", 1), MaxVersion: 1}
	criteria.SetFilter(&tablestore.PaginationFilter{Offset: 1, Limit: 3})
	criteria.SetStartColumn("col3")
	response, err := client.GetRow(&tablestore.GetRowRequest{SingleRowQueryCriteria: criteria})
	Succeeds(t, err)
	if found := response.Columns; len(found) != 3 || found[0].ColumnName != "col4" {
		t.Fatalf("found %v", found)
	}
}

func TestPiecesThatDoNotFitTheKeyAreRefused(t *testing.T) {
	number := append([]byte{0x00}, make([]byte, 8)...)
	err := CreateInPieces(NewName(), [][]byte{number})
	if err == nil || !strings.Contains(err.Error(), "The value type of partition does not match with primary key.") {
		t.Fatalf("answered %v", err)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	stranger := tablestore.NewClient(Endpoint(), Instance, "dev", "wrong")
	_, err := stranger.ListTable()
	Fails(t, err, 403, "OTSAuthFailed", "Signature mismatch.")
}

func TestWhatCannotBeWrittenIsRefused(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 1)
	put := func(key *tablestore.PrimaryKey, column string) error {
		_, err := client.PutRow(&tablestore.PutRowRequest{PutRowChange: PutChange(table, key, columns{column: int64(1)})})
		return err
	}
	Fails(t, put(Key("g", 1), "#"), 400, "OTSParameterInvalid", "Invalid column name: '#'.")
	short := new(tablestore.PrimaryKey)
	short.AddPrimaryKeyColumn("group", "g")
	Fails(t, put(short, "a"), 400, "OTSInvalidPK", "Validate PK size fail. Input: 1, Meta: 2.")
	_, err := client.CreateTable(Creation(table, 1))
	Fails(t, err, 409, "OTSObjectAlreadyExist", "Requested table already exists.")
	_, err = client.SQLQuery(&tablestore.SQLQueryRequest{Query: "SELECT 1"})
	Fails(t, err, 400, "OTSUnsupportOperation", "")
}
