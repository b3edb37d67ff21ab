package main

import (
	"math/rand/v2"
	"time"
)

// plan is what a client does.
type plan interface {
	// next sets the client's kind, path, message and wanted; false: there is nothing left to do.
	next(*client) bool
	// answered looks at the reply, or at the status when that is not "0", and returns what is wrong.
	answered(c *client, status string) string
	// filling tells whether it prepares, which it does as fast as it can and before anything is measured.
	filling() bool
}

// client makes one call after the other. Its connection's mutex guards it.
type client struct {
	call
	kind       string
	connection *connection
	plan       plan
	random     *rand.Rand
	filled     chan<- bool
	ready      bool
}

// pace begins the calls of one connection's clients. The connection's mutex guards it.
type pace struct {
	every time.Duration // 0: a client begins when its last call is over
	idle  []*client     // in the order in which they began to wait: each has its turn
	due   []time.Time   // calls for which there was no client
}

// fleet connects clients that do what `plans` returns for their numbers; each says once on `filled` that it is ready.
func fleet(count, spread int, rate float64, plans func(int, *connection) plan, filled chan<- bool) []*connection {
	var all []*connection
	spread = min(spread, count)
	for n := range spread {
		c := dial()
		if rate > 0 {
			c.pace.every = duration(float64(spread) / rate)
		}
		all = append(all, c)
		go c.run()
		c.Lock()
		for number := n; number < count; number += spread {
			random := rand.New(rand.NewPCG(1, uint64(number)))
			a := &client{connection: c, plan: plans(number, c), random: random, filled: filled}
			a.call.ended = a.finished
			a.proceed()
		}
		c.out.Flush()
		c.Unlock()
	}
	return all
}

// proceed begins the next call, or waits for its turn.
func (a *client) proceed() {
	if a.plan.filling() {
		a.begin(time.Now())
		return
	}
	if !a.ready {
		a.ready = true
		a.filled <- true
	}
	pace := &a.connection.pace
	switch {
	case stopping.Load():
	case pace.every == 0:
		a.begin(time.Now())
	case len(pace.due) > 0:
		due := pace.due[0]
		pace.due = pace.due[1:]
		late.Add(-1)
		a.begin(due)
	default:
		pace.idle = append(pace.idle, a)
	}
}

func (a *client) begin(due time.Time) {
	if a.plan.next(a) {
		a.connection.start(&a.call, due)
	}
}

func (a *client) finished(status string) {
	took := time.Since(a.due)
	a.connection.figures.ended(a.kind, took, a.plan.answered(a, status))
	a.proceed()
}

// run begins a call at every tick. The latency of a call counts from there, whether or not a client is free.
func (p *pace) run(c *connection) {
	for next := time.Now(); !stopping.Load(); time.Sleep(2 * time.Millisecond) {
		c.Lock()
		for now := time.Now(); next.Before(now); next = next.Add(p.every) {
			if len(p.idle) > 0 {
				a := p.idle[0]
				p.idle = p.idle[1:]
				a.begin(next)
			} else {
				p.due = append(p.due, next)
				late.Add(1)
			}
		}
		c.out.Flush()
		c.Unlock()
	}
}
