package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	taskv1 "github.com/stemd/stem/plugin/proto/stem/task/v1"
	"github.com/stemd/stem/plugin/register"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// This file is the plugin the tests run: this test binary, started by the host, speaking the bare protocol. Its first argument
// says how it misbehaves before it serves; the task's name how its handlers do.

func fixture(mode string) {
	arg := ""
	mode, arg, _ = strings.Cut(mode, "=")
	switch mode {
	case "exit":
		fmt.Fprintln(os.Stderr, "no licence found")
		os.Exit(3)
	case "garbage":
		fmt.Println("hello, world")
		select {}
	case "silent":
		fmt.Fprintln(os.Stderr, "thinking")
		time.Sleep(time.Hour)
	case "mute": // a good handshake, then nothing
		fmt.Println("1|1|unix|/nonexistent|grpc|")
		time.Sleep(time.Hour)
	}
	p := &service{stderr: os.Stderr, stdout: os.Stdout, mode: mode, logs: make(chan *pluginv1.LogRecord, 100), version: "1"}
	version := plugin.ProtocolVersion
	switch mode {
	case "protocol":
		version = 9
	case "version": // of the plugin itself
		p.version = arg
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: uint(version), MagicCookieKey: plugin.CookieKey, MagicCookieValue: plugin.CookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{version: {plugin.Name: wire{p: p}}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(8<<20), grpc.MaxSendMsgSize(1<<30))...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard}),
	})
}

type wire struct {
	goplugin.NetRPCUnsupportedPlugin
	p *service
}

func (w wire) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterPluginServiceServer(s, w.p)
	return nil
}

func (wire) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("not a host")
}

type service struct {
	pluginv1.UnimplementedPluginServiceServer
	stdout, stderr *os.File // the real ones: Serve replaces those of package os
	mode, version  string
	logs           chan *pluginv1.LogRecord

	stream   pluginv1.PluginService_SessionServer
	register *register.Register
	replies  chan *pluginv1.Reply

	sendMu sync.Mutex
	mu     sync.Mutex
	queue  []*pluginv1.Delivery
	wake   *sync.Cond
	drain  bool
	cancel map[uint64]context.CancelCauseFunc
	early  map[uint64]error // cancelled before it started
}

func (p *service) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	m := &pluginv1.Manifest{
		Name: "fixture", Version: p.version, Protocol: plugin.ProtocolVersion, Sdk: "test",
		Features: []string{plugin.FeatureRegister, plugin.FeatureRecall, plugin.FeatureDump},
		Tasks:    []*pluginv1.TaskSpec{{Name: "noop", Options: &taskv1.Options{Queue: proto.String("q")}}},
	}
	if p.mode == "plain" {
		m.Features = nil
	}
	if p.mode == "manifest9" {
		m.Protocol = 9
	}
	return &pluginv1.DescribeResponse{Manifest: m}, nil
}

func (p *service) Logs(_ *pluginv1.LogsRequest, stream pluginv1.PluginService_LogsServer) error {
	for r := range p.logs {
		if err := stream.Send(&pluginv1.LogsResponse{Records: []*pluginv1.LogRecord{r}}); err != nil {
			return err
		}
	}
	return nil
}

func (p *service) Session(stream pluginv1.PluginService_SessionServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	c := first.Configure
	if p.mode == "refuse" {
		return fmt.Errorf("config: unknown key %s", c.Config)
	}
	if c.Register != "" {
		if p.register, err = register.Open(c.Register); err != nil {
			return err
		}
	}
	p.early = map[uint64]error{}
	p.stream, p.wake, p.cancel, p.replies = stream, sync.NewCond(&p.mu), map[uint64]context.CancelCauseFunc{}, make(chan *pluginv1.Reply, 1)
	p.send(&pluginv1.SessionResponse{Ready: &pluginv1.Ready{Credits: c.Slots}})
	if p.mode == "doomed" {
		time.AfterFunc(5*time.Millisecond, func() { os.Exit(6) })
	}
	var slots sync.WaitGroup
	for slot := range int(c.Slots) {
		slots.Go(func() { p.work(slot) })
	}
	go func() {
		for {
			f, err := stream.Recv()
			if err != nil {
				os.Exit(0)
			}
			p.take(f)
		}
	}()
	slots.Wait()
	defer time.AfterFunc(50*time.Millisecond, func() { os.Exit(0) })
	return nil
}

func (p *service) send(f *pluginv1.SessionResponse) {
	p.sendMu.Lock()
	defer p.sendMu.Unlock()
	_ = p.stream.Send(f)
}

