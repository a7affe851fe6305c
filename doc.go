// Package stem is the vocabulary of Stem: tasks, envelopes, deliveries, settlements and the ports that carry them, and the
// Client that enqueues.
//
// A Go service that produces tasks imports this package and one adapter, nothing else of Stem:
//
//	var Resize = stem.NewTask[ResizeArgs, Image]("media.resize", stem.Queue("media"), stem.MaxRetries(5))
//
//	store, err := sqlite.Open(ctx, "sqlite:///var/lib/stem/stem.db")
//	client := stem.NewClient(store)
//	h, err := Resize.Enqueue(ctx, client, ResizeArgs{Path: "a.jpg"}, stem.Delay(time.Minute))
//	img, err := h.Wait(ctx)
//
// It is not a worker: stemd claims tasks and runs them in handler plugins (package plugin/sdk). Every other package of the
// module may import this one; it imports only protobuf messages.
package stem
