package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The load of a Kubernetes cluster: pods that are created, updated and deleted by guarded transactions, got, listed in
// pages and counted; their events, which end with a lease; nodes whose leases are kept alive; watchers of the namespaces.

const (
	namespaces    = 100
	eventWatchers = 2
	pageKeys      = 500
	podPrefix     = "/registry/pods/"
	eventPrefix   = "/registry/events/"
	nodePrefix    = "/registry/leases/kube-node-lease/"
	nodeTTL       = 30
)

// shares are how often a client does what, of a thousand.
var shares = []struct {
	share int
	kind  string
}{{300, "get"}, {370, "update"}, {75, "create"}, {75, "delete"}, {150, "event"}, {25, "count"}, {5, "list"}}

// watchCluster gives the watchers one namespace after the other; the last of them watch the events.
func watchCluster(n int) watched {
	if n >= *watchers {
		return watched{[]byte(eventPrefix), &arrived, &expired}
	}
	return watched{namespace(n % namespaces), &arrived, &arrived}
}

// watchersOf returns how many watch a namespace.
func watchersOf(ns int) int64 { return int64((*watchers + namespaces - 1 - ns) / namespaces) }

func namespace(n int) []byte { return fmt.Appendf(nil, podPrefix+"ns-%03d/", n) }

// pod is a key that one client alone changes, so that it knows its revision.
type pod struct {
	key      []byte
	revision int64
	ns       int
}

// pods is what one client does.
type pods struct {
	number, base int // how many pods it has when it is ready
	serial       int
	all          []pod
	at           int // the pod of the call

	lease   int64
	granted time.Time

	from            []byte // where the next page begins, nil: no list is under way
	revision        int64
	listed, counted int64
}

func newPods(number int, _ *connection) plan {
	return &pods{number: number, base: max(1, *keys / *clients)}
}

func (p *pods) filling() bool { return len(p.all) < p.base }

func (p *pods) next(a *client) bool {
	a.wanted = true
	a.kind = p.choose(a.random)
	switch a.kind {
	case "create":
		p.serial++
		ns := a.random.IntN(namespaces)
		created := pod{fmt.Appendf(namespace(ns), "pod-%05d-%07d", p.number, p.serial), 0, ns}
		p.all = append(p.all, created)
		p.at = len(p.all) - 1
		a.path, a.message = txnPath, guarded(created.key, 0, putRequest(created.key, value(), 0))
	case "update":
		it := p.all[p.at]
		a.path, a.message = txnPath, guarded(it.key, it.revision, putRequest(it.key, value(), 0))
	case "delete":
		a.path, a.message = txnPath, guarded(p.all[p.at].key, p.all[p.at].revision, nil)
	case "get":
		a.path, a.message = rangePath, rangeRequest{key: p.all[p.at].key}.marshal()
	case "grant":
		a.path, a.message = grantPath, grantRequest(*ttl)
	case "event":
		p.serial++
		key := fmt.Appendf(nil, eventPrefix+"ns-%03d/pod-%05d.%07d", a.random.IntN(namespaces), p.number, p.serial)
		a.path, a.message = txnPath, guarded(key, 0, putRequest(key, value()[:*size/2], p.lease))
	default:
		p.read(a)
	}
	return true
}

// read makes the requests for the whole of the pods: their count, and a page of them.
func (p *pods) read(a *client) {
	request := rangeRequest{key: []byte(podPrefix), end: prefixEnd([]byte(podPrefix)), countOnly: a.kind == "count"}
	if a.kind == "list" {
		request.limit, request.revision = pageKeys, p.revision
		if p.from != nil {
			request.key = p.from
		}
	}
	a.path, a.message = rangePath, request.marshal()
}

// choose takes the kind of the next call, and the pod.
func (p *pods) choose(random *rand.Rand) string {
	if p.filling() {
		return "create"
	}
	if p.from != nil {
		return "list"
	}
	p.at = random.IntN(len(p.all))
	kind := ""
	for n, left := 0, random.IntN(1000); left >= 0; n++ {
		kind, left = shares[n].kind, left-shares[n].share
	}
	if kind == "create" || kind == "delete" { // in turns, so that the number of pods stays
		kind = "create"
		if len(p.all) > p.base {
			kind = "delete"
		}
	}
	if kind == "event" && time.Since(p.granted) > duration(float64(*ttl)/2) {
		return "grant"
	}
	return kind
}

