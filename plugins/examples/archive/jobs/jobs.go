// Package jobs defines the tasks of the archive plugin, for producers and for the plugin itself.
package jobs

import "github.com/stemd/stem"

// FileArgs are the arguments of File.
type FileArgs struct {
	Path string `json:"path" jsonschema_description:"file to read"`
	Out  string `json:"out,omitempty" jsonschema_description:"zstd file to write; default: only count"`
}

// Totals is the result of File.
type Totals struct {
	Path       string `json:"path"`
	Size       int64  `json:"size"`
	Compressed int64  `json:"compressed"`
	SHA256     string `json:"sha256"`
}

// File hashes and compresses a file.
var File = stem.NewTask[FileArgs, Totals]("archive.file",
	stem.Queue("archive"), stem.MaxRetries(3), stem.Idempotent(),
	stem.Describe("sha256 and zstd of a file"), stem.Tags("files"))