func (p *service) take(f *pluginv1.SessionRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, f.Deliver...)
	for _, c := range f.Cancel {
		if cancel := p.cancel[c.Seq]; cancel != nil {
			cancel(errors.New(c.Why))
		} else {
			p.early[c.Seq] = errors.New(c.Why)
		}
	}
	var back []uint64
	p.queue = slices.DeleteFunc(p.queue, func(d *pluginv1.Delivery) bool {
		if slices.Contains(f.Recall, d.Seq) {
			back = append(back, d.Seq)
			return true
		}
		return false
	})
	for _, r := range f.Replies {
		p.replies <- r
	}
	p.drain = p.drain || f.Drain
	p.wake.Broadcast()
	if len(back) > 0 {
		go p.send(&pluginv1.SessionResponse{Recalled: back})
	}
}

// work is one slot. It takes what is queued, and sends its outcomes in one frame.
func (p *service) work(slot int) {
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && !p.drain {
			p.wake.Wait()
		}
		if len(p.queue) == 0 {
			p.mu.Unlock()
			return
		}
		n := 1
		if p.queue[0].Queue == "bench" {
			n = min(len(p.queue), 64)
		}
		batch := p.queue[:n:n]
		p.queue = p.queue[n:]
		ctx, cancel := context.WithCancelCause(context.Background())
		if n == 1 {
			p.cancel[batch[0].Seq] = cancel
			if why := p.early[batch[0].Seq]; why != nil {
				cancel(why)
			}
		}
		p.mu.Unlock()
		out := &pluginv1.SessionResponse{}
		for _, d := range batch {
			out.Settle = append(out.Settle, p.run(ctx, slot, d)...)
		}
		if n == 1 {
			p.mu.Lock()
			delete(p.cancel, batch[0].Seq)
			p.mu.Unlock()
		}
		cancel(nil)
		p.send(out)
	}
}

func (p *service) run(ctx context.Context, slot int, d *pluginv1.Delivery) []*pluginv1.Outcome {
	started := time.Now()
	if p.register != nil {
		p.register.Begin(slot, d.Seq, started)
		defer p.register.End(slot)
	}
	o := &pluginv1.Outcome{Seq: d.Seq, StartedAt: started.UnixMicro()}
	func() {
		defer func() {
			if r := recover(); r != nil {
				o.Error = &taskv1.Error{Class: "panic", Message: fmt.Sprint(r)}
			}
		}()
		if err := p.handle(ctx, d, o); err != nil {
			o.Error = &taskv1.Error{Class: "error", Type: "Error", Message: err.Error()}
		}
	}()
	if o.FinishedAt == 0 {
		o.FinishedAt = time.Now().UnixMicro()
	}
	if string(d.Body) == "late-exit" && p.register != nil {
		p.register.End(slot)
		os.Exit(5)
	}
	if strings.HasPrefix(d.Queue, "twice") {
		return []*pluginv1.Outcome{o, o, {Seq: 1 << 40}}
	}
	return []*pluginv1.Outcome{o}
}

