package adapters

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/stemd/stem"
)

// Compose joins the Broker of one store, the Results of a second and the Records of a third. Where they are the same store
// its own transaction is used; where they differ a settlement is ordered, and only this package knows the order:
//
//  1. the lease is renewed, so nobody else can claim the task meanwhile; a lost lease stops here;
//  2. records are saved, one Part after the other; a conflict stops here;
//  3. the result is saved, fenced by the epoch;
//  4. the end is counted in its group, and the callback of a complete group is published;
//  5. the broker acknowledges, together with the follow-ups.
//
// A crash between two steps leaves the task in the broker: it runs again and nothing is lost. Repeating a settlement of the
// same claim, when it gave an error, is harmless: each step is done once or does nothing the second time.
//
// The broker's store knows what is queued and running; Publish, Claim and the settlements that give a task back copy that
// into the results' store. The composed store is closed with all of its parts.
func Compose(broker, results, records stem.Store) stem.Store {
	c := &composed{
		broker: broker, results: results, records: records,
		apart:   results.Results != broker.Results,
		ordered: results.Results != broker.Results || records.Records != broker.Records,
	}
	if !c.ordered {
		return broker
	}
	s := stem.Store{Broker: &composedBroker{c}, Results: broker.Results, Records: records.Records, Info: c.info(), ExamineFunc: c.examine, CloseFunc: c.close}
	if c.apart {
		s.Results = &composedResults{results.Results, broker.Results}
	}
	for _, part := range c.parts() {
		if s.Bus == nil {
			s.Bus = part.Bus
		}
	}
	return s
}

// composed is the three stores of a Compose.
type composed struct {
	broker, results, records stem.Store
	apart                    bool     // results are not in the broker's store
	ordered                  bool     // something is not
	begun                    receipts // whose settlement has saved its records and is not through yet
	leases                   lengths
	early                    receipts // acknowledged early: what else is refused for that must be refused before anything is written
}

// parts are the different stores, the broker's first.
func (c *composed) parts() []stem.Store {
	parts := []stem.Store{c.broker}
	if c.apart {
		parts = append(parts, c.results)
	}
	if c.records.Records != c.broker.Records && c.records.Records != c.results.Records {
		parts = append(parts, c.records)
	}
	return parts
}

func (c *composed) close() error {
	var errs []error
	for _, s := range slices.Backward(c.parts()) {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

func (c *composed) examine(ctx context.Context) (warnings []string, err error) {
	for _, s := range c.parts() {
		more, failed := s.Examine(ctx)
		warnings, err = append(warnings, more...), errors.Join(err, failed)
	}
	return warnings, err
}

func (c *composed) info() stem.StoreInfo {
	info := c.broker.Info
	info.OneFile = false
	var kinds, versions []string
	info.Warnings = nil
	for _, s := range c.parts() {
		kinds, versions = append(kinds, s.Info.Kind), append(versions, s.Info.Version)
		info.Warnings = append(info.Warnings, s.Info.Warnings...)
	}
	info.Kind, info.Version = strings.Join(kinds, " + "), strings.Join(versions, " + ")
	return info
}
