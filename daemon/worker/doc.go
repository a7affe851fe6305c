// Package worker is the part of the daemon that works: it claims tasks from the broker, lets each pass the gates, hands it to
// the runner of its pool, decides what an outcome means and settles it.
//
//	claim → gates → dispatch → decide → settle
//
// What an outcome means is a pure function (decide), and so are the gates and the weights between queues; everything with an
// effect is a thin loop around them. Each claimed task is a *task in the table of the worker until its settlement is written;
// the table is what leases are renewed from and what a shutdown gives back.
//
// It knows stores and runners only by their interfaces: no process is started and no adapter opened here. The daemon imports
// it, nobody else.
package worker
