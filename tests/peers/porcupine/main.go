// Reads histories of brainctl (docs/formats/history.md) one after the other from standard input, and prints for each
// whether porcupine finds it linearizable: "linearizable", "illegal" or "unknown".
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

type version struct {
	create, mod, version int64
	value                string
	lease                int64
}

type store struct {
	revision int64
	keys     map[string]version
}

type compare struct {
	Key, Target, Relation string
	Value                 any
}

type request struct {
	Op, Key, End, Value string
	Lease, Limit        int64
	Compare             []compare
	Success, Failure    []request
}

type answer struct {
	Kvs     [][]any
	Count   *int64
	Deleted int64
}

type line struct {
	request
	answer
	Client           int
	Called           int64
	Returned         *int64
	Error            *string
	Rev              int64
	Succeeded        bool
	Responses        []answer
	Brainctl_history int
	Revision         int64
}

func inside(key, end, name string) bool {
	if end == "" {
		return key == name
	}
	return name >= key && (end == "\x00" || name < end)
}

// do carries out a put, range or delete as a revision, and tells whether the answer is right and a key has changed.
func do(keys map[string]version, revision int64, r request, a *answer) (right, changed bool) {
	var names []string
	for name := range keys {
		if inside(r.Key, r.End, name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	switch r.Op {
	case "put":
		old, found := keys[r.Key]
		fresh := version{revision, revision, 1, r.Value, r.Lease}
		if found {
			fresh.create, fresh.version = old.create, old.version+1
		}
		keys[r.Key] = fresh
		return true, true
	case "delete":
		for _, name := range names {
			delete(keys, name)
		}
		return a == nil || a.Deleted == int64(len(names)), len(names) > 0
	}
	if a == nil {
		return true, false
	}
	if a.Count != nil && *a.Count != int64(len(names)) {
		return false, false
	}
	if r.Limit > 0 && int64(len(names)) > r.Limit {
		names = names[:r.Limit]
	}
	want := [][]any{}
	for _, name := range names {
		v := keys[name]
		want = append(want, []any{name, float64(v.create), float64(v.mod), float64(v.version), v.value, float64(v.lease)})
	}
	return reflect.DeepEqual(want, append([][]any{}, a.Kvs...)), false
}

func holds(keys map[string]version, c compare) bool {
	v, found := keys[c.Key]
	order := 0
	if c.Target == "value" {
		if !found {
			return false
		}
		order = strings.Compare(v.value, c.Value.(string))
	} else {
		got := map[string]int64{"create": v.create, "mod": v.mod, "version": v.version, "lease": v.lease}[c.Target]
		order = int(got - int64(c.Value.(float64)))
	}
	switch c.Relation {
	case "=":
		return order == 0
	case "!=":
		return order != 0
	case "<":
		return order < 0
	}
	return order > 0
}

// apply returns the store after an operation; known says whether its answer is known, right whether it is the right one.
func apply(s store, l line, known bool) (after store, right bool) {
	keys, next := maps.Clone(s.keys), s.revision+1
	requests, right := []request{l.request}, true
	answers := []answer{l.answer}
	if l.Op == "txn" {
		succeeded := true
		for _, c := range l.Compare {
			succeeded = succeeded && holds(keys, c)
		}
		requests, answers = l.Failure, l.Responses
		if succeeded {
			requests = l.Success
		}
		right = !known || (l.Succeeded == succeeded && len(answers) == len(requests))
		if !right {
			return s, false
		}
	}
	wrote := false
	for i, r := range requests {
		var a *answer
		if known {
			a = &answers[i]
		}
		good, changed := do(keys, next, r, a)
		right, wrote = right && good, wrote || changed
	}
	after = store{s.revision, keys}
	if wrote {
		after.revision = next
	}
	return after, right && (!known || after.revision == l.Rev)
}

var model = porcupine.NondeterministicModel{
	Step: func(state, input, output any) []any {
		s, l := state.(store), input.(line)
		if output == nil {
			after, _ := apply(s, l, false)
			return []any{s, after}
		}
		if after, right := apply(s, l, true); right {
			return []any{after}
		}
		return nil
	},
	Equal: func(a, b any) bool { return reflect.DeepEqual(a, b) },
}

func judge(revision int64, operations []porcupine.Operation) {
	m := model
	m.Init = func() []any { return []any{store{revision, map[string]version{}}} }
	switch porcupine.CheckOperationsTimeout(m.ToModel(), operations, 10*time.Second) {
	case porcupine.Ok:
		fmt.Println("linearizable")
	case porcupine.Illegal:
		fmt.Println("illegal")
	default:
		fmt.Println("unknown")
	}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<26)
	var operations []porcupine.Operation
	revision, begun := int64(0), false
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			panic(err)
		}
		if l.Brainctl_history > 0 {
			if begun {
				judge(revision, operations)
			}
			operations, revision, begun = nil, l.Revision, true
			continue
		}
		if l.Error != nil || (l.Op != "put" && l.Op != "range" && l.Op != "delete" && l.Op != "txn") {
			continue
		}
		operation := porcupine.Operation{ClientId: len(operations), Input: l, Call: l.Called, Output: true, Return: math.MaxInt64}
		if l.Returned != nil {
			operation.Return = *l.Returned
		} else {
			operation.Output = nil
		}
		operations = append(operations, operation)
	}
	judge(revision, operations)
}
