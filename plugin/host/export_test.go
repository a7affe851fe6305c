package host

import "time"

// Patient makes a pool that does not run yet wait as long as a test may take for the stacks of a process and before it takes back
// what it sent ahead, however busy the machine is.
func (p *Pool) Patient() { p.dumpPatience, p.aheadPatience = time.Hour, time.Hour }
