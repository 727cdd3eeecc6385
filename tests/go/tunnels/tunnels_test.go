// Package tunnels has the Go SDK's tunnel workers share channels, die, and come back.
package tunnels

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore"
	"github.com/aliyun/aliyun-tablestore-go-sdk/tunnel"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	. "lakeferry/tests/support"
)

const channelCount = 4

func init() {
	// How long a daemon waits at most before it connects again.
	tunnel.DaemonRandomRetryMs = 200
}

// seen collects what workers are given.
type seen struct {
	mutex   sync.Mutex
	records map[int64]int
}

func newSeen() *seen { return &seen{records: map[int64]int{}} }

func (s *seen) take(records []*tunnel.Record) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, record := range records {
		s.records[record.PrimaryKey.PrimaryKeys[1].Value.(int64)]++
	}
}

func (s *seen) missing(from, to int) []int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	var missing []int
	for id := from; id < to; id++ {
		if s.records[int64(id)] == 0 {
			missing = append(missing, id)
		}
	}
	return missing
}

func (s *seen) waitFor(t *testing.T, from, to int) {
	t.Helper()
	WaitFor(t, func() string { return fmt.Sprintf("missing are %v", s.missing(from, to)) }, func() bool {
		return len(s.missing(from, to)) == 0
	})
}

// cutOff is a connection that can be taken away, as if the worker's machine had died.
type cutOff struct {
	dead int32
}

func (c *cutOff) RoundTrip(request *http.Request) (*http.Response, error) {
	if atomic.LoadInt32(&c.dead) != 0 {
		return nil, errors.New("this worker is cut off")
	}
	return http.DefaultTransport.RoundTrip(request)
}

// worker is a daemon of the SDK.
type worker struct {
	daemon     *tunnel.TunnelWorkerDaemon
	connection *cutOff
	ended      chan error
}

func startWorker(id string, seen *seen) *worker {
	connection := new(cutOff)
	client := tunnel.NewTunnelClientWithConfig(Endpoint(), Instance, "dev", "dev", &tunnel.TunnelConfig{
		MaxRetryElapsedTime: time.Second, RequestTimeout: 30 * time.Second, Transport: connection,
	})
	config := &tunnel.TunnelWorkerConfig{
		HeartbeatInterval: time.Second,
		HeartbeatTimeout:  5 * time.Second,
		LogWriteSyncer:    zapcore.AddSync(io.Discard),
		BackoffConfig:     &tunnel.ChannelBackoffConfig{MaxDelay: 200 * time.Millisecond},
		ProcessorFactory: &tunnel.SimpleProcessFactory{
			CpInterval: 500 * time.Millisecond,
			Logger:     zap.NewNop(),
			ProcessFunc: func(_ *tunnel.ChannelContext, records []*tunnel.Record) error {
				if atomic.LoadInt32(&connection.dead) != 0 {
					return errors.New("this worker is cut off")
				}
				seen.take(records)
				return nil
			},
		},
	}
	started := &worker{daemon: tunnel.NewTunnelDaemon(client, id, config), connection: connection, ended: make(chan error, 1)}
	go func() { started.ended <- started.daemon.Run() }()
	return started
}

func (w *worker) die() { atomic.StoreInt32(&w.connection.dead, 1) }

func (w *worker) close() {
	w.daemon.Close()
	select {
	case <-w.ended:
	case <-time.After(30 * time.Second):
	}
}

func metaClient() tunnel.TunnelClient {
	return tunnel.NewTunnelClient(Endpoint(), Instance, "dev", "dev")
}

func addTunnel(t *testing.T, table, name string, kind tunnel.TunnelType) string {
	t.Helper()
	response, err := metaClient().CreateTunnel(&tunnel.CreateTunnelRequest{TableName: table, TunnelName: name, Type: kind})
	Succeeds(t, err)
	return response.TunnelId
}

func fill(t *testing.T, client *tablestore.TableStoreClient, table string, from, to int) {
	t.Helper()
	for id := from; id < to; id++ {
		Put(t, client, table, Key(fmt.Sprintf("g%d", id%channelCount), int64(id)), map[string]interface{}{"n": int64(id)})
	}
}

// holders tells which clients hold open channels of the table's tunnel, and how many there are.
func holders(t *testing.T, table string) (map[string]bool, int) {
	t.Helper()
	clients, open := map[string]bool{}, 0
	described, err := metaClient().DescribeTunnel(&tunnel.DescribeTunnelRequest{TableName: table, TunnelName: "tunnel"})
	Succeeds(t, err)
	for _, channel := range described.Channels {
		if channel.ChannelType == "Stream" && channel.ChannelStatus == "OPEN" {
			clients[channel.ClientId] = true
			open++
		}
	}
	return clients, open
}

