// Package host runs handlers in supervised processes. A Pool is a set of identical processes of one plugin build; it starts
// them, hands attempts over in batched frames, enforces limits by killing, and says after a death which attempt was to blame.
//
// go-plugin does the handshake and the transport and nothing else: processes are started, watched and killed here, because its
// own ways hang on stopped processes and on grandchildren that hold the pipes. The package knows the wire (plugin/proto) and not
// the SDK, so a plugin may be written in any language. It is imported by the daemon only.
//
// The order that everything rests on: kill the process group, wait for the process itself, read what it left behind, and only
// then report the ends of its attempts.
package host
