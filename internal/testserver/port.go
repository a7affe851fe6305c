package testserver

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports below those that the kernel gives to outgoing connections: a killed server finds its port free when it comes back.
const firstPort, ports = 11_000, 20_000

// freePort is a loopback port that nobody listens on. Its bus port, where a Cluster's nodes speak, is the next one and free as well.
func freePort() (int, error) {
	for range 100 {
		port := firstPort + 2*rand.IntN(ports/2)
		if free(port) && free(port+1) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("testserver: no free port between %d and %d", firstPort, firstPort+ports)
}

func free(port int) bool {
	l, err := net.Listen("tcp", address(port))
	return err == nil && l.Close() == nil
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
