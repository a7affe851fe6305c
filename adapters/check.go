package adapters

import (
	"fmt"

	"github.com/stemd/stem"
)

// CheckMessage says why a message can not be published, or nil. Every broker refuses the same ones, as stem.Rejected.
func CheckMessage(m stem.Message) error {
	for _, f := range []struct{ what, value string }{{"id", m.ID}, {"name", m.Name}, {"queue", m.Queue}} {
		if f.value == "" {
			return &stem.OptionError{Option: f.what, Reason: "is empty"}
		}
		if n := len(f.value); n > stem.MaxName {
			return &stem.SizeError{What: f.what + " of a task", Size: n, Limit: stem.MaxName}
		}
	}
	if err := checkID(m.ID); err != nil {
		return err
	}
	if m.Priority < 0 || m.Priority > stem.MaxPriority {
		return &stem.OptionError{Option: "priority", Reason: fmt.Sprintf("is %d, it must be within 0 to %d", m.Priority, stem.MaxPriority)}
	}
	if n := len(m.Unique.Key); n > stem.MaxName {
		return &stem.SizeError{What: "unique key of " + m.Name, Size: n, Limit: stem.MaxName}
	}
	if n := m.Envelope.Size(); n > stem.MaxMessage {
		return &stem.SizeError{What: "message of " + m.Name, Size: n, Limit: stem.MaxMessage}
	}
	return nil
}

// checkID refuses ids of tasks with control characters, as those are for names of what stores keep beside tasks.
func checkID(id string) error {
	for i := range len(id) {
		if id[i] < ' ' || id[i] == 0x7f {
			return &stem.OptionError{Option: "id", Reason: fmt.Sprintf("%q has a control character", id)}
		}
	}
	return nil
}

// CheckStatuses says why statuses can not be saved, or nil. Every store refuses the same ones.
func CheckStatuses(writes []stem.StatusWrite) error {
	for i := range writes {
		if err := checkID(writes[i].Status.ID); err != nil {
			return err
		}
	}
	return nil
}

// CheckRecord says why a record can not be written, or nil. Every store refuses the same ones.
func CheckRecord(r stem.Record) error {
	if r.Kind == "" || r.ID == "" {
		return &stem.OptionError{Option: "record", Reason: "has no kind or no id"}
	}
	if n := len(r.Body); n > stem.MaxRecord {
		return &stem.SizeError{What: "record " + r.Kind + " " + r.ID, Size: n, Limit: stem.MaxRecord}
	}
	if n := len(r.Tags); n > stem.MaxTags {
		return &stem.SizeError{What: "number of tags of record " + r.Kind + " " + r.ID, Size: n, Limit: stem.MaxTags}
	}
	return nil
}

// CheckSettlement says why a settlement can not be carried out whatever the store holds, or nil.
func CheckSettlement(s stem.Settlement) error {
	if s.Kind < stem.Done || s.Kind > stem.AckEarly {
		return fmt.Errorf("settlement of task %s: unknown kind %d", s.Receipt.ID, s.Kind)
	}
	if s.Kind == stem.Move && s.Queue == "" {
		return fmt.Errorf("settlement of task %s: a move needs a queue", s.Receipt.ID)
	}
	if t := s.Tally; t != nil && (s.Kind != stem.Done && s.Kind != stem.Dead || !t.State.Terminal()) {
		return fmt.Errorf("settlement of task %s: only an end can be counted in group %s", s.Receipt.ID, t.Group)
	}
	for _, m := range s.Then {
		if err := CheckMessage(m); err != nil {
			return fmt.Errorf("settlement of task %s: follow-up: %w", s.Receipt.ID, err)
		}
	}
	for _, w := range s.Save {
		if err := CheckRecord(w.Record); err != nil {
			return fmt.Errorf("settlement of task %s: %w", s.Receipt.ID, err)
		}
	}
	return nil
}

// CheckGroup says why a group can not be opened, or nil.
func CheckGroup(g stem.Group) error {
	if err := stem.CheckName("group", g.ID); err != nil {
		return err
	}
	if n := len(g.Members); n == 0 || n > stem.MaxGroup {
		return &stem.OptionError{Option: "group " + g.ID, Reason: fmt.Sprintf("has %d members, want 1 to %d", n, stem.MaxGroup)}
	}
	known := make(map[string]struct{}, len(g.Members))
	for _, id := range g.Members {
		if _, twice := known[id]; id == "" || twice {
			return &stem.OptionError{Option: "group " + g.ID, Reason: fmt.Sprintf("member %q is empty or named twice", id)}
		}
		known[id] = struct{}{}
	}
	if g.Callback == nil {
		return nil
	}
	if g.Callback.GeneratedID {
		return &stem.OptionError{Option: "group " + g.ID, Reason: "the callback needs a chosen id, so that publishing it twice is harmless"}
	}
	return CheckMessage(*g.Callback)
}

// EndTally counts an end that no settlement made; false: the task is in no group.
func EndTally(s *stem.Status) (stem.Tally, bool) {
	return stem.Tally{Group: s.GroupID, TaskID: s.ID, Epoch: s.Epoch, State: s.State}, s.GroupID != ""
}
