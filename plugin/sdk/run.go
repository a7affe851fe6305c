package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/stemd/stem"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	taskv1 "github.com/stemd/stem/plugin/proto/stem/task/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// run is one delivery in this process.
type run struct {
	session  *session
	delivery *pluginv1.Delivery
	name     string
	ctx      context.Context
	cancel   context.CancelCauseFunc
	taken    atomic.Bool // by a slot, or given back
}

func newRun(s *session, d *pluginv1.Delivery) *run {
	r := &run{session: s, delivery: d, name: nameIn(d.GetHeader())}
	r.ctx, r.cancel = context.WithCancelCause(s.ctx)
	return r
}

// take claims the run for the caller; false: somebody else has it.
func (r *run) take() bool { return r.taken.CompareAndSwap(false, true) }

// work runs deliveries on one slot until the session ends.
func (s *session) work(slot int) {
	for {
		select {
		case r := <-s.waiting:
			if !r.take() {
				r.cancel(nil)
				continue
			}
			s.out.settle(r.execute(slot))
			s.forget(r.delivery.GetSeq())
		case <-s.ctx.Done():
			return
		}
	}
}

// execute runs the handler and says how it ended.
func (r *run) execute(slot int) *pluginv1.Outcome {
	started := time.Now()
	reg := r.session.register
	if reg != nil {
		reg.Begin(slot, r.delivery.GetSeq(), started)
	}
	task := &TaskContext{run: r}
	result, err := r.invoke(context.WithValue(r.ctx, contextKey{}, task))
	if reg != nil {
		reg.End(slot)
	}
	o := &pluginv1.Outcome{Seq: r.delivery.GetSeq(), StartedAt: started.UnixMicro(), FinishedAt: time.Now().UnixMicro()}
	if err == nil {
		if o.Result, err = r.encode(result); err == nil {
			o.Then = task.followUp
		}
	}
	if err != nil {
		r.fail(o, err)
	}
	r.cancel(nil)
	return o
}

// panicked is the error of a handler that panicked.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprint(p.value) }

func (r *run) invoke(ctx context.Context) (result any, err error) {
	handler, ok := r.session.handlers[r.name]
	if !ok {
		return nil, Permanent(Typed("UnknownTask", fmt.Errorf("plugin %s does not handle %q", r.session.plugin.name, r.name)))
	}
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{v, debug.Stack()}
		}
	}()
	return handler(ctx, r.delivery.GetBody())
}

func (r *run) encode(result any) ([]byte, error) {
	b, err := json.Marshal(result)
	if err != nil {
		return nil, Permanent(Typed("InvalidResult", fmt.Errorf("the result can not be encoded: %w", err)))
	}
	if limit := r.session.configure.GetMaxResult(); limit > 0 && uint64(len(b)) > limit {
		return nil, Permanent(Typed("ResultTooLarge", &stem.SizeError{What: "result of " + r.name, Size: len(b), Limit: int(limit)}))
	}
	return b, nil
}

// stackMax bounds the stack of a panic that is kept with the task, in bytes.
const stackMax = 16 << 10

func (r *run) fail(o *pluginv1.Outcome, err error) {
	o.Error = &taskv1.Error{Class: string(stem.ClassError), Message: err.Error()}
	if p := (*panicked)(nil); errors.As(err, &p) {
		o.Error.Class, o.Error.Type = string(stem.ClassPanic), "panic"
		o.Error.Stack = string(p.stack[:min(len(p.stack), stackMax)])
		return
	}
	says := instructions(err)
	o.Error.Permanent, o.Error.Type = says.permanent, says.typeName
	if o.Error.Type == "" {
		o.Error.Type = typeName(err)
	}
	switch {
	case says.snooze > 0:
		o.Snooze = says.snooze.Microseconds()
	case says.retry != nil:
		o.Retry = &pluginv1.Retry{Override: says.retry.Proto()}
		if says.after != nil {
			us := says.after.Microseconds()
			o.Retry.After = &us
		}
	}
	// A handler that gives up because it was told to stop did not fail by itself.
	switch cause := context.Cause(r.ctx); {
	case cause == nil || says.permanent:
	case errors.Is(cause, ErrSoftLimit) && isCancellation(err, cause):
		o.Error.Type, o.Error.Message = "SoftLimitExceeded", "stopped at its soft limit: "+err.Error()
	case errors.Is(cause, ErrSoftLimit):
	default:
		o.Error.Class, o.Retry, o.Snooze = string(stem.ClassCancelled), nil, 0
	}
}

func isCancellation(err, cause error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, cause)
}

// nameIn reads the name, field 2, out of an encoded header without decoding the rest.
func nameIn(header []byte) string {
	for len(header) > 0 {
		num, typ, n := protowire.ConsumeTag(header)
		if n < 0 {
			return ""
		}
		header = header[n:]
		if num == 2 && typ == protowire.BytesType {
			name, n := protowire.ConsumeString(header)
			if n < 0 {
				return ""
			}
			return name
		}
		if n = protowire.ConsumeFieldValue(num, typ, header); n < 0 {
			return ""
		}
		header = header[n:]
	}
	return ""
}
