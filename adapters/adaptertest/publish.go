package adaptertest

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/stemd/stem"
)

func publishCases() []testCase {
	return []testCase{
		{rule: "a published task is claimed with its envelope unchanged", run: func(r *rig) {
			m := r.msg("a", priority(4), generated)
			r.put(m)
			d := r.one()
			if d.ID != m.ID || d.Name != m.Name || d.Queue != m.Queue || d.Priority != m.Priority || !d.GeneratedID {
				r.Errorf("claimed %+v", d.Message)
			}
			e, want := d.Envelope, m.Envelope
			if !bytes.Equal(e.Header, want.Header) || !bytes.Equal(e.Body, want.Body) || !bytes.Equal(e.Signature, want.Signature) || e.KeyID != want.KeyID {
				r.Errorf("envelope is %+v, want %+v", e, want)
			}
		}},
		{rule: "a task is claimed once", run: func(r *rig) {
			r.add("a")
			r.claims("a")
			r.claims()
		}},
		{rule: "the receipt names task, queue and owner and has an epoch", run: func(r *rig) {
			r.add("a")
			rc := r.one().Receipt
			if rc.ID != "a" || rc.Queue != queue || rc.Owner != owner1 || rc.Epoch <= 0 {
				r.Errorf("receipt is %+v", rc)
			}
		}},
		{rule: "what only the store keeps starts afresh whatever the message says", run: func(r *rig) {
			m := r.msg("a")
			m.State = stem.State{Redeliveries: 7, AckedEarly: true, Replays: 3, Created: r.now().Add(-time.Hour)}
			r.put(m)
			s := r.one().State
			if s.Redeliveries != 0 || s.AckedEarly || s.Replays != 0 {
				r.Errorf("state is %+v", s)
			}
			r.near("created", s.Created, r.now())
		}},
		{rule: "an epoch given with a message is a floor for those of its claims", run: func(r *rig) {
			m := r.msg("a")
			m.State.Epoch = stem.Epoch(r.now().Add(1000 * time.Hour).UnixMicro())
			r.put(m)
			if s := r.state("a", stem.Queued); s.Epoch < m.State.Epoch {
				r.Errorf("the status has epoch %d, the floor is %d", s.Epoch, m.State.Epoch)
			}
			if d := r.one(); d.Receipt.Epoch <= m.State.Epoch {
				r.Errorf("epoch is %d, the floor is %d", d.Receipt.Epoch, m.State.Epoch)
			}
		}},
		{rule: "what daemons keep is published with the message", run: func(r *rig) {
			m := r.msg("a")
			m.State = stem.State{Attempt: 2, Home: "home"}
			r.put(m)
			if s := r.one().State; s.Attempt != 2 || s.Home != "home" {
				r.Errorf("state is %+v", s)
			}
		}},
		{rule: "an invalid message is rejected with the reason and the others of its batch are accepted", run: func(r *rig) {
			large := r.msg("large")
			large.Envelope.Body = make([]byte, stem.MaxMessage+1)
			out := r.publish(r.msg("a"), r.msg("no-queue", in("")), r.msg("p10", priority(10)), r.msg("p-1", priority(-1)), large,
				r.msg(strings.Repeat("i", stem.MaxName+1)), r.msg(""), r.msg("\x01a"), r.msg("a\x00"), r.msg("\x02"), r.msg("b"))
			for i, p := range out {
				if i == 0 || i == len(out)-1 {
					if p.State != stem.Accepted {
						r.Errorf("a valid message gave %+v", p)
					}
				} else if p.State != stem.Rejected || p.Err == nil {
					r.Errorf("message %d gave %+v, want rejected with a reason", i, p)
				}
			}
			if size := (*stem.SizeError)(nil); !errors.As(out[4].Err, &size) || size.Limit != stem.MaxMessage {
				r.Errorf("the large one gave %v, want a SizeError", out[4].Err)
			}
			r.claims("a", "b")
		}},
		{rule: "a message of the largest size is carried", run: func(r *rig) {
			m := r.msg("a")
			m.Envelope.Body = bytes.Repeat([]byte("x"), stem.MaxMessage-m.Envelope.Size()+len(m.Envelope.Body))
			r.put(m)
			if d := r.one(); !bytes.Equal(d.Envelope.Body, m.Envelope.Body) {
				r.Errorf("body has %d bytes, want %d", len(d.Envelope.Body), len(m.Envelope.Body))
			}
		}},
		{rule: "publishing nothing is no error", run: func(r *rig) { r.publish() }},
	}
}
