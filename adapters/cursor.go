package adapters

import (
	"fmt"

	"github.com/stemd/stem"
)

// BadCursor refuses a cursor that the store did not give out.
func BadCursor(cursor string) error {
	return &stem.OptionError{Option: "cursor", Reason: fmt.Sprintf("%q is not one of this store", cursor)}
}
