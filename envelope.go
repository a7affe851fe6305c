package stem

// Envelope is what a producer writes once and nobody rewrites: stores and daemons carry these bytes unchanged.
type Envelope struct {
	Header    []byte // encoded Header, see DecodeHeader
	Body      []byte // encoded arguments, opaque to stores and daemon
	Signature []byte // over header and body with their lengths; nil: unsigned
	KeyID     string // key the signature was made with
}

// Size is what MaxMessage bounds.
func (e Envelope) Size() int { return len(e.Header) + len(e.Body) + len(e.Signature) + len(e.KeyID) }