// burnt is the CPU time of this process.
func burnt() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// handle runs the task its body names: "name argument".
func (p *service) handle(ctx context.Context, d *pluginv1.Delivery, o *pluginv1.Outcome) error {
	name, arg, _ := strings.Cut(string(d.Body), " ")
	switch name {
	case "noop", "":
		return nil
	case "echo":
		o.Result = []byte(arg)
		o.FinishedAt = o.StartedAt + 100 // fast by its own account, however busy the machine is
		return nil
	case "env":
		env := os.Environ()
		slices.Sort(env)
		o.Result, _ = json.Marshal(env)
		return nil
	case "stdin":
		b, err := io.ReadAll(os.Stdin)
		o.Result = b
		return err
	case "error":
		return errors.New("no such picture")
	case "panic":
		panic("index out of range")
	case "panic-elsewhere":
		go func() { panic("lost my " + arg) }()
		select {}
	case "exit":
		fmt.Fprintln(p.stderr, "out of luck")
		os.Exit(4)
	case "signal":
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		select {}
	case "segfault": // which a Go program takes for a panic of its own
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		select {}
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {}
	case "spin":
		for {
			_ = name
		}
	case "deaf": // to the request for its stacks
		signal.Ignore(syscall.SIGQUIT)
		select {}
	case "late-exit": // see run: after it returned, before its outcome is sent
		return nil
	case "orphan": // a process whose parent is gone, and which ends by itself
		cmd := exec.Command("/bin/sh", "-c", "setsid sh -c 'echo $$; exec sleep 0.2' & exit")
		var err error
		o.Result, err = cmd.Output()
		return err
	case "sleep": // heeds its context
		n, _ := time.ParseDuration(arg)
		select {
		case <-time.After(n):
			return nil
		case <-ctx.Done():
			return fmt.Errorf("gave up: %w", context.Cause(ctx))
		}
	case "stubborn":
		n, _ := time.ParseDuration(arg)
		time.Sleep(n)
		return nil
	case "stuck": // stubborn for an hour, and says that it runs
		p.send(&pluginv1.SessionResponse{Progress: []*pluginv1.Progress{{Seq: d.Seq}}})
		time.Sleep(time.Hour)
		return nil
	case "await": // says that it runs, and ends when there is such a file
		p.send(&pluginv1.SessionResponse{Progress: []*pluginv1.Progress{{Seq: d.Seq}}})
		for ; ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(arg); err == nil {
				return nil
			}
		}
	case "grandchild": // it holds our stdout and stderr and outlives us, unless it is killed with us
		cmd := exec.Command("/bin/sh", "-c", "sleep 300 & echo $!; wait")
		if arg == "setsid" {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		}
		cmd.Stderr = p.stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		var sleeper int
		if _, err := fmt.Fscan(out, &sleeper); err != nil {
			return err
		}
		o.Result = fmt.Appendf(nil, "%d %d", cmd.Process.Pid, sleeper)
		return nil
	case "burn": // CPU and memory, then another name
		n, next, _ := strings.Cut(arg, " ")
		burn, _ := time.ParseDuration(n)
		memory := make([]byte, 48<<20)
		for i := 0; i < len(memory); i += os.Getpagesize() {
			memory[i] = 1
		}
		for began := burnt(); burnt()-began < burn; {
			_ = memory
		}
		fmt.Fprintln(p.stderr, "burnt")
		d.Body = []byte(next)
		return p.handle(ctx, d, o)
	case "alive": // signs of life for so long at least, then silence
		n, _ := time.ParseDuration(arg)
		for ; n > 0; n -= 10 * time.Millisecond {
			time.Sleep(10 * time.Millisecond)
			p.send(&pluginv1.SessionResponse{Progress: []*pluginv1.Progress{{Seq: d.Seq}}})
		}
		select {}
	case "print": // raw, to the real stderr
		_, err := p.stderr.WriteString(arg + "\n")
		return err
	case "println": // as a handler would
		fmt.Println(arg)
		return nil
	case "long": // one line of so many bytes without an end, on both
		var n int
		_, _ = fmt.Sscan(arg, &n)
		line := []byte(strings.Repeat("x", n))
		if _, err := p.stdout.Write(line); err != nil {
			return err
		}
		_, err := p.stderr.Write(line)
		return err
	case "midframe": // killed while megabytes are on their way
		n, _ := time.ParseDuration(arg)
		go p.send(&pluginv1.SessionResponse{Progress: []*pluginv1.Progress{{Seq: d.Seq, Data: make([]byte, 7<<20)}}})
		time.Sleep(n)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "fds": // opens files until there are no more, and keeps them
		for {
			if _, err := syscall.Open("/dev/null", syscall.O_RDONLY, 0); err != nil {
				return err
			}
		}
	case "result":
		var n int
		_, _ = fmt.Sscan(arg, &n)
		o.Result = make([]byte, n)
		return nil
	case "log":
		p.logs <- &pluginv1.LogRecord{Seq: d.Seq, Time: time.Now().UnixMicro(), Level: 4, Message: arg, Attrs: []byte(`{"n":1}`)}
		return nil
	case "progress":
		p.send(&pluginv1.SessionResponse{Progress: []*pluginv1.Progress{{Seq: d.Seq, Percent: 40, Data: []byte(arg)}}})
		return nil
	case "enqueue":
		p.send(&pluginv1.SessionResponse{Calls: []*pluginv1.Call{{Call: 1, Seq: d.Seq, Enqueue: []*pluginv1.NewTask{
			{Header: &taskv1.Header{Name: arg}, Body: []byte("b"), Key: "#1"},
		}}}})
		r := <-p.replies
		o.Result = []byte(strings.Join(r.Ids, ","))
		if r.Error != "" {
			return errors.New(r.Error)
		}
		return nil
	case "headless": // a call whose task has no header
		p.send(&pluginv1.SessionResponse{Calls: []*pluginv1.Call{{Call: 1, Seq: d.Seq, Enqueue: []*pluginv1.NewTask{{Key: "#1"}}}}})
		return errors.New((<-p.replies).Error)
	case "cut-register":
		for _, arg := range os.Environ() {
			if dir, ok := strings.CutPrefix(arg, "TMPDIR="); ok {
				return os.Truncate(strings.TrimSuffix(dir, "tmp")+"register", 0)
			}
		}
		return nil
	}
	return p.resource(ctx, name, arg, o)
}
