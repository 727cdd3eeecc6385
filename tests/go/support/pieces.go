package support

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-tablestore-go-sdk/tablestore/otsprotocol"
	"github.com/golang/protobuf/proto"
)

// NewTableInPieces makes a table with a stream, split at these values of its first key column. The SDK has the
// message for it but no call, so the message is signed and sent by hand.
func NewTableInPieces(t *testing.T, points ...string) string {
	t.Helper()
	name := NewName()
	var bounds [][]byte
	for _, point := range points {
		bound := binary.LittleEndian.AppendUint32([]byte{0x03}, uint32(len(point)))
		bounds = append(bounds, append(bound, point...))
	}
	Succeeds(t, CreateInPieces(name, bounds))
	return name
}

// CreateInPieces makes a table that is split at these lone values, as the protocol writes them.
func CreateInPieces(name string, points [][]byte) error {
	column := func(name string, kind otsprotocol.PrimaryKeyType) *otsprotocol.PrimaryKeySchema {
		return &otsprotocol.PrimaryKeySchema{Name: proto.String(name), Type: kind.Enum()}
	}
	request := &otsprotocol.CreateTableRequest{
		TableMeta: &otsprotocol.TableMeta{
			TableName: proto.String(name),
			PrimaryKey: []*otsprotocol.PrimaryKeySchema{
				column("group", otsprotocol.PrimaryKeyType_STRING), column("id", otsprotocol.PrimaryKeyType_INTEGER),
			},
		},
		ReservedThroughput: &otsprotocol.ReservedThroughput{
			CapacityUnit: &otsprotocol.CapacityUnit{Read: proto.Int32(0), Write: proto.Int32(0)},
		},
		TableOptions: &otsprotocol.TableOptions{TimeToLive: proto.Int32(-1), MaxVersions: proto.Int32(1)},
		StreamSpec:   &otsprotocol.StreamSpecification{EnableStream: proto.Bool(true), ExpirationTime: proto.Int32(24)},
	}
	begin := []byte{0x09}
	for _, end := range points {
		request.Partitions = append(request.Partitions, &otsprotocol.PartitionRange{Begin: begin, End: end})
		begin = end
	}
	request.Partitions = append(request.Partitions, &otsprotocol.PartitionRange{Begin: begin, End: []byte{0x0a}})
	body, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	return call("/CreateTable", body)
}

func call(path string, body []byte) error {
	digest := md5.Sum(body)
	headers := map[string]string{
		"x-ots-accesskeyid":  "dev",
		"x-ots-apiversion":   "2015-12-31",
		"x-ots-contentmd5":   base64.StdEncoding.EncodeToString(digest[:]),
		"x-ots-date":         time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"x-ots-instancename": Instance,
	}
	var lines []string
	for name, value := range headers {
		lines = append(lines, name+":"+value+"\n")
	}
	sort.Strings(lines)
	mac := hmac.New(sha1.New, []byte("dev"))
	mac.Write([]byte(path + "\nPOST\n\n" + strings.Join(lines, "")))
	request, err := http.NewRequest(http.MethodPost, Endpoint()+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("x-ots-signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		told, _ := io.ReadAll(response.Body)
		return fmt.Errorf("%s: %d %q", path, response.StatusCode, told)
	}
	return nil
}