func (p *pods) answered(a *client, status string) string {
	got := answer{}
	if status == "0" {
		got = a.answer()
	}
	switch a.kind {
	case "create", "update", "delete":
		return p.changed(a.kind, status, got)
	case "event":
		if status == "0" && got.numbers[2] == 1 {
			expected.Add(eventWatchers)
			expiring.Add(eventWatchers)
			return ""
		}
	case "grant":
		if status == "0" {
			p.lease, p.granted = got.numbers[2], time.Now()
			return ""
		}
	case "get":
		if status == "0" && got.kvs == 1 && got.modified == p.all[p.at].revision {
			return ""
		}
	case "count":
		if status == "0" && got.numbers[4] > 0 {
			return ""
		}
	case "list":
		return p.page(status, got)
	}
	return wrong(status)
}

// changed keeps what a guarded transaction has made; what failed is not touched any more.
func (p *pods) changed(kind, status string, got answer) string {
	it := &p.all[p.at]
	if status == "0" && got.numbers[2] == 1 {
		it.revision = got.revision
		expected.Add(watchersOf(it.ns))
		if kind != "delete" {
			return ""
		}
	}
	p.all[p.at] = p.all[len(p.all)-1]
	p.all = p.all[:len(p.all)-1]
	if status == "0" && got.numbers[2] == 1 {
		return ""
	}
	return wrong(status)
}

// page checks that the pages of a list are as many keys as the first of them said.
func (p *pods) page(status string, got answer) string {
	if status != "0" {
		p.from, p.revision = nil, 0
		return wrong(status)
	}
	if p.from == nil {
		p.revision, p.counted, p.listed = got.revision, got.numbers[4], 0
	}
	p.listed += int64(got.kvs)
	if got.numbers[3] == 1 {
		p.from = append(append([]byte(nil), got.key...), 0)
		return ""
	}
	p.from, p.revision = nil, 0
	if p.listed != p.counted {
		return "pages and count differ"
	}
	return ""
}

func wrong(status string) string {
	if status == "0" {
		return "wrong answer"
	}
	return "status " + status
}

// node is a node: an object that is put with every heartbeat and bound to a lease that is kept alive with it.
type node struct {
	key             []byte
	lease, revision int64
	beats           *call
	sent            *time.Time
}

func newNode(number int, c *connection) plan {
	n := &node{key: fmt.Appendf(nil, nodePrefix+"node-%05d", number), sent: new(time.Time)}
	n.beats = &call{path: keepAlivePath, ended: func(status string) { c.figures.ended("keepalive", 0, wrong(status)) }}
	n.beats.each = func(message []byte) {
		problem := ""
		if parse(message).numbers[3] != nodeTTL {
			problem = "the lease is gone"
		}
		c.figures.ended("keepalive", time.Since(*n.sent), problem)
	}
	c.start(n.beats, time.Now())
	return n
}

func (n *node) filling() bool { return n.revision == 0 }

func (n *node) next(a *client) bool {
	a.wanted = true
	if n.lease == 0 {
		a.kind, a.path, a.message = "grant", grantPath, grantRequest(nodeTTL)
		return true
	}
	if n.revision > 0 {
		*n.sent = time.Now()
		a.connection.send(n.beats, keepAliveRequest(n.lease))
	}
	a.kind, a.path, a.message = "heartbeat", txnPath, guarded(n.key, n.revision, putRequest(n.key, value()[:min(*size, 64)], n.lease))
	return true
}

func (n *node) answered(a *client, status string) string {
	if status != "0" {
		return wrong(status)
	}
	got := a.answer()
	if a.kind == "grant" {
		n.lease = got.numbers[2]
		return ""
	}
	if got.numbers[2] != 1 {
		return "wrong answer"
	}
	n.revision = got.revision
	return ""
}
