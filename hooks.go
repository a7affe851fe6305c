package stem

import "context"

// Hooks are called around the publish of each task. The first registered is the outermost: its BeforePublish runs first, its
// AfterPublish last. They must be safe for concurrent use.
type Hooks struct {
	// BeforePublish may change headers and meta. An error aborts this task's publish and is returned to the caller.
	BeforePublish func(ctx context.Context, h *Header) error
	// AfterPublish is told what became of it.
	AfterPublish func(ctx context.Context, h *Header, p Published)
}

// ClientOption changes a Client.
type ClientOption func(*Client)

// WithHooks adds hooks inside those added before.
func WithHooks(h Hooks) ClientOption { return func(c *Client) { c.hooks = append(c.hooks, h) } }

// WithProducer names the publisher; the default is program@host.
func WithProducer(name string) ClientOption { return func(c *Client) { c.producer = name } }

func (c *Client) before(ctx context.Context, h *Header) error {
	for _, hook := range c.hooks {
		if hook.BeforePublish != nil {
			if err := hook.BeforePublish(ctx, h); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Client) after(ctx context.Context, h *Header, p Published) {
	for i := len(c.hooks) - 1; i >= 0; i-- {
		if hook := c.hooks[i].AfterPublish; hook != nil {
			hook(ctx, h, p)
		}
	}
}
