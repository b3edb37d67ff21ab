// Command etcd-load loads one etcd endpoint and prints what it measured as JSON.
//
// It speaks HTTP/2 frames itself, so that it costs less than the servers it measures: one goroutine per connection,
// header blocks encoded once, responses counted and, where it can be, not decoded. When it is warm it prints "ready"
// and waits for a line on stdin. It prints a result after -seconds, with -sample one after each of such times, and then
// stops, waits for what is still to arrive, and prints what did not.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	endpoint    = flag.String("endpoint", "127.0.0.1:2379", "host:port of the server")
	authority   = flag.String("ca", "", "certificate of the authority: TLS, to a server named localhost")
	operation   = flag.String("op", "put", "fill, put, overwrite, get, get-linear, list, count, watch or kubernetes")
	clients     = flag.Int("clients", 100, "requests in flight")
	connections = flag.Int("connections", 10, "connections to spread the clients over")
	keys        = flag.Int("keys", 10000, "keys of the key space")
	first       = flag.Int("first", 0, "number of the first key that fill writes")
	size        = flag.Int("size", 256, "bytes of a value")
	rate        = flag.Float64("rate", 0, "calls begun per second, over all clients; 0: each after the one before")
	watchers    = flag.Int("watchers", 100, "watch streams of watch and kubernetes")
	nodes       = flag.Int("nodes", 100, "nodes of kubernetes, each with a lease that is kept alive")
	heartbeat   = flag.Float64("heartbeat", 1, "seconds between two heartbeats of a node")
	ttl         = flag.Int64("ttl", 5, "seconds that the events of kubernetes live")
	seconds     = flag.Float64("seconds", 3, "how long to measure")
	sample      = flag.Float64("sample", 0, "print a result after each so many seconds; 0: at the end")
	warm        = flag.Float64("warm", 0.5, "how long to run before")
)

// stopping is set when no call may begin any more, over when connections may end.
var stopping, over atomic.Bool

// What the acknowledged writes make the watchers receive, and what of it arrived; the same of leases that end; calls
// that are due and wait for a client.
var expected, arrived, expiring, expired, late atomic.Int64

// drainSeconds is how long the last events may take.
const drainSeconds = 20

func main() {
	log.SetFlags(0)
	flag.Parse()
	if *operation == "fill" {
		fill()
		return
	}
	all := start()
	time.Sleep(duration(*warm))
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		log.Fatal(err)
	}
	every := *sample
	if every == 0 {
		every = *seconds
	}
	take(all)
	begun := time.Now()
	for at, before := begun, cpu(); time.Since(begun).Seconds() < *seconds-every/2; {
		time.Sleep(duration(every) - time.Since(at))
		now, used, taken := time.Now(), cpu(), take(all)
		fmt.Println("sample")
		show(taken.result(now.Sub(at).Seconds(), used-before))
		at, before = now, used
	}
	drain(all)
}

// drain stops, and prints what has not arrived.
func drain(all []*connection) {
	stopping.Store(true)
	deadline := time.Now().Add(duration(drainSeconds + float64(*ttl)))
	for time.Now().Before(deadline) && (!quiet(all) || arrived.Load() < expected.Load() || expired.Load() < expiring.Load()) {
		time.Sleep(10 * time.Millisecond)
	}
	over.Store(true)
	taken := take(all)
	show(struct {
		Missing int64            `json:"missing"` // events that did not arrive; below 0: too many did
		Expired int64            `json:"expired"` // keys whose lease ended, as often as they were watched
		Errors  map[string]int64 `json:"errors"`
	}{expected.Load() - arrived.Load() + expiring.Load() - expired.Load(), expired.Load(), taken.errors})
}

// quiet tells whether no call is in flight but those that stay open.
func quiet(all []*connection) bool {
	for _, c := range all {
		c.Lock()
		defer c.Unlock()
		for _, a := range c.calls {
			if a.each == nil {
				return false
			}
		}
	}
	return true
}

func show(result any) {
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
