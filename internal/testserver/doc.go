// Package testserver starts real servers for tests and for bench: on private loopback ports, with their files in a private directory,
// as whatever user runs the tests. A server dies with the process that started it, also when that one is killed.
//
// Redis, Cluster, Sentinel and their TLS form live here. A missing binary is an error that says what to install: nothing is skipped.
// Only test files and bench import it.
//
//	var servers testserver.Shared
//
//	func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }
//
//	func TestSomething(t *testing.T) { url := servers.Redis(t).URL() … }
//
// What a test kills, stops or fills up it has for itself, from NewRedis, NewRedisTLS, NewCluster or NewSentinel; a program starts servers
// with StartRedis and its like. Tests that only need a server use the shared ones, or with STEM_TEST_REDIS_URL one that runs already.
package testserver
