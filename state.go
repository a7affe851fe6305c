package stem

import (
	"time"

	taskv1 "github.com/stemd/stem/plugin/proto/stem/task/v1"
	"google.golang.org/protobuf/proto"
)

// Epoch fences a claim: it strictly rises over every claim of one task id, also over replay and reuse of the id. A store sets
// it to max(previous + 1, its clock in microseconds).
type Epoch int64

// NextEpoch is the one rule for epochs and record versions.
func NextEpoch(previous Epoch, now time.Time) Epoch { return max(previous+1, Epoch(now.UnixMicro())) }

// State is the unsigned delivery state of a task. The zero value is that of a task just published.
type State struct {
	// Kept by the store; what a settlement carries here is ignored.
	Epoch        Epoch     // given with Publish: every claim is to be above it, and if > 0 the id may have been published before
	Redeliveries int       // leases that expired
	Created      time.Time // accepted by the store, on its clock
	NotBefore    time.Time // hidden until then; zero: visible
	AckedEarly   bool      // settled AckEarly: an expired lease must not run it again
	Replays      int       // times it came back from the dead letters; its expiry is waived when > 0

	// Kept by daemons and written with a settlement.
	Attempt      int           // 0-based
	Crashes      int           // attempts that ended in the death of the process
	Failures     map[Class]int // failed attempts by class, for the rules per class; never changed in place
	Parked       time.Time
	Home         string // queue it was published to, once it was moved
	Override     *Override
	Evidence     string // which attempts left evidence, see EvidenceTrail
	FirstStarted time.Time
}

// Override is what a handler asked for when it requested a retry.
type Override struct {
	MaxRetries  *int // for the next failure only
	RetryPolicy *RetryPolicy
	SoftLimit   *time.Duration
	HardLimit   *time.Duration
}

// EncodeState encodes the daemons' part of a State for an adapter's column; nil for the zero value.
func EncodeState(s State) ([]byte, error) {
	if s.Attempt == 0 && s.Crashes == 0 && s.Home == "" && len(s.Evidence) == 0 && s.Override == nil && len(s.Failures) == 0 &&
		s.Parked.IsZero() && s.FirstStarted.IsZero() { // as most are
		return nil, nil
	}
	m := &taskv1.State{
		Attempt: int32(s.Attempt), Crashes: int32(s.Crashes), Parked: micros(s.Parked), Home: s.Home,
		Override: s.Override.Proto(), Evidence: s.Evidence, FirstStarted: micros(s.FirstStarted),
	}
	for class, n := range s.Failures {
		if m.Failures == nil {
			m.Failures = make(map[string]int32, len(s.Failures))
		}
		m.Failures[string(class)] = int32(n)
	}
	b, err := proto.Marshal(m)
	if len(b) == 0 {
		return nil, err
	}
	return b, err
}

// DecodeState reads what EncodeState wrote into s and leaves the store's own fields alone.
func DecodeState(b []byte, s *State) error {
	if len(b) == 0 {
		return nil
	}
	var m taskv1.State
	if err := proto.Unmarshal(b, &m); err != nil {
		return err
	}
	s.Attempt, s.Crashes, s.Parked, s.Home = int(m.Attempt), int(m.Crashes), fromMicros(m.Parked), m.Home
	s.Override, s.Evidence, s.FirstStarted = OverrideFromProto(m.Override), m.Evidence, fromMicros(m.FirstStarted)
	s.Failures = nil
	for class, n := range m.Failures {
		if s.Failures == nil {
			s.Failures = make(map[Class]int, len(m.Failures))
		}
		s.Failures[Class(class)] = int(n)
	}
	return nil
}

// Proto converts to the wire form; nil stays nil.
func (o *Override) Proto() *taskv1.Override {
	if o == nil {
		return nil
	}
	return &taskv1.Override{
		MaxRetries: int32p(o.MaxRetries), RetryPolicy: o.RetryPolicy.Proto(),
		SoftLimit: durationp(o.SoftLimit), HardLimit: durationp(o.HardLimit),
	}
}

// OverrideFromProto converts a wire Override; nil stays nil.
func OverrideFromProto(m *taskv1.Override) *Override {
	if m == nil {
		return nil
	}
	return &Override{
		MaxRetries: intp(m.MaxRetries), RetryPolicy: RetryPolicyFromProto(m.RetryPolicy),
		SoftLimit: fromDurationp(m.SoftLimit), HardLimit: fromDurationp(m.HardLimit),
	}
}