func TestTunnelsAreMadeListedDescribedAndDeleted(t *testing.T) {
	table := NewTableInPieces(t)
	id := addTunnel(t, table, "tunnel", tunnel.TunnelTypeStream)
	meta := metaClient()
	_, err := meta.CreateTunnel(&tunnel.CreateTunnelRequest{TableName: table, TunnelName: "tunnel", Type: tunnel.TunnelTypeStream})
	failsWith(t, err, tunnel.ErrCodeTunnelExist)
	listed, err := meta.ListTunnel(&tunnel.ListTunnelRequest{TableName: table})
	Succeeds(t, err)
	if len(listed.Tunnels) != 1 || listed.Tunnels[0].TunnelId != id || listed.Tunnels[0].TunnelType != "Stream" {
		t.Fatalf("listed %+v", listed.Tunnels)
	}
	_, err = meta.DeleteTunnel(&tunnel.DeleteTunnelRequest{TableName: table, TunnelName: "tunnel"})
	Succeeds(t, err)
	_, err = meta.DescribeTunnel(&tunnel.DescribeTunnelRequest{TableName: table, TunnelName: "tunnel"})
	failsWith(t, err, tunnel.ErrCodeParamInvalid)
}

func failsWith(t *testing.T, err error, code string) {
	t.Helper()
	failure, ok := err.(*tunnel.TunnelError)
	if !ok || failure.Code != code {
		t.Fatalf("expected %s, got %v", code, err)
	}
}

func TestBaseDataComesBeforeTheStreamAndNothingIsLost(t *testing.T) {
	client := Client()
	table := NewTableInPieces(t, "g1", "g2", "g3")
	fill(t, client, table, 0, 500)
	id := addTunnel(t, table, "tunnel", tunnel.TunnelTypeBaseStream)
	fill(t, client, table, 500, 600)
	seen := newSeen()
	worker := startWorker(id, seen)
	defer worker.close()
	fill(t, client, table, 600, 700)
	seen.waitFor(t, 0, 700)
	described, err := metaClient().DescribeTunnel(&tunnel.DescribeTunnelRequest{TableName: table, TunnelName: "tunnel"})
	Succeeds(t, err)
	if described.Tunnel.Stage != "ProcessStream" {
		t.Fatalf("the stage is %s", described.Tunnel.Stage)
	}
}

// Two workers share the channels; one dies, its channels move; a new one comes, they are shared again.
func TestWorkersShareTheChannelsAndTakeThemOver(t *testing.T) {
	client := Client()
	table := NewTableInPieces(t, "g1", "g2", "g3")
	id := addTunnel(t, table, "tunnel", tunnel.TunnelTypeStream)
	seen := newSeen()
	first, second := startWorker(id, seen), startWorker(id, seen)
	defer first.close()
	held := func(workers int) {
		t.Helper()
		var clients map[string]bool
		var open int
		WaitFor(t, func() string { return fmt.Sprintf("%d workers: %d open channels at %v", workers, open, clients) }, func() bool {
			clients, open = holders(t, table)
			return len(clients) == workers && open == channelCount
		})
	}
	fill(t, client, table, 0, 100)
	held(2)
	fill(t, client, table, 100, 200)
	seen.waitFor(t, 0, 200)

	second.die()
	fill(t, client, table, 200, 400)
	seen.waitFor(t, 0, 400)
	held(1)

	third := startWorker(id, seen)
	defer third.close()
	fill(t, client, table, 400, 500)
	held(2)
	fill(t, client, table, 500, 600)
	seen.waitFor(t, 0, 600)
	second.close()
}

// A worker that stops and starts again goes on where it was.
func TestAWorkerThatRestartsMissesNothing(t *testing.T) {
	client := Client()
	table := NewTableInPieces(t, "g1", "g2", "g3")
	id := addTunnel(t, table, "tunnel", tunnel.TunnelTypeStream)
	seen := newSeen()
	for life := 0; life < 3; life++ {
		worker := startWorker(id, seen)
		from := life * 200
		fill(t, client, table, from, from+100)
		seen.waitFor(t, 0, from+100)
		worker.close()
		// Nobody reads these until the next life.
		fill(t, client, table, from+100, from+200)
	}
	last := startWorker(id, seen)
	defer last.close()
	seen.waitFor(t, 0, 600)
}
