// Package adapters holds what every storage backend shares: the Collector that batches, Compose that joins ports of different
// stores into one, and the derivation of a live task's status. Backends are its sub-packages and import it, never each other.
package adapters
