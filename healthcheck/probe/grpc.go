package probe

import (
	"encoding/binary"
	"errors"
	"io"
	"net/url"
	"strconv"
	"strings"
)

var (
	errNotGRPC    = errors.New("the answer is not gRPC")
	errGRPCReply  = errors.New("malformed gRPC health reply")
	errGRPCPacked = errors.New("compressed gRPC health reply")
	errGRPCNone   = errors.New("no gRPC status")
)

// grpc asks the standard health service: grpc.health.v1.Health/Check.
func (t *attempt) grpc() Result {
	s, bad := t.exchange("POST", "/grpc.health.v1.Health/Check", [][2]string{
		{"content-type", "application/grpc"}, {"te", "trailers"}, {"user-agent", userAgent},
		{"grpc-timeout", strconv.FormatInt(min(max(t.limit.Milliseconds(), 1), 99999999), 10) + "m"},
	}, healthRequest(t.service))
	if bad != nil {
		return *bad
	}
	if s.status != 200 {
		return t.not(KindStatus, "status "+strconv.Itoa(s.status)+", want 200")
	}
	if !strings.HasPrefix(s.field("content-type"), "application/grpc") {
		return t.fail(exchanging, errNotGRPC)
	}
	body, err := io.ReadAll(io.LimitReader(s, maxGRPC+1))
	if err != nil {
		return t.fail(exchanging, err)
	}
	if len(body) > maxGRPC {
		return t.fail(exchanging, errGRPCReply)
	}
	trailer := s.trailer
	if trailer == nil {
		trailer = s.fields // a head without a body has the status itself
	}
	switch code := value(trailer, "grpc-status"); code {
	case "0":
	case "":
		return t.fail(exchanging, errGRPCNone)
	default:
		return t.not(KindStatus, "grpc status "+grpcCode(code)+grpcMessage(value(trailer, "grpc-message")))
	}
	status, err := healthReply(body)
	if err != nil {
		return t.fail(exchanging, err)
	}
	const serving = 1
	if status != serving {
		return t.not(KindStatus, "health "+healthStatus(status)+", want SERVING")
	}
	return t.ok("SERVING")
}

// healthRequest is a length-prefixed HealthCheckRequest: its field 1 is the name of the service, left out when empty.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service)))
		message = append(message, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// healthReply reads the status of a length-prefixed HealthCheckResponse: its field 1, 0 when that is left out. Other fields
// are skipped.
func healthReply(body []byte) (status uint64, err error) {
	const prefix = 5
	if len(body) < prefix || uint64(len(body)-prefix) != uint64(binary.BigEndian.Uint32(body[1:])) {
		return 0, errGRPCReply
	}
	if body[0] != 0 {
		return 0, errGRPCPacked // we named no coding that we take
	}
	message := body[prefix:]
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 || tag>>3 == 0 {
			return 0, errGRPCReply
		}
		message = message[n:]
		number, size, ok := fieldValue(message, tag&7)
		if !ok {
			return 0, errGRPCReply
		}
		message = message[size:]
		if tag == 1<<3 {
			status = number
		}
	}
	return status, nil
}

// fieldValue returns the number at the head of a message, when its wire type is one, and how long the value is.
func fieldValue(message []byte, wire uint64) (number uint64, size int, ok bool) {
	switch wire {
	case 0:
		number, size = binary.Uvarint(message)
		return number, size, size > 0
	case 1:
		size = 8
	case 2:
		length, n := binary.Uvarint(message)
		if n <= 0 || length > uint64(len(message)) {
			return 0, 0, false
		}
		size = n + int(length)
	case 5:
		size = 4
	default:
		return 0, 0, false
	}
	return 0, size, size <= len(message)
}

// healthStatus is the name of a HealthCheckResponse.ServingStatus.
func healthStatus(n uint64) string {
	switch n {
	case 0:
		return "UNKNOWN"
	case 1:
		return "SERVING"
	case 2:
		return "NOT_SERVING"
	case 3:
		return "SERVICE_UNKNOWN"
	}
	return strconv.FormatUint(n, 10)
}

// grpcCode names the codes that a health service answers with.
func grpcCode(code string) string {
	switch code {
	case "1":
		return "CANCELLED"
	case "2":
		return "UNKNOWN"
	case "4":
		return "DEADLINE_EXCEEDED"
	case "5":
		return "NOT_FOUND"
	case "7":
		return "PERMISSION_DENIED"
	case "8":
		return "RESOURCE_EXHAUSTED"
	case "12":
		return "UNIMPLEMENTED"
	case "13":
		return "INTERNAL"
	case "14":
		return "UNAVAILABLE"
	case "16":
		return "UNAUTHENTICATED"
	}
	return code
}

// grpcMessage is what the server adds, which is percent-encoded.
func grpcMessage(message string) string {
	if message == "" {
		return ""
	}
	if plain, err := url.PathUnescape(message); err == nil {
		message = plain
	}
	return ": " + message
}
