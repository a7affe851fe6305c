package redis

import "context"

// warnings is what an operator should know of the server.
func (d *db) warnings(context.Context) []string { return nil }
