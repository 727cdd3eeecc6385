package rows

import (
	"sync"
	"testing"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"

	. "lakeferry/tests/support"
)

func TestALocalTransactionCommitsOrLeavesNothing(t *testing.T) {
	client := Impatient()
	table := NewTable(t, client, 1)
	part := new(tablestore.PrimaryKey)
	part.AddPrimaryKeyColumn("group", "g")
	start := func() *string {
		response, err := client.StartLocalTransaction(&tablestore.StartLocalTransactionRequest{TableName: table, PrimaryKey: part})
		Succeeds(t, err)
		return response.TransactionId
	}
	put := func(transaction *string, id, value int64) {
		change := PutChange(table, Key("g", id), columns{"a": value})
		change.TransactionId = transaction
		_, err := client.PutRow(&tablestore.PutRowRequest{PutRowChange: change})
		Succeeds(t, err)
	}
	first := start()
	put(first, 1, 1)
	if found := Get(t, client, table, Key("g", 1)); found != nil {
		t.Fatalf("seen before its commit: %v", found)
	}
	_, err := client.PutRow(&tablestore.PutRowRequest{PutRowChange: PutChange(table, Key("g", 2), columns{"a": int64(1)})})
	Fails(t, err, 409, "OTSRowOperationConflict", "")
	_, err = client.CommitTransaction(&tablestore.CommitTransactionRequest{TransactionId: first})
	Succeeds(t, err)
	second := start()
	put(second, 1, 2)
	_, err = client.AbortTransaction(&tablestore.AbortTransactionRequest{TransactionId: second})
	Succeeds(t, err)
	if found := Get(t, client, table, Key("g", 1)); found["a"] != int64(1) {
		t.Fatalf("left is %v", found)
	}
	_, err = client.CommitTransaction(&tablestore.CommitTransactionRequest{TransactionId: second})
	Fails(t, err, 404, "OTSSessionNotExist", "Session not exist or may be timeout.")
}

func TestAnAtomicBatchIsAppliedWholeOrNotAtAll(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 1)
	batch := &tablestore.BatchWriteRowRequest{IsAtomic: true}
	batch.AddRowChange(PutChange(table, Key("0", 1), columns{"a": int64(1)}))
	batch.AddRowChange(PutChange(table, Key("0", 2), columns{"a": int64(2)}))
	response, err := client.BatchWriteRow(batch)
	Succeeds(t, err)
	for _, row := range response.TableToRowsResult[table] {
		if !row.IsSucceed {
			t.Fatalf("failed: %v", row.Error)
		}
	}
	batch.AddRowChange(PutChange(table, Key("1", 1), columns{"a": int64(3)}))
	response, err = client.BatchWriteRow(batch)
	Succeeds(t, err)
	for _, row := range response.TableToRowsResult[table] {
		if row.Error.Code != "OTSDataOutOfRange" || row.Error.Message != "Data out of scope of atomic. Atomic PartKey:0. Data PartKey:1" {
			t.Fatalf("answered %+v", row)
		}
	}
	if found := Get(t, client, table, Key("1", 1)); found != nil {
		t.Fatalf("applied: %v", found)
	}
}

func TestConcurrentIncrementsAreAllCounted(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 1)
	var group sync.WaitGroup
	failures := make(chan error, 1000)
	for worker := 0; worker < 10; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for at := 0; at < 50; at++ {
				change := &tablestore.UpdateRowChange{TableName: table, PrimaryKey: Key("g", 1)}
				change.IncrementColumn("n", 1)
				change.SetCondition(tablestore.RowExistenceExpectation_IGNORE)
				if _, err := client.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: change}); err != nil {
					failures <- err
				}
			}
		}()
	}
	group.Wait()
	close(failures)
	for err := range failures {
		t.Fatal(err)
	}
	if found := Get(t, client, table, Key("g", 1)); found["n"] != int64(500) {
		t.Fatalf("counted %v", found)
	}
}

func TestAGlobalIndexFollowsItsTable(t *testing.T) {
	client := Client()
	name, index := NewName(), NewName()
	request := Creation(name, 1)
	request.TableMeta.AddDefinedColumn("city", tablestore.DefinedColumn_STRING)
	meta := &tablestore.IndexMeta{IndexName: index}
	meta.AddPrimaryKeyColumn("city")
	meta.SetAsGlobalIndex()
	request.AddIndexMeta(meta)
	_, err := client.CreateTable(request)
	Succeeds(t, err)
	Put(t, client, name, Key("g", 1), columns{"city": "Rome"})
	Put(t, client, name, Key("g", 2), columns{"city": "Oslo"})
	var cities []string
	WaitFor(t, func() string { return "the cities, not " + join(cities) }, func() bool {
		cities = nil
		for _, row := range Scan(t, client, Everything(index, "city", "group", "id")) {
			cities = append(cities, row.PrimaryKey.PrimaryKeys[0].Value.(string))
		}
		return join(cities) == "Oslo Rome"
	})
	_, err = client.DeleteIndex(&tablestore.DeleteIndexRequest{MainTableName: name, IndexName: index})
	Succeeds(t, err)
	described, err := client.DescribeTable(&tablestore.DescribeTableRequest{TableName: name})
	Succeeds(t, err)
	if len(described.IndexMetas) != 0 {
		t.Fatalf("still described: %v", described.IndexMetas)
	}
}

