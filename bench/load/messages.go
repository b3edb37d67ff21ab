package main

import "encoding/binary"

// The messages, by hand: field numbers of etcd's rpc.proto.

const (
	putPath       = "/etcdserverpb.KV/Put"
	rangePath     = "/etcdserverpb.KV/Range"
	txnPath       = "/etcdserverpb.KV/Txn"
	watchPath     = "/etcdserverpb.Watch/Watch"
	grantPath     = "/etcdserverpb.Lease/LeaseGrant"
	keepAlivePath = "/etcdserverpb.Lease/LeaseKeepAlive"
)

func putRequest(key, value []byte, lease int64) []byte {
	return appendNumber(appendBytes(appendBytes(nil, 1, key), 2, value), 3, lease)
}

type rangeRequest struct {
	key, end                []byte
	limit, revision         int64
	serializable, countOnly bool
}

func (r rangeRequest) marshal() []byte {
	message := appendBytes(nil, 1, r.key)
	if r.end != nil {
		message = appendBytes(message, 2, r.end)
	}
	message = appendNumber(appendNumber(message, 3, r.limit), 4, r.revision)
	return appendFlag(appendFlag(message, 7, r.serializable), 9, r.countOnly)
}

// guarded is a transaction as a kube-apiserver makes them: when the key is still at a revision (0: when it is absent),
// put it, or delete it when there is no put; otherwise get it.
func guarded(key []byte, revision int64, put []byte) []byte {
	compare := appendBytes(appendNumber(nil, 2, 2), 3, key) // MOD, EQUAL
	compare = binary.AppendUvarint(append(compare, 6<<3), uint64(revision))
	then := appendBytes(nil, 2, put)
	if put == nil {
		then = appendBytes(nil, 3, appendBytes(nil, 1, key))
	}
	message := appendBytes(appendBytes(nil, 1, compare), 2, then)
	return appendBytes(message, 3, appendBytes(nil, 1, rangeRequest{key: key}.marshal()))
}

// watchRequest asks for the events of a range from now on.
func watchRequest(key, end []byte) []byte {
	return appendBytes(nil, 1, appendBytes(appendBytes(nil, 1, key), 2, end))
}

func grantRequest(ttl int64) []byte    { return appendNumber(nil, 1, ttl) }
func keepAliveRequest(id int64) []byte { return appendNumber(nil, 1, id) }
func prefixEnd(prefix []byte) []byte {
	return append(prefix[:len(prefix)-1:len(prefix)-1], prefix[len(prefix)-1]+1)
}
func appendFlag(m []byte, field byte, set bool) []byte {
	if set {
		m = append(m, field<<3, 1)
	}
	return m
}

func appendNumber(message []byte, field byte, value int64) []byte {
	if value == 0 {
		return message
	}
	return binary.AppendUvarint(append(message, field<<3), uint64(value))
}

func appendBytes(message []byte, field byte, value []byte) []byte {
	message = append(message, field<<3|2)
	message = binary.AppendUvarint(message, uint64(len(value)))
	return append(message, value...)
}

// fields calls `each` with the fields of a message: a number, or bytes.
func fields(message []byte, each func(field int, number int64, data []byte)) {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		value, m := binary.Uvarint(message[n:])
		message = message[n+m:]
		if tag&7 == 2 {
			each(int(tag>>3), 0, message[:value])
			message = message[value:]
		} else {
			each(int(tag>>3), int64(value), nil)
		}
	}
}

// answer is what is read of the answers of the KV and Lease services: their numbers have different fields.
type answer struct {
	revision int64 // of the header
	numbers  [8]int64
	kvs      int
	key      []byte // of the last key-value
	modified int64
}

func parse(message []byte) (a answer) {
	fields(message, func(field int, number int64, data []byte) {
		switch {
		case field == 1:
			fields(data, func(field int, number int64, _ []byte) {
				if field == 3 {
					a.revision = number
				}
			})
		case field == 2 && data != nil:
			a.kvs++
			fields(data, func(field int, number int64, data []byte) {
				switch field {
				case 1:
					a.key = data
				case 3:
					a.modified = number
				}
			})
		case field < len(a.numbers):
			a.numbers[field] = number
		}
	})
	return a
}

// seen is what a WatchResponse holds.
type seen struct {
	created, canceled bool
	puts, deletes     int64
}

func parseWatch(message []byte) (s seen) {
	fields(message, func(field int, number int64, data []byte) {
		switch {
		case field == 3:
			s.created = number != 0
		case field == 4:
			s.canceled = number != 0
		case field == 11 && data[0] == 1<<3 && data[1] == 1: // the type comes first; PUT is left out
			s.deletes++
		case field == 11:
			s.puts++
		}
	})
	return s
}
