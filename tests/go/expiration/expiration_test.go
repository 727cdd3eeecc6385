// Package expiration steps the server's clock, so that records of changes are over time.
package expiration

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tunnel"

	. "lakeferry/tests/support"
)

const (
	hoursKept = 24
	// The server doubts a clock that steps for a minute, and looks for what it may let go every five seconds.
	stepped = 67 * time.Second
)

// ahead steps the server's clock. While it is ahead, nothing that is signed now is accepted.
func ahead(t *testing.T, hours int) {
	t.Helper()
	Succeeds(t, os.WriteFile(os.Getenv("LAKEFERRY_CLOCK_AHEAD"), []byte(fmt.Sprint(hours*3600)), 0o600))
	time.Sleep(100 * time.Millisecond)
}

func TestRecordsThatAreOverTimeAreGone(t *testing.T) {
	client := Impatient()
	name := NewName()
	request := Creation(name, 1)
	request.StreamSpec = &tablestore.StreamSpecification{EnableStream: true, ExpirationTime: hoursKept}
	_, err := client.CreateTable(request)
	Succeeds(t, err)
	tunnels := tunnel.NewTunnelClient(Endpoint(), Instance, "dev", "dev")
	_, err = tunnels.CreateTunnel(&tunnel.CreateTunnelRequest{TableName: name, TunnelName: "tunnel", Type: tunnel.TunnelTypeStream})
	Succeeds(t, err)
	expired := func() bool {
		described, err := tunnels.DescribeTunnel(&tunnel.DescribeTunnelRequest{TableName: name, TunnelName: "tunnel"})
		Succeeds(t, err)
		return described.Tunnel.Expired
	}

	streams, err := client.ListStream(&tablestore.ListStreamRequest{TableName: &name})
	Succeeds(t, err)
	stream := streams.Streams[0].Id
	described, err := client.DescribeStream(&tablestore.DescribeStreamRequest{StreamId: stream})
	Succeeds(t, err)
	shard := &tablestore.GetShardIteratorRequest{StreamId: stream, ShardId: described.Shards[0].SelfShard}
	iterator := func() *tablestore.ShardIterator {
		response, err := client.GetShardIterator(shard)
		Succeeds(t, err)
		return response.ShardIterator
	}
	read := func(from *tablestore.ShardIterator) (int, error) {
		page, err := client.GetStreamRecord(&tablestore.GetStreamRecordRequest{ShardIterator: from})
		if err != nil {
			return 0, err
		}
		return len(page.Records), nil
	}
	begin := iterator()
	for id := int64(1); id <= 3; id++ {
		Put(t, client, name, Key("g", id), map[string]interface{}{"n": id})
	}
	count, err := read(begin)
	Succeeds(t, err)
	if count != 3 || expired() {
		t.Fatalf("%d records, expired: %v", count, expired())
	}

	gone := func() bool {
		ahead(t, hoursKept+1)
		time.Sleep(stepped)
		ahead(t, 0)
		_, err = read(begin)
		return err != nil
	}
	WaitFor(t, func() string { return "old records are gone" }, gone)
	Fails(t, err, 404, "OTSTrimmedDataAccess", "Requested stream data is already trimmed or does not exist.")
	if !expired() {
		t.Fatal("a tunnel that is behind what is gone has not expired")
	}
	// What is written from now on is told to those who begin now.
	Put(t, client, name, Key("g", 4), map[string]interface{}{"n": int64(4)})
	count, err = read(iterator())
	Succeeds(t, err)
	if count != 1 {
		t.Fatalf("%d records", count)
	}
}
