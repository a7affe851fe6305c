package adapters

import (
	"time"

	"github.com/stemd/stem"
)

// LeaseLength is how long a lease lasts for which this long was asked.
func LeaseLength(asked time.Duration) time.Duration {
	if asked <= 0 {
		return stem.DefaultLease
	}
	return asked
}

// LeaseOf is how long a claim that asks for this long holds a task, which may have a wish of its own.
func LeaseOf(m *stem.Message, asked time.Duration) time.Duration {
	if m.Lease > 0 {
		return m.Lease
	}
	return LeaseLength(asked)
}

// ResultLife is how long a result is kept for which this long was asked.
func ResultLife(ttl time.Duration) time.Duration {
	if ttl <= 0 {
		return stem.DefaultResultTTL
	}
	return ttl
}

// GroupLife is ResultLife for groups.
func GroupLife(ttl time.Duration) time.Duration {
	if ttl <= 0 {
		return stem.DefaultGroupTTL
	}
	return ttl
}

// ReservedFor is how long a unique key is reserved beyond its task's due time or lease.
func ReservedFor(u stem.Reservation) time.Duration {
	if u.For <= 0 {
		return stem.DefaultUnique
	}
	return u.For
}

// Limits of pages: what a zero or too large limit means.
const (
	pageDefault       = 50
	recordPageDefault = 100
	pageMax           = 1000
)

// PageLimit is the number of items a page of statuses, tasks or dead letters holds when limit was asked for.
func PageLimit(limit int) int { return clampLimit(limit, pageDefault) }

// RecordLimit is PageLimit for records.
func RecordLimit(limit int) int { return clampLimit(limit, recordPageDefault) }

func clampLimit(limit, def int) int {
	if limit <= 0 {
		return def
	}
	return min(limit, pageMax)
}
