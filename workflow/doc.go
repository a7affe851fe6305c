// Package workflow keeps durable runs: what a run is (Run, Step, Suspension), and the Store that moves it from one state to the
// next. A run is a small document, each of its steps a checkpoint beside it; a sleep and a wait for an event are one record with a
// time to wake at. All of it is stem.Records, so it holds on every store, and every change of a run is one atomic write.
//
// It is not an engine: it runs no step, publishes no message and polls nothing. An engine claims a run, checkpoints its steps and
// wakes what is due; a command or a page lists and cancels. Every package above the root may import it.
package workflow
