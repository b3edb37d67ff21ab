package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// start connects watchers and clients, and returns when all of them are at work.
func start() []*connection {
	total := *clients
	if *operation == "kubernetes" {
		total += *nodes
	}
	filled := make(chan bool, total)
	var all []*connection
	switch *operation {
	case "watch":
		all = watch(*watchers, func(int) watched { return watched{[]byte("put/"), &arrived, &expired} })
		all = append(all, fleet(*clients, *connections, *rate, simple, filled)...)
	case "kubernetes":
		all = watch(*watchers+eventWatchers, watchCluster)
		all = append(all, fleet(*clients, *connections, *rate, newPods, filled)...)
		all = append(all, fleet(*nodes, 1, float64(*nodes)/(*heartbeat), newNode, filled)...)
	default:
		all = fleet(*clients, *connections, *rate, simple, filled)
	}
	for range total {
		<-filled
	}
	for _, c := range all {
		if c.pace.every > 0 {
			go c.pace.run(c)
		}
	}
	return all
}

// calls is the plan of making calls of one kind; `events` is how many each makes the watchers receive.
type calls struct {
	path    string
	message func(*client) []byte
	events  int
}

func (p *calls) next(a *client) bool {
	a.kind, a.path, a.message = *operation, p.path, p.message(a)
	return true
}

func (p *calls) answered(_ *client, status string) string {
	if status != "0" {
		return "status " + status
	}
	if p.events > 0 {
		expected.Add(int64(p.events))
	}
	return ""
}

func (p *calls) filling() bool { return false }

func simple(int, *connection) plan {
	switch *operation {
	case "put":
		return &calls{putPath, put, 0}
	case "overwrite":
		return &calls{putPath, func(a *client) []byte {
			return putRequest(fillKey(a.random.IntN(*keys)), value(), 0)
		}, 0}
	case "watch":
		return &calls{putPath, put, *watchers}
	case "get", "get-linear":
		serializable := *operation == "get"
		return &calls{rangePath, func(a *client) []byte {
			return rangeRequest{key: fillKey(a.random.IntN(*keys)), serializable: serializable}.marshal()
		}, 0}
	case "list", "count":
		message := rangeRequest{key: []byte("fill/"), end: []byte("fill0"), countOnly: *operation == "count"}.marshal()
		return &calls{rangePath, func(*client) []byte { return message }, 0}
	}
	log.Fatalf("unknown operation %q", *operation)
	return nil
}

// written numbers the keys that are put, over all connections; it begins at another number in each process, so that the
// keys are new to a server that has those of an earlier one.
var written atomic.Int64

func init() { written.Store(time.Now().UnixMilli() % 1e5 * 1e7) }

func put(*client) []byte {
	return putRequest(fmt.Appendf(nil, "put/%012d", written.Add(1)), value(), 0)
}

func fillKey(n int) []byte { return fmt.Appendf(nil, "fill/%08d", n) }

// noise is what values are cut from: a server that compresses gains nothing.
var noise = func() []byte {
	bytes, random := make([]byte, 4<<20), rand.New(rand.NewPCG(1, 2))
	for n := range bytes {
		bytes[n] = byte(random.Uint32())
	}
	return bytes
}()

func value() []byte { return noise[:*size] }

// filler writes the keys that the reads find.
type filler struct {
	begun, done int
	finished    chan bool
}

func (f *filler) next(a *client) bool {
	if f.begun == *keys {
		return false
	}
	a.kind, a.path, a.message = "fill", putPath, putRequest(fillKey(f.begun), value(), 0)
	f.begun++
	return true
}

func (f *filler) answered(_ *client, status string) string {
	if status != "0" {
		log.Fatalf("status %s", status)
	}
	if f.done++; f.done == *keys-*first {
		close(f.finished)
	}
	return ""
}

func (f *filler) filling() bool { return true }

// fill writes the keys from -first up to -keys.
func fill() {
	f := &filler{begun: *first, finished: make(chan bool)}
	fleet(min(*clients, *keys-*first), 1, 0, func(int, *connection) plan { return f }, nil)
	<-f.finished
	over.Store(true)
}
