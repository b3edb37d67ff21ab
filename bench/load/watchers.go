package main

import (
	"log"
	"sync"
	"sync/atomic"
	"time"
)

// watched is what one watcher watches, and where its events are counted.
type watched struct {
	prefix        []byte
	puts, deletes *atomic.Int64
}

// watch opens watch streams, spread over connections of their own, and returns when the server has made all of them.
func watch(count int, what func(n int) watched) []*connection {
	var all []*connection
	var created sync.WaitGroup
	created.Add(count)
	spread := min(*connections, count)
	for n := range spread {
		c := dial()
		for number := n; number < count; number += spread {
			c.watch(what(number), created.Done)
		}
		c.out.Flush()
		all = append(all, c)
		go c.run()
	}
	created.Wait()
	return all
}

func (c *connection) watch(w watched, created func()) {
	c.start(&call{
		path:    watchPath,
		message: watchRequest(w.prefix, prefixEnd(w.prefix)),
		each: func(message []byte) {
			s := parseWatch(message)
			if s.canceled {
				log.Fatal("the server canceled a watch")
			}
			if s.created {
				created()
			}
			c.figures.events += s.puts + s.deletes
			w.puts.Add(s.puts)
			w.deletes.Add(s.deletes)
		},
		ended: func(status string) { log.Fatalf("the server closed a watch: %s", status) },
	}, time.Now())
}
