package main

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

func stm(ctx context.Context, client *clientv3.Client, prefix string) error {
	for _, level := range []concurrency.Isolation{
		concurrency.SerializableSnapshot, concurrency.Serializable, concurrency.RepeatableReads, concurrency.ReadCommitted,
	} {
		key := fmt.Sprintf("%s%d", prefix, level)
		done := make(chan error)
		for range 4 {
			go func() {
				_, err := concurrency.NewSTM(client, func(s concurrency.STM) error {
					s.Put(key, s.Get(key)+"x")
					return nil
				}, concurrency.WithAbortContext(ctx), concurrency.WithIsolation(level))
				done <- err
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				return err
			}
		}
		got, err := client.Get(ctx, key)
		if err != nil {
			return err
		}
		// Reads that are not checked may lose updates: that is what the weakest level means.
		if value := string(got.Kvs[0].Value); value != "xxxx" && level != concurrency.ReadCommitted {
			return fmt.Errorf("level %d: %q", level, value)
		}
	}
	return nil
}

func mutex(ctx context.Context, client *clientv3.Client, prefix string) error {
	first, second, err := sessions(client)
	if err != nil {
		return err
	}
	defer first.Close()
	one, two := concurrency.NewMutex(first, prefix), concurrency.NewMutex(second, prefix)
	if err := one.Lock(ctx); err != nil {
		return err
	}
	if err := two.TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
		return fmt.Errorf("a second TryLock: %w", err)
	}
	guarded, err := client.Txn(ctx).If(one.IsOwner()).Then(clientv3.OpPut(prefix+"guarded", "1")).Commit()
	if err != nil || !guarded.Succeeded {
		return fmt.Errorf("the owner's transaction: %v, %w", guarded, err)
	}
	locked := make(chan error)
	go func() { locked <- two.Lock(ctx) }()
	if err := one.Unlock(ctx); err != nil {
		return err
	}
	if err := <-locked; err != nil {
		return err
	}
	if err := second.Close(); err != nil { // its lease ends, and with it the lock
		return err
	}
	return one.Lock(ctx)
}

func rwmutex(ctx context.Context, client *clientv3.Client, prefix string) error {
	first, second, err := sessions(client)
	if err != nil {
		return err
	}
	defer first.Close()
	defer second.Close()
	reader, writer := recipe.NewRWMutex(first, prefix+"rw"), recipe.NewRWMutex(second, prefix+"rw")
	other := recipe.NewRWMutex(second, prefix+"rw")
	if err := reader.RLock(); err != nil {
		return err
	}
	if err := other.RLock(); err != nil { // readers do not wait for each other
		return err
	}
	if err := other.RUnlock(); err != nil {
		return err
	}
	written := make(chan error)
	go func() { written <- writer.Lock() }()
	if err := reader.RUnlock(); err != nil {
		return err
	}
	if err := <-written; err != nil {
		return err
	}
	if err := writer.Unlock(); err != nil {
		return err
	}
	queue := recipe.NewQueue(client, prefix+"queue")
	for _, value := range []string{"1", "2"} {
		if err := queue.Enqueue(value); err != nil {
			return err
		}
	}
	if value, err := queue.Dequeue(); err != nil || value != "1" {
		return fmt.Errorf("dequeue: %q, %w", value, err)
	}
	barrier := recipe.NewBarrier(client, prefix+"barrier")
	if err := barrier.Hold(); err != nil {
		return err
	}
	released := make(chan error)
	go func() { released <- barrier.Wait() }()
	if err := barrier.Release(); err != nil {
		return err
	}
	return <-released
}

func election(ctx context.Context, client *clientv3.Client, prefix string) error {
	first, second, err := sessions(client)
	if err != nil {
		return err
	}
	defer second.Close()
	one, two := concurrency.NewElection(first, prefix), concurrency.NewElection(second, prefix)
	if _, err := one.Leader(ctx); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		return fmt.Errorf("a leader before the election: %w", err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	seen := two.Observe(watching)
	if err := one.Campaign(ctx, "one"); err != nil {
		return err
	}
	if got := <-seen; string(got.Kvs[0].Value) != "one" {
		return fmt.Errorf("observed %v", got)
	}
	if err := one.Proclaim(ctx, "still one"); err != nil {
		return err
	}
	won := make(chan error)
	go func() { won <- two.Campaign(ctx, "two") }()
	if err := first.Close(); err != nil { // a leader that is gone is no leader
		return err
	}
	if err := <-won; err != nil {
		return err
	}
	leader, err := two.Leader(ctx)
	if err != nil || string(leader.Kvs[0].Value) != "two" {
		return fmt.Errorf("leader: %v, %w", leader, err)
	}
	return two.Resign(ctx)
}

func sessions(client *clientv3.Client) (*concurrency.Session, *concurrency.Session, error) {
	first, err := concurrency.NewSession(client, concurrency.WithTTL(60))
	if err != nil {
		return nil, nil, err
	}
	second, err := concurrency.NewSession(client, concurrency.WithTTL(60))
	return first, second, err
}
