package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/ordering"
)

// wrappers exercises the packages that put a layer of their own over a client.
func wrappers(ctx context.Context, client *clientv3.Client, prefix string) error {
	inside := namespace.NewKV(client.KV, prefix+"space/")
	if _, err := inside.Put(ctx, "k", "v"); err != nil {
		return err
	}
	watched := namespace.NewWatcher(client.Watcher, prefix+"space/").Watch(ctx, "k", clientv3.WithRev(1))
	if event := (<-watched).Events[0]; string(event.Kv.Key) != "k" {
		return fmt.Errorf("a namespace is seen from inside: %v", event)
	}
	ordered := ordering.NewKV(client.KV, func(clientv3.Op, clientv3.OpResponse, int64) error {
		return errors.New("an older revision after a newer one")
	})
	for range 3 {
		if got, err := ordered.Get(ctx, prefix+"space/k", clientv3.WithSerializable()); err != nil || got.Count != 1 {
			return fmt.Errorf("ordering: %v, %w", got, err)
		}
	}
	cached, closeCached, err := leasing.NewKV(client, prefix+"leases/")
	if err != nil {
		return err
	}
	defer closeCached()
	for _, value := range []string{"1", "2"} {
		if _, err := cached.Put(ctx, prefix+"cached", value); err != nil {
			return err
		}
		if got, err := cached.Get(ctx, prefix+"cached"); err != nil || string(got.Kvs[0].Value) != value {
			return fmt.Errorf("leasing: %v, %w", got, err)
		}
	}
	if _, err := client.Put(ctx, prefix+"cached", "3"); err != nil { // past the cache, which owns the key no longer
		return err
	}
	return nil
}

func mirrors(ctx context.Context, client *clientv3.Client, prefix string) error {
	const keys = 1500 // more than one page of the syncer
	for i := range keys {
		if _, err := client.Put(ctx, fmt.Sprintf("%s%04d", prefix, i), "v"); err != nil {
			return err
		}
	}
	syncer := mirror.NewSyncer(client, prefix, 0)
	pages, failed := syncer.SyncBase(ctx)
	seen := 0
	for page := range pages {
		seen += len(page.Kvs)
	}
	if err := <-failed; err != nil || seen != keys {
		return fmt.Errorf("%d keys, %w", seen, err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	updates := syncer.SyncUpdates(watching)
	if _, err := client.Delete(ctx, prefix+"0000"); err != nil {
		return err
	}
	if update := <-updates; len(update.Events) != 1 || update.Events[0].Type != clientv3.EventTypeDelete {
		return fmt.Errorf("update: %v", update)
	}
	return nil
}

func progress(ctx context.Context, client *clientv3.Client, prefix string) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	put, err := client.Put(ctx, prefix, "1")
	if err != nil {
		return err
	}
	responses := client.Watch(watching, prefix+"other", clientv3.WithCreatedNotify())
	if created := <-responses; !created.Created {
		return fmt.Errorf("first response: %v", created)
	}
	if err := client.RequestProgress(watching); err != nil {
		return err
	}
	if told := <-responses; !told.IsProgressNotify() || told.Header.Revision < put.Header.Revision {
		return fmt.Errorf("progress: %v", told)
	}
	parts := client.Watch(watching, prefix, clientv3.WithRev(put.Header.Revision), clientv3.WithFragment(), clientv3.WithPrefix())
	if got := <-parts; len(got.Events) != 1 {
		return fmt.Errorf("fragments: %v", got)
	}
	return nil
}

func maintenance(ctx context.Context, client *clientv3.Client, prefix string) error {
	endpoint := client.Endpoints()[0]
	if _, err := client.Put(ctx, prefix, "v"); err != nil {
		return err
	}
	status, err := client.Status(ctx, endpoint)
	if err != nil || status.Leader != status.Header.MemberId || status.DbSize == 0 {
		return fmt.Errorf("status: %v, %w", status, err)
	}
	hash, err := client.HashKV(ctx, endpoint, 0)
	if err != nil || hash.HashRevision != status.Header.Revision {
		return fmt.Errorf("hash: %v, %w", hash, err)
	}
	stream, err := client.Snapshot(ctx)
	if err != nil {
		return err
	}
	var snapshot bytes.Buffer
	if _, err := io.Copy(&snapshot, stream); err != nil || snapshot.Len() < 4096 {
		return fmt.Errorf("snapshot of %d bytes, %w", snapshot.Len(), err)
	}
	if _, err := client.Defragment(ctx, endpoint); err != nil {
		return err
	}
	if alarms, err := client.AlarmList(ctx); err != nil || len(alarms.Alarms) != 0 {
		return fmt.Errorf("alarms: %v, %w", alarms, err)
	}
	members, err := client.MemberList(ctx)
	if err != nil || len(members.Members) != 1 || members.Members[0].ID != status.Leader {
		return fmt.Errorf("members: %v, %w", members, err)
	}
	if _, err := client.MemberRemove(ctx, 1); !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return fmt.Errorf("removal of nobody: %w", err)
	}
	_, err = client.MoveLeader(ctx, status.Leader)
	return err
}

// authentication is on for a while: nobody else may use the server then.
func authentication(ctx context.Context, client *clientv3.Client, prefix string) error {
	for _, user := range []string{"root", "reader"} {
		if _, err := client.UserAdd(ctx, user, "secret"); err != nil {
			return err
		}
		if _, err := client.RoleAdd(ctx, user); err != nil {
			return err
		}
		if _, err := client.UserGrantRole(ctx, user, user); err != nil {
			return err
		}
	}
	end := clientv3.GetPrefixRangeEnd(prefix)
	if _, err := client.RoleGrantPermission(ctx, "reader", prefix, end, clientv3.PermissionType(clientv3.PermRead)); err != nil {
		return err
	}
	if _, err := client.AuthEnable(ctx); err != nil {
		return err
	}
	as := func(user, password string) (*clientv3.Client, error) {
		return clientv3.New(clientv3.Config{
			Endpoints: client.Endpoints(), Username: user, Password: password, DialTimeout: dialTimeout,
		})
	}
	if _, err := as("root", "wrong"); !errors.Is(err, rpctypes.ErrAuthFailed) {
		return fmt.Errorf("a wrong password: %w", err)
	}
	reader, err := as("reader", "secret")
	if err != nil {
		return err
	}
	defer reader.Close()
	if _, err := reader.Get(ctx, prefix, clientv3.WithPrefix()); err != nil {
		return err
	}
	if _, err := reader.Put(ctx, prefix, "v"); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		return fmt.Errorf("a reader that writes: %w", err)
	}
	refused := <-reader.Watch(ctx, "elsewhere")
	if !refused.Canceled {
		return fmt.Errorf("a watch of what may not be read: %v", refused)
	}
	root, err := as("root", "secret")
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.AuthDisable(ctx); err != nil {
		return err
	}
	for _, user := range []string{"root", "reader"} {
		if _, err := client.UserDelete(ctx, user); err != nil {
			return err
		}
		if _, err := client.RoleDelete(ctx, user); err != nil {
			return err
		}
	}
	return nil
}
