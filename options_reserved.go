package stem

import "time"

// The options below have their place in the message. Enqueue refuses them with an *OptionError that names them, because no
// daemon of this version acts on them and an option that is silently ignored is a bug in somebody's night.

// Unique allows one live task per key.
func Unique() Option { return func(s *settings) { yes := true; s.Options.Unique = &yes } }

// UniqueFor bounds how long the unique key is held.
func UniqueFor(d time.Duration) Option { return func(s *settings) { s.Options.UniqueFor = &d } }

// UniqueKey chooses the unique key.
func UniqueKey(key string) Option { return func(s *settings) { s.Options.UniqueKey = &key } }

// RateLimit is "N/s", "N/m" or "N/h".
func RateLimit(rate string) Option { return func(s *settings) { s.Options.RateLimit = &rate } }

// GroupRateLimit is a rate shared by several tasks.
func GroupRateLimit(rate string) Option {
	return func(s *settings) { s.Options.GroupRateLimit = &rate }
}

// Serializer chooses the encoder of the arguments by its id.
func Serializer(id string) Option { return func(s *settings) { s.Options.Serializer = &id } }

// Compression is "gzip", "zstd" or "none".
func Compression(name string) Option { return func(s *settings) { s.Options.Compression = &name } }

// Exchange is a routing hint for brokers that have exchanges.
func Exchange(name string) Option { return func(s *settings) { s.Options.Exchange = &name } }

// RoutingKey is a routing hint for brokers that have exchanges.
func RoutingKey(key string) Option { return func(s *settings) { s.Options.RoutingKey = &key } }

// PublishConnection is a routing hint: the connection to publish on.
func PublishConnection(name string) Option {
	return func(s *settings) { s.Options.PublishConnection = &name }
}

// Link publishes a task after this one's success.
func Link(e Envelope) Option { return func(s *settings) { s.Options.Link = append(s.Options.Link, e) } }

// LinkError publishes a task after this one's terminal failure.
func LinkError(e Envelope) Option {
	return func(s *settings) { s.Options.LinkError = append(s.Options.LinkError, e) }
}

// unsupported names the first option that is set and that nothing acts on yet.
func (o *Options) unsupported() string {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"unique", o.Unique != nil},
		{"uniqueFor", o.UniqueFor != nil},
		{"uniqueKey", o.UniqueKey != nil},
		{"rateLimit", o.RateLimit != nil},
		{"groupRateLimit", o.GroupRateLimit != nil},
		{"groupRateKey", o.GroupRateKey != nil},
		{"groupRateKeyHeader", o.GroupRateKeyHeader != nil},
		{"groupRateLimiterFailureMode", o.GroupRateLimiterFailureMode != nil},
		{"serializer", o.Serializer != nil},
		{"compression", o.Compression != nil},
		{"exchange", o.Exchange != nil},
		{"routingKey", o.RoutingKey != nil},
		{"publishConnection", o.PublishConnection != nil},
		{"link", len(o.Link) > 0},
		{"linkError", len(o.LinkError) > 0},
	} {
		if f.set {
			return f.name
		}
	}
	return ""
}
