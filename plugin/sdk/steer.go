package sdk

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/stemd/stem"
)

// Causes of a cancelled context, for context.Cause.
var (
	ErrSoftLimit = errors.New("the soft time limit has passed")
	ErrCancelled = errors.New("the task was cancelled")
	ErrShutdown  = errors.New("the worker is stopping")
	ErrLostLease = errors.New("another worker has the task")
)

func causeOf(why string) error {
	switch why {
	case "soft-limit":
		return ErrSoftLimit
	case "shutdown":
		return ErrShutdown
	case "lost-lease":
		return ErrLostLease
	}
	return ErrCancelled
}

// Permanent marks an error that another attempt would only repeat: the task becomes a dead letter at once. nil stays nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &steering{err: err, permanent: true}
}

// RetryAfter asks for another attempt after d, as long as the task's retries allow.
func RetryAfter(d time.Duration, err error) error {
	return &steering{err: orDefault(err, "the handler asked for a retry"), retry: &stem.Override{}, after: &d}
}

// Retry asks for another attempt with changes: a retry budget for this failure, and policy and limits from here on.
func Retry(o stem.Override, err error) error {
	return &steering{err: orDefault(err, "the handler asked for a retry"), retry: &o}
}

// Snooze runs the task again after d without spending an attempt.
func Snooze(d time.Duration) error {
	return &steering{err: fmt.Errorf("snoozed for %s", d), snooze: d}
}

// Typed gives an error the type name that retry filters compare; without it the name is that of its Go type.
func Typed(name string, err error) error {
	if err == nil {
		return nil
	}
	return &steering{err: err, typeName: name}
}

// steering is an error with instructions. Several may wrap each other.
type steering struct {
	err       error
	permanent bool
	retry     *stem.Override
	after     *time.Duration
	snooze    time.Duration
	typeName  string
}

func (s *steering) Error() string { return s.err.Error() }
func (s *steering) Unwrap() error { return s.err }

// instructions adds up what the steering errors in a chain say; an outer one wins.
func instructions(err error) steering {
	var sum steering
	for s := (*steering)(nil); errors.As(err, &s); err = s.err {
		sum.permanent = sum.permanent || s.permanent
		if sum.retry == nil {
			sum.retry, sum.after = s.retry, s.after
		}
		if sum.snooze == 0 {
			sum.snooze = s.snooze
		}
		if sum.typeName == "" {
			sum.typeName = s.typeName
		}
	}
	return sum
}

func orDefault(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}

// typeName is the name of an error's Go type without package and pointer, "PathError" for *fs.PathError. Wrapping that adds only
// words is looked through, and an error made of words alone is "error".
func typeName(err error) string {
	for {
		t := reflect.TypeOf(err)
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch t.PkgPath() + "." + t.Name() {
		case "fmt.wrapError", "github.com/stemd/stem/plugin/sdk.steering":
			err = errors.Unwrap(err)
			continue
		case "errors.errorString", "fmt.wrapErrors", "errors.joinError", ".":
			return "error"
		}
		return t.Name()
	}
}
