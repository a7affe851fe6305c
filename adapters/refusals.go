package adapters

import (
	"errors"
	"fmt"
)

// What stores refuse, in the same words.
var (
	// ErrAckedEarly refuses any other settlement of a task that was acknowledged early.
	ErrAckedEarly = errors.New("acknowledged early: only Done or Dead can follow")
	// ErrNoOwner refuses a claim that nobody could be held to.
	ErrNoOwner = errors.New("a claim needs an owner")
	// ErrLive refuses to replay a dead letter whose id a task has.
	ErrLive = errors.New("a task of this id is live")
	// ErrGone refuses to replay a dead letter that is none any more.
	ErrGone = errors.New("somebody else has replayed or purged it")
)

// KeyTaken says that a dead letter can not be replayed because another task holds its unique key.
func KeyTaken(holder string) error {
	return fmt.Errorf("task %s holds its unique key: replay it when that one has ended", holder)
}
