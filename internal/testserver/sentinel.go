package testserver

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// MasterName is what the Sentinel of StartSentinel calls its primary.
const MasterName = "stem"

// Sentinel is a primary, one replica, and a Sentinel that watches both.
type Sentinel struct {
	Servers  []*Redis // the first primary, and its replica
	Sentinel *Redis
	client   *redis.SentinelClient
	dir      *dir
}

// StartSentinel starts all three and waits until the replica is in step. Directives are lines of redis.conf for both servers.
func StartSentinel(ctx context.Context, directives ...string) (_ *Sentinel, err error) {
	d, err := newDir()
	if err != nil {
		return nil, err
	}
	s := &Sentinel{dir: d}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for i := range 2 {
		sub, err := d.sub(fmt.Sprintf("server-%d", i))
		if err != nil {
			return nil, err
		}
		lines := append([]string{"repl-diskless-sync-delay 0"}, directives...)
		if i > 0 {
			lines = append(lines, "replicaof "+strings.Replace(s.Servers[0].Addr, ":", " ", 1))
		}
		server, err := startRedis(ctx, sub, nil, lines)
		if err != nil {
			return nil, err
		}
		s.Servers = append(s.Servers, server)
	}
	sub, err := d.sub("sentinel")
	if err != nil {
		return nil, err
	}
	s.Sentinel, err = startRedis(ctx, sub, nil, []string{
		fmt.Sprintf("sentinel monitor %s %s 1", MasterName, strings.Replace(s.Servers[0].Addr, ":", " ", 1)),
		"sentinel down-after-milliseconds " + MasterName + " 1000",
		"sentinel failover-timeout " + MasterName + " 3000",
	})
	if err != nil {
		return nil, err
	}
	s.client = redis.NewSentinelClient(&redis.Options{Addr: s.Sentinel.Addr})
	return s, s.ready(ctx)
}

// ready waits until the replica has the primary's data and the Sentinel knows the replica.
func (s *Sentinel) ready(ctx context.Context) error {
	return poll(ctx, func() error {
		info, err := s.Servers[1].Client.Info(ctx, "replication").Result()
		if err != nil || !strings.Contains(info, "master_link_status:up") {
			return fmt.Errorf("testserver: the replica is not in step: %s %w", info, err)
		}
		replicas, err := s.client.Replicas(ctx, MasterName).Result()
		if err != nil || len(replicas) != 1 || replicas[0]["flags"] != "slave" {
			return fmt.Errorf("testserver: the Sentinel knows replicas %v %w", replicas, err)
		}
		return nil
	})
}

// URL names the Sentinel and the primary.
func (s *Sentinel) URL() string { return "redis://" + s.Sentinel.Addr + "/0?master=" + MasterName }

// Primary is the server that the Sentinel names.
func (s *Sentinel) Primary(ctx context.Context) (*Redis, error) {
	addr, err := s.client.GetMasterAddrByName(ctx, MasterName).Result()
	if err != nil {
		return nil, err
	}
	for _, server := range s.Servers {
		if server.Addr == strings.Join(addr, ":") {
			return server, nil
		}
	}
	return nil, fmt.Errorf("testserver: the Sentinel names %v, which is none of its servers", addr)
}

// Failover makes the replica the primary and waits until it takes writes. The old primary lives on as its replica and refuses writes
// with READONLY.
func (s *Sentinel) Failover(ctx context.Context) error {
	old, err := s.Primary(ctx)
	if err != nil {
		return err
	}
	if err := s.client.Failover(ctx, MasterName).Err(); err != nil {
		return err
	}
	return s.Promoted(ctx, old)
}

// Promoted waits until another server than old is the primary and takes writes.
func (s *Sentinel) Promoted(ctx context.Context, old *Redis) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return poll(ctx, func() error {
		now, err := s.Primary(ctx)
		if err != nil {
			return err
		}
		if now == old {
			return errors.New("testserver: the Sentinel still names the old primary")
		}
		info, err := now.Client.Info(ctx, "replication").Result()
		if err != nil || !strings.Contains(info, "role:master") {
			return fmt.Errorf("testserver: the new primary is not one yet: %s %w", info, err)
		}
		return nil
	})
}

// Close ends all three and removes their files.
func (s *Sentinel) Close() error {
	var errs []error
	if s.client != nil {
		errs = append(errs, s.client.Close())
	}
	if s.Sentinel != nil {
		errs = append(errs, s.Sentinel.Close())
	}
	for _, server := range s.Servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(append(errs, s.dir.remove())...)
}
