package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/stemd/stem/plugin"
	pluginv1 "github.com/stemd/stem/plugin/proto/stem/plugin/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxFrame is the largest frame accepted or sent, in bytes.
	maxFrame = 8 << 20
	// window is how many bytes may be on their way. It is fixed: to find out what it may be gRPC sends a ping with the frames of an idle
	// stream, and three writes and wake-ups beside a task delay its start.
	window = 1 << 20
	// parentPoll is how often the process looks whether its host is still its parent.
	parentPoll = time.Second
	// unattended is how long the process waits for a session. A host opens it right after the handshake; one that died before the
	// process first looked who its parent is would never be missed.
	unattended = time.Minute
	// lastWords is how long the process stays after its session ended, for the end to reach the host.
	lastWords = 100 * time.Millisecond
)

// Serve runs the plugin under its host and does not return. Run by hand, it says what the program is and exits with 1.
func Serve(p *Plugin) {
	if os.Getenv(plugin.CookieKey) != plugin.CookieValue {
		fmt.Fprint(os.Stderr, p.usage(os.Args[0]))
		os.Exit(1)
	}
	// The host decides when this process ends. A signal to the service's group must not end running tasks, and neither must a line
	// written to a pipe whose host is gone. They are caught and not ignored: programs that handlers start would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	go exitWithParent(os.Getppid())
	unused := time.AfterFunc(unattended, func() { os.Exit(1) })
	service := NewService(p, func() { time.AfterFunc(lastWords, func() { os.Exit(0) }) })
	// go-plugin puts pipes in place of os.Stdout and os.Stderr, into a stream that a killed process never finishes. What handlers
	// print goes to the real standard error instead, whose end the host keeps as the process's last words.
	words := os.Stderr
	service.began = func() {
		unused.Stop()
		os.Stdout, os.Stderr = words, words
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: plugin.ProtocolVersion, MagicCookieKey: plugin.CookieKey, MagicCookieValue: plugin.CookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{
			plugin.ProtocolVersion: {plugin.Name: grpcPlugin{service: service}},
		},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(maxFrame), grpc.MaxSendMsgSize(maxFrame),
				grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window))...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard}),
	})
	os.Exit(0)
}

func (p *Plugin) usage(path string) string {
	var names []string
	for _, h := range p.order {
		names = append(names, h.spec.Name)
	}
	return fmt.Sprintf("%s %s is a Stem handler plugin; it is started by stemd, not by hand.\ntasks: %s\ntry:   stemd -dev %s\n",
		p.name, p.version, strings.Join(names, " "), path)
}

// exitWithParent ends the process when its host is gone. On Linux the kernel does it first.
func exitWithParent(parent int) {
	for range time.Tick(parentPoll) {
		if os.Getppid() != parent {
			os.Exit(1)
		}
	}
}

// grpcPlugin is go-plugin's view of a plugin.
type grpcPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	service *Service
}

func (g grpcPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	pluginv1.RegisterPluginServiceServer(s, g.service)
	return nil
}

func (grpcPlugin) GRPCClient(context.Context, *goplugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is not a host")
}

// Service is the plugin side of the protocol.
type Service struct {
	pluginv1.UnimplementedPluginServiceServer
	plugin *Plugin
	logs   *logs
	began  func() // when the session opens; may be nil
	ended  func()
}

var _ pluginv1.PluginServiceServer = (*Service)(nil)

// NewService serves a plugin's protocol on a gRPC server of the caller's; ended is called when the session is over.
func NewService(p *Plugin, ended func()) *Service {
	return &Service{plugin: p, logs: newLogs(), ended: ended}
}

// Describe implements the protocol.
func (s *Service) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{Manifest: s.plugin.manifest()}, nil
}

// Session implements the protocol: it lasts until the host ends the stream, or asks for a drain and everything has ended.
func (s *Service) Session(stream grpc.BidiStreamingServer[pluginv1.SessionRequest, pluginv1.SessionResponse]) error {
	defer s.ended()
	if s.began != nil {
		s.began()
	}
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetConfigure() == nil {
		return status.Error(codes.FailedPrecondition, "the first frame must carry configure")
	}
	out := newOutbox()
	session, err := newSession(s.plugin, first.GetConfigure(), out, s.logs)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	session.handle(first)
	received := make(chan struct{})
	go func() {
		defer close(received)
		for {
			f, err := stream.Recv()
			if err != nil {
				return // the stream is over, whatever the reason
			}
			session.handle(f)
		}
	}()
	over := make(chan struct{})
	go func() {
		select {
		case <-received:
		case <-session.idle:
		}
		close(over)
	}()
	err = out.send(over, stream.Send)
	// A handler that does not listen keeps its slot; the process ends all the same, it is not waited for.
	session.stop()
	return err
}

// Logs implements the protocol.
func (s *Service) Logs(_ *pluginv1.LogsRequest, stream grpc.ServerStreamingServer[pluginv1.LogsResponse]) error {
	return s.logs.send(stream.Context(), stream.Send)
}
