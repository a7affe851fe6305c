package adapters

import "sync"

// Abreast does something for each of n members of a batch, for most of them at the same time, waits for all, and gives the error of each.
func Abreast(n, most int, do func(i int) error) []error {
	errs := make([]error, n)
	turn := make(chan struct{}, most)
	var all sync.WaitGroup
	for i := range errs {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			errs[i] = do(i)
		})
	}
	all.Wait()
	return errs
}
