// Package adapters holds what every storage backend shares: the Collector that batches, Compose that joins ports of different
// stores into one and Spread that makes one store of many, the derivation of a live task's status, the rules of a delivery state's
// life, and the checks of what may be written. Backends are its sub-packages and import it, never each other; adaptertest is the
// contract they all pass.
package adapters