func join(words []string) string {
	joined := ""
	for at, word := range words {
		if at > 0 {
			joined += " "
		}
		joined += word
	}
	return joined
}

func TestAStreamShowsEachChange(t *testing.T) {
	client := Client()
	name := NewName()
	request := Creation(name, 1)
	request.StreamSpec = &tablestore.StreamSpecification{EnableStream: true, ExpirationTime: 24}
	_, err := client.CreateTable(request)
	Succeeds(t, err)
	Put(t, client, name, Key("g", 1), columns{"a": int64(1), "b": int64(2), "c": int64(3)})
	change := &tablestore.UpdateRowChange{TableName: name, PrimaryKey: Key("g", 1)}
	change.PutColumn("a", int64(10))
	change.DeleteColumn("b")
	change.SetCondition(tablestore.RowExistenceExpectation_IGNORE)
	_, err = client.UpdateRow(&tablestore.UpdateRowRequest{UpdateRowChange: change})
	Succeeds(t, err)
	deletion := &tablestore.DeleteRowChange{TableName: name, PrimaryKey: Key("g", 1)}
	deletion.SetCondition(tablestore.RowExistenceExpectation_IGNORE)
	_, err = client.DeleteRow(&tablestore.DeleteRowRequest{DeleteRowChange: deletion})
	Succeeds(t, err)

	streams, err := client.ListStream(&tablestore.ListStreamRequest{TableName: &name})
	Succeeds(t, err)
	if len(streams.Streams) != 1 {
		t.Fatalf("%d streams", len(streams.Streams))
	}
	described, err := client.DescribeStream(&tablestore.DescribeStreamRequest{StreamId: streams.Streams[0].Id})
	Succeeds(t, err)
	if described.Status != tablestore.SS_Active || len(described.Shards) != 1 || described.ExpirationTime != 24 {
		t.Fatalf("described as %+v", described)
	}
	shard, err := client.GetShardIterator(&tablestore.GetShardIteratorRequest{StreamId: streams.Streams[0].Id, ShardId: described.Shards[0].SelfShard})
	Succeeds(t, err)
	var records []*tablestore.StreamRecord
	for iterator := shard.ShardIterator; ; {
		page, err := client.GetStreamRecord(&tablestore.GetStreamRecordRequest{ShardIterator: iterator})
		Succeeds(t, err)
		records = append(records, page.Records...)
		if page.NextShardIterator == nil || *page.NextShardIterator == *iterator {
			break
		}
		iterator = page.NextShardIterator
	}
	if len(records) != 3 {
		t.Fatalf("%d records: %v", len(records), records)
	}
	if records[0].Type != tablestore.AT_Put || records[1].Type != tablestore.AT_Update || records[2].Type != tablestore.AT_Delete {
		t.Fatalf("records %v", records)
	}
	columns := records[1].Columns
	if len(columns) != 2 || *columns[0].Name != "a" || columns[0].Type != tablestore.RCT_Put || columns[0].Timestamp == nil ||
		columns[1].Type != tablestore.RCT_DeleteAllVersions || columns[1].Value != nil || columns[1].Timestamp != nil {
		t.Fatalf("updated %v", columns)
	}
	if records[0].Info.Timestamp > records[2].Info.Timestamp {
		t.Fatalf("out of order: %v", records)
	}
}

func TestDeliveryTasksAreMadeDescribedAndDeleted(t *testing.T) {
	client := Client()
	table := NewTable(t, client, 1)
	task := &tablestore.CreateDeliveryTaskRequest{
		TableName: table, TaskName: "task1", TaskType: tablestore.BaseIncTask,
		TaskConfig: &tablestore.OSSTaskConfig{
			OssPrefix: "go/year=$yyyy/month=$MM", OssBucket: "go-tests", OssEndpoint: "oss-cn-hangzhou.aliyuncs.com",
			OssRoleName: "role", Schema: []*tablestore.TaskSchema{{ColumnName: "group", OssColumnName: "group", Type: tablestore.ParquetUtf8}},
		},
	}
	_, err := client.CreateDeliveryTask(task)
	Succeeds(t, err)
	_, err = client.CreateDeliveryTask(task)
	Fails(t, err, 409, "OTSObjectAlreadyExist", "")
	WaitFor(t, func() string { return "phase INCR" }, func() bool {
		described, err := client.DescribeDeliveryTask(&tablestore.DescribeDeliveryTaskRequest{TableName: table, TaskName: "task1"})
		Succeeds(t, err)
		return described.TaskSyncStat.TaskSyncPhase == tablestore.TaskIncStat
	})
	_, err = client.DeleteDeliveryTask(&tablestore.DeleteDeliveryTaskRequest{TableName: table, TaskName: "task1"})
	Succeeds(t, err)
	listed, err := client.ListDeliveryTask(&tablestore.ListDeliveryTaskRequest{TableName: table})
	Succeeds(t, err)
	if len(listed.Tasks) != 0 {
		t.Fatalf("still listed: %v", listed.Tasks)
	}
}
