package stem

// TLS names the files, in PEM, for stores that are reached over TLS (rediss://). The zero value trusts the system's roots and shows no
// certificate. It holds no secret itself, only where one is.
type TLS struct {
	CA   string // trust root, instead of the system's
	Cert string // the client's certificate, with Key
	Key  string
	// Insecure accepts any server certificate. For debugging only: stores warn of it.
	Insecure bool
}

// WithTLS says how stores are reached over TLS. Stores that know no TLS ignore it.
func WithTLS(t TLS) StoreOption { return func(o *StoreOptions) { o.TLS = t } }
