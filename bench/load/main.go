// Command etcd-load loads one etcd endpoint and prints what it measured as JSON.
//
// It speaks HTTP/2 frames itself, so that it costs less than the servers it measures: one goroutine per connection,
// header blocks encoded once, responses counted and not decoded. When it is warm it prints "ready", waits for a line
// on stdin, runs for -seconds, and prints the result.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	endpoint    = flag.String("endpoint", "127.0.0.1:2379", "host:port of the server, plain text")
	operation   = flag.String("op", "put", "fill, put, get, get-linear, list, count or watch")
	clients     = flag.Int("clients", 100, "requests in flight")
	connections = flag.Int("connections", 10, "connections to spread the clients over")
	keys        = flag.Int("keys", 10000, "keys of the key space")
	size        = flag.Int("size", 256, "bytes of a value")
	watchers    = flag.Int("watchers", 100, "watch streams of the operation watch")
	seconds     = flag.Float64("seconds", 3, "how long to measure")
	warm        = flag.Float64("warm", 0.5, "how long to run before")
)

// Result is what is printed. Times are microseconds.
type Result struct {
	Operations int64   `json:"operations"`
	Seconds    float64 `json:"seconds"`
	Bytes      int64   `json:"bytes"`
	LoadCPU    float64 `json:"load_cpu_seconds"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
}

// measuring is set while operations count.
var measuring, stopped atomic.Bool

func main() {
	flag.Parse()
	if *operation == "fill" {
		fill()
		return
	}
	var all []*connection
	var done sync.WaitGroup
	for n := range min(*connections, *clients) {
		slots := *clients / *connections
		if n < *clients%*connections {
			slots++
		}
		path, message := requests()
		all = append(all, dial(*endpoint, path, message, slots))
	}
	if *operation == "watch" {
		all = append(all, watching()...)
	}
	for _, c := range all {
		done.Go(c.run)
	}
	time.Sleep(duration(*warm))
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		log.Fatal(err)
	}
	before, start := cpu(), time.Now()
	measuring.Store(true)
	time.Sleep(duration(*seconds))
	measuring.Store(false)
	result := Result{Seconds: time.Since(start).Seconds(), LoadCPU: cpu() - before}
	stopped.Store(true)
	for _, c := range all {
		c.net.SetReadDeadline(time.Now())
	}
	done.Wait()
	report(result, all)
}

func report(result Result, all []*connection) {
	var latencies []time.Duration
	for _, c := range all {
		if *operation == "watch" {
			result.Operations += c.events
		} else {
			result.Operations += int64(len(c.latencies))
		}
		result.Bytes += c.bytes
		latencies = append(latencies, c.latencies...)
	}
	if len(latencies) > 0 {
		slices.Sort(latencies)
		result.P50 = float64(latencies[len(latencies)/2]) / 1e3
		result.P99 = float64(latencies[len(latencies)*99/100]) / 1e3
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		log.Fatal(err)
	}
}

// requests returns the path of the operation and a function that makes its next message.
func requests() (string, func() []byte) {
	random := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, *size)
	for i := range value {
		value[i] = byte(random.Uint32())
	}
	switch *operation {
	case "put", "watch":
		return putPath, func() []byte { return putRequest(putKey(next.Add(1)), value) }
	case "get", "get-linear":
		serializable := *operation == "get"
		return rangePath, func() []byte {
			return rangeRequest{key: fillKey(random.IntN(*keys)), serializable: serializable}.marshal()
		}
	case "list", "count":
		message := rangeRequest{key: []byte("fill/"), end: []byte("fill0"), countOnly: *operation == "count"}.marshal()
		return rangePath, func() []byte { return message }
	}
	log.Fatalf("unknown operation %q", *operation)
	return "", nil
}

// next numbers the keys that are put, over all connections.
var next atomic.Int64

func putKey(n int64) []byte { return fmt.Appendf(nil, "put/%012d", n) }
func fillKey(n int) []byte  { return fmt.Appendf(nil, "fill/%08d", n) }

// fill writes the keys that the reads find.
func fill() {
	n, value := 0, make([]byte, *size)
	c := dial(*endpoint, putPath, func() []byte {
		n++
		return putRequest(fillKey(n-1), value)
	}, min(*clients, *keys))
	c.limit = *keys
	c.run()
}

func watching() []*connection {
	var all []*connection
	for n := range *connections {
		streams := *watchers / *connections
		if n < *watchers%*connections {
			streams++
		}
		c := dial(*endpoint, watchPath, func() []byte { return watchRequest([]byte("put/"), []byte("put0")) }, streams)
		c.streaming = true
		all = append(all, c)
	}
	return all
}

func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func duration(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
