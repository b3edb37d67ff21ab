package main

import (
	"math/bits"
	"time"
)

// fine is the number of buckets in which a histogram divides a doubling: a value is known to 1.6%.
const fine = 64

// histogram counts durations.
type histogram struct {
	count   int64
	buckets [50 * fine]int64
}

func (h *histogram) add(took time.Duration) {
	h.count++
	h.buckets[bucket(uint64(max(took, 0)))]++
}

// bucket is exact below `fine` nanoseconds.
func bucket(n uint64) int {
	shift := max(0, bits.Len64(n)-bits.Len(fine))
	return min(shift*fine+int(n>>shift), 50*fine-1)
}

func (h *histogram) merge(other *histogram) {
	h.count += other.count
	for n, count := range other.buckets {
		h.buckets[n] += count
	}
}

// quantile returns microseconds, 0 when nothing was counted.
func (h *histogram) quantile(share float64) float64 {
	left := int64(share * float64(h.count))
	for n, count := range h.buckets {
		if left -= count; left < 0 {
			shift := max(0, n/fine-1)
			return float64(uint64(n-shift*fine)<<shift) / 1e3
		}
	}
	return 0
}

// figures are what happened since they were taken the last time.
type figures struct {
	kinds  map[string]*histogram
	errors map[string]int64
	bytes  int64
	events int64
}

func newFigures() figures { return figures{kinds: map[string]*histogram{}, errors: map[string]int64{}} }

// ended counts a call; `problem` is empty when it went well.
func (f *figures) ended(kind string, took time.Duration, problem string) {
	if problem != "" {
		f.errors[kind+": "+problem]++
		return
	}
	if f.kinds[kind] == nil {
		f.kinds[kind] = &histogram{}
	}
	f.kinds[kind].add(took)
}

// take moves the figures of all connections into one.
func take(all []*connection) figures {
	sum := newFigures()
	for _, c := range all {
		c.Lock()
		taken := c.figures
		c.figures = newFigures()
		c.Unlock()
		for kind, counted := range taken.kinds {
			if sum.kinds[kind] == nil {
				sum.kinds[kind] = &histogram{}
			}
			sum.kinds[kind].merge(counted)
		}
		for problem, count := range taken.errors {
			sum.errors[problem] += count
		}
		sum.bytes += taken.bytes
		sum.events += taken.events
	}
	return sum
}

// Kind is what is printed of one kind of calls. Times are microseconds.
type Kind struct {
	Operations int64   `json:"operations"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
}

// Result is what is printed of a time.
type Result struct {
	Kind
	Seconds  float64          `json:"seconds"`
	Bytes    int64            `json:"bytes"`
	LoadCPU  float64          `json:"load_cpu_seconds"`
	Kinds    map[string]Kind  `json:"kinds"`
	Errors   map[string]int64 `json:"errors"`
	Events   int64            `json:"events"`
	Expected int64            `json:"expected_events"` // by all acknowledged writes since the start
	Arrived  int64            `json:"arrived_events"`
	Late     int64            `json:"late"` // calls that are due and not begun
}

func summed(h *histogram) Kind { return Kind{h.count, h.quantile(0.5), h.quantile(0.99)} }

func (f *figures) result(seconds, cpu float64) Result {
	all, kinds := &histogram{}, map[string]Kind{}
	for kind, counted := range f.kinds {
		kinds[kind] = summed(counted)
		all.merge(counted)
	}
	return Result{
		Kind: summed(all), Seconds: seconds, Bytes: f.bytes, LoadCPU: cpu, Kinds: kinds, Errors: f.errors,
		Events: f.events, Expected: expected.Load(), Arrived: arrived.Load(), Late: late.Load(),
	}
}
