package main

import "encoding/binary"

// The requests, marshalled by hand: field numbers of etcd's rpc.proto.

const (
	putPath   = "/etcdserverpb.KV/Put"
	rangePath = "/etcdserverpb.KV/Range"
	watchPath = "/etcdserverpb.Watch/Watch"
)

func putRequest(key, value []byte) []byte {
	return appendBytes(appendBytes(nil, 1, key), 2, value)
}

type rangeRequest struct {
	key, end                []byte
	serializable, countOnly bool
}

func (r rangeRequest) marshal() []byte {
	message := appendBytes(nil, 1, r.key)
	if r.end != nil {
		message = appendBytes(message, 2, r.end)
	}
	if r.serializable {
		message = append(message, 7<<3, 1)
	}
	if r.countOnly {
		message = append(message, 9<<3, 1)
	}
	return message
}

// watchRequest asks for the events of a range from now on.
func watchRequest(key, end []byte) []byte {
	return appendBytes(nil, 1, appendBytes(appendBytes(nil, 1, key), 2, end))
}

// countEvents returns how many events (field 11) a WatchResponse holds.
func countEvents(message []byte) (events int64) {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		value, m := binary.Uvarint(message[n:])
		message = message[n+m:]
		if tag&7 == 2 {
			message = message[value:]
		}
		if tag == 11<<3|2 {
			events++
		}
	}
	return events
}

func appendBytes(message []byte, field byte, value []byte) []byte {
	message = append(message, field<<3|2)
	message = binary.AppendUvarint(message, uint64(len(value)))
	return append(message, value...)
}
