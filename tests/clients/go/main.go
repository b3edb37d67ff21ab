// Command client exercises an etcd endpoint with the reference Go client: go-client HOST:PORT PREFIX [CA].
// It prints a line per check and exits 0, or says what differed from etcd's behaviour and exits 1. Over TLS it leaves
// authentication out.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const dialTimeout = 5 * time.Second

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

type step struct {
	name string
	do   func(context.Context, *clientv3.Client, string) error
}

func run(endpoint, prefix string, ca []string) error {
	config := clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: dialTimeout}
	steps := []step{
		{"kv", kv}, {"txn", txn}, {"watch", watch}, {"progress", progress}, {"lease", lease}, {"stm", stm},
		{"mutex", mutex}, {"recipes", rwmutex}, {"election", election}, {"wrappers", wrappers}, {"mirror", mirrors},
		{"maintenance", maintenance}, {"compaction", compaction},
	}
	if len(ca) > 0 {
		pem, err := os.ReadFile(ca[0])
		if err != nil {
			return err
		}
		config.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		config.TLS.RootCAs.AppendCertsFromPEM(pem)
	} else {
		steps = append(steps, step{"authentication", authentication})
	}
	client, err := clientv3.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, step := range steps {
		if err := step.do(ctx, client, prefix+"/"+step.name+"/"); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		fmt.Println(step.name)
	}
	return nil
}

func kv(ctx context.Context, client *clientv3.Client, prefix string) error {
	for i := range 5 {
		if _, err := client.Put(ctx, fmt.Sprintf("%s%d", prefix, i), fmt.Sprint(i)); err != nil {
			return err
		}
	}
	list, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithLimit(2),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend))
	if err != nil {
		return err
	}
	if list.Count != 5 || !list.More || len(list.Kvs) != 2 || string(list.Kvs[0].Value) != "4" {
		return fmt.Errorf("list: %v", list)
	}
	deleted, err := client.Delete(ctx, prefix+"1", clientv3.WithRange(prefix+"3"), clientv3.WithPrevKV())
	if err != nil {
		return err
	}
	if deleted.Deleted != 2 || string(deleted.PrevKvs[1].Value) != "2" {
		return fmt.Errorf("delete: %v", deleted)
	}
	return nil
}

func txn(ctx context.Context, client *clientv3.Client, prefix string) error {
	create := func() (*clientv3.TxnResponse, error) {
		return client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(prefix), "=", 0)).
			Then(clientv3.OpPut(prefix, "first")).Else(clientv3.OpGet(prefix)).Commit()
	}
	first, err := create()
	if err != nil {
		return err
	}
	second, err := create()
	if err != nil {
		return err
	}
	if !first.Succeeded || second.Succeeded {
		return fmt.Errorf("create twice: %v, %v", first, second)
	}
	if got := second.Responses[0].GetResponseRange().Kvs[0]; string(got.Value) != "first" || got.Version != 1 {
		return fmt.Errorf("else branch read %v", got)
	}
	return nil
}

func watch(ctx context.Context, client *clientv3.Client, prefix string) error {
	put, err := client.Put(ctx, prefix+"a", "1")
	if err != nil {
		return err
	}
	if _, err := client.Delete(ctx, prefix+"a"); err != nil {
		return err
	}
	events := client.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(put.Header.Revision), clientv3.WithPrevKV())
	if _, err := client.Put(ctx, prefix+"b", "2"); err != nil {
		return err
	}
	var seen []*clientv3.Event
	for len(seen) < 3 {
		response := <-events
		if err := response.Err(); err != nil {
			return err
		}
		seen = append(seen, response.Events...)
	}
	if !seen[0].IsCreate() || seen[1].Type != clientv3.EventTypeDelete || string(seen[1].PrevKv.Value) != "1" ||
		seen[2].Kv.ModRevision != put.Header.Revision+2 {
		return fmt.Errorf("events: %v", seen)
	}
	return nil
}

func lease(ctx context.Context, client *clientv3.Client, prefix string) error {
	grant, err := client.Grant(ctx, 60)
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, prefix, "leased", clientv3.WithLease(grant.ID)); err != nil {
		return err
	}
	alive, err := client.KeepAliveOnce(ctx, grant.ID)
	if err != nil || alive.TTL != 60 {
		return fmt.Errorf("keep alive: %v, %w", alive, err)
	}
	left, err := client.TimeToLive(ctx, grant.ID, clientv3.WithAttachedKeys())
	if err != nil || len(left.Keys) != 1 || left.GrantedTTL != 60 {
		return fmt.Errorf("time to live: %v, %w", left, err)
	}
	if _, err := client.Revoke(ctx, grant.ID); err != nil {
		return err
	}
	gone, err := client.Get(ctx, prefix)
	if err != nil || gone.Count != 0 {
		return fmt.Errorf("key outlives its lease: %v, %w", gone, err)
	}
	if _, err := client.Revoke(ctx, grant.ID); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("second revoke: %w", err)
	}
	return nil
}

func compaction(ctx context.Context, client *clientv3.Client, prefix string) error {
	put, err := client.Put(ctx, prefix, "old")
	if err != nil {
		return err
	}
	if _, err := client.Put(ctx, prefix, "new"); err != nil {
		return err
	}
	if _, err := client.Compact(ctx, put.Header.Revision+1); err != nil {
		return err
	}
	if _, err := client.Get(ctx, prefix, clientv3.WithRev(put.Header.Revision)); !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("read of a compacted revision: %w", err)
	}
	if _, err := client.Get(ctx, prefix, clientv3.WithRev(put.Header.Revision+100)); !errors.Is(err, rpctypes.ErrFutureRev) {
		return fmt.Errorf("read of a future revision: %w", err)
	}
	return nil
}
