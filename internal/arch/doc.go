// Package arch keeps the floors of the module: its test fails on a package nobody placed, on an import that goes up or
// sideways, on a file that grew too long, and on a heavy dependency where producers would link it.
package arch
