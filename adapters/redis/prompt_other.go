//go:build !unix

package redis

import "net"

func blocking(c net.Conn) (net.Conn, error) { return c, nil }
