package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/stemd/stem"
	"github.com/stemd/stem/adapters"
)

// Take implements stem.Limiter.
func (b *broker) Take(ctx context.Context, asks ...stem.RateAsk) ([]stem.RateAnswer, error) {
	out := make([]stem.RateAnswer, len(asks))
	err := b.writeFor(ctx, "take", ofNobody, func(tx *tx) error {
		for i, a := range asks {
			if out[i] = (stem.RateAnswer{Err: adapters.CheckAsk(a)}); out[i].Err != nil {
				continue
			}
			var err error
			if out[i], err = b.takeToken(tx, a); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func (b *broker) takeToken(tx *tx, a stem.RateAsk) (stem.RateAnswer, error) {
	var k adapters.Bucket
	err := tx.row("SELECT full, last FROM buckets WHERE ns = ? AND key = ?", b.ns, a.Key).Scan(&k.Full, &k.Last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return stem.RateAnswer{}, err
	}
	answer := k.Take(a.Rate, tx.us)
	_, err = tx.change(`INSERT INTO buckets (ns, key, full, last, forget) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (ns, key) DO UPDATE SET full = excluded.full, last = excluded.last, forget = excluded.forget`,
		b.ns, a.Key, k.Full, k.Last, k.Forget(a.Rate))
	return answer, err
}
