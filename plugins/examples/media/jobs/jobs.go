// Package jobs defines the tasks of the media plugin, for producers and for the plugin itself.
package jobs

import "github.com/stemd/stem"

// ResizeArgs are the arguments of Resize.
type ResizeArgs struct {
	Path  string `json:"path" jsonschema_description:"picture to read: PNG, JPEG or GIF"`
	Width int    `json:"width" jsonschema_description:"width of the thumbnail in pixels"`
	Out   string `json:"out,omitempty" jsonschema_description:"file to write; default: beside the picture, with the width in its name"`
}

// Image is the result of Resize.
type Image struct {
	Path   string `json:"path"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Bytes  int64  `json:"bytes"`
}

// Resize makes a PNG thumbnail of a picture.
var Resize = stem.NewTask[ResizeArgs, Image]("media.resize",
	stem.Queue("media"), stem.MaxRetries(3), stem.Idempotent(),
	stem.Describe("make a PNG thumbnail of a PNG, JPEG or GIF"), stem.Tags("images"))
