package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"log"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	receiveWindow = 1 << 30
	bufferSize    = 256 << 10
)

// call is a request that is in flight on a connection. Its owner may use it again once it has ended.
type call struct {
	path    string
	message []byte
	wanted  bool              // keep the reply
	each    func([]byte)      // a stream that stays open: called with every message
	ended   func(code string) // called when it is over, with its grpc-status

	id     uint32
	due    time.Time // its latency counts from here
	rest   []byte    // what the windows did not let through yet
	window int
	reply  []byte // what of the messages has arrived
}

// connection carries calls over one HTTP/2 connection. What it has is guarded by its mutex, which is held while a call
// is told of a message or of its end.
type connection struct {
	sync.Mutex
	net     net.Conn
	in      *bufio.Reader
	out     *bufio.Writer
	framer  *http2.Framer
	decoder *hpack.Decoder
	status  string // the grpc-status of the header block that was decoded last

	authority  string
	block      bytes.Buffer
	encoder    *hpack.Encoder
	seen       map[string]bool
	blocks     map[string][]byte // header blocks by path, once all their fields are in the server's table
	nextStream uint32
	calls      map[uint32]*call
	blocked    []*call // those that wait for the window of the connection
	window     int
	fresh      int // the window of a new stream
	unacked    int // bytes received that the server was not told of

	pace    pace
	figures figures
}

func dial() *connection {
	c := &connection{
		net: dialNet(), authority: *endpoint, nextStream: 1, window: 65535, fresh: 65535, status: "",
		seen: map[string]bool{}, blocks: map[string][]byte{}, calls: map[uint32]*call{}, figures: newFigures(),
	}
	c.in, c.out = bufio.NewReaderSize(c.net, bufferSize), bufio.NewWriterSize(c.net, bufferSize)
	c.framer = http2.NewFramer(c.out, c.in)
	c.framer.SetReuseFrames()
	c.encoder = hpack.NewEncoder(&c.block)
	c.decoder = hpack.NewDecoder(4096, func(field hpack.HeaderField) {
		if field.Name == "grpc-status" {
			c.status = field.Value
		}
	})
	c.out.WriteString(http2.ClientPreface)
	c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: receiveWindow})
	c.framer.WriteWindowUpdate(0, receiveWindow)
	return c
}

func dialNet() net.Conn {
	socket, err := net.Dial("tcp", *endpoint)
	if err != nil {
		log.Fatal(err)
	}
	if *authority == "" {
		return socket
	}
	pem, err := os.ReadFile(*authority)
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	secure := tls.Client(socket, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"h2"}})
	if err := secure.Handshake(); err != nil {
		log.Fatal(err)
	}
	return secure
}

// headers returns the header block of a path. When a path is new its block adds to the server's table, and moves what
// the other blocks refer to.
func (c *connection) headers(path string) []byte {
	if block := c.blocks[path]; block != nil {
		return block
	}
	scheme := "http"
	if *authority != "" {
		scheme = "https"
	}
	c.block.Reset()
	for _, field := range [][2]string{
		{":method", "POST"}, {":scheme", scheme}, {":path", path}, {":authority", c.authority},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		c.encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	if c.seen[path] {
		c.blocks[path] = bytes.Clone(c.block.Bytes())
	} else {
		c.seen[path] = true
		clear(c.blocks)
	}
	return c.block.Bytes()
}

// start sends a call; what is written goes out with the next flush.
func (c *connection) start(a *call, due time.Time) {
	a.id, a.due, a.window, a.reply = c.nextStream, due, c.fresh, a.reply[:0]
	c.nextStream += 2
	c.calls[a.id] = a
	c.framer.WriteHeaders(
		http2.HeadersFrameParam{StreamID: a.id, BlockFragment: c.headers(a.path), EndHeaders: true})
	if a.message != nil {
		c.send(a, a.message)
	}
}

// send adds a message to a call.
func (c *connection) send(a *call, message []byte) {
	a.rest = append(a.rest, 0)
	a.rest = binary.BigEndian.AppendUint32(a.rest, uint32(len(message)))
	a.rest = append(a.rest, message...)
	c.push(a)
}

// push writes what the windows let through.
func (c *connection) push(a *call) {
	at := 0
	for at < len(a.rest) {
		room := min(len(a.rest)-at, 16384, c.window, a.window)
		if room <= 0 {
			if c.window <= 0 {
				c.blocked = append(c.blocked, a)
			}
			break
		}
		c.framer.WriteData(a.id, a.each == nil && at+room == len(a.rest), a.rest[at:at+room])
		at += room
		c.window -= room
		a.window -= room
	}
	a.rest = a.rest[:copy(a.rest, a.rest[at:])]
}

// answer reads the reply of a call that went well.
func (a *call) answer() answer {
	if len(a.reply) < 5 {
		return answer{}
	}
	return parse(a.reply[5:])
}

// run receives until everything is stopped.
func (c *connection) run() {
	defer c.net.Close()
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			if over.Load() {
				return
			}
			log.Fatal(err)
		}
		c.Lock()
		c.receive(frame)
		if c.in.Buffered() == 0 {
			c.out.Flush()
		}
		c.Unlock()
	}
}

func (c *connection) receive(frame http2.Frame) {
	switch frame := frame.(type) {
	case *http2.DataFrame:
		c.data(frame)
	case *http2.HeadersFrame:
		if _, err := c.decoder.Write(frame.HeaderBlockFragment()); err != nil || !frame.HeadersEnded() {
			log.Fatalf("header block: %v", err)
		}
		if frame.StreamEnded() {
			c.end(frame.StreamID, c.status)
		}
	case *http2.WindowUpdateFrame:
		c.widen(frame)
	case *http2.SettingsFrame:
		c.settings(frame)
	case *http2.PingFrame:
		if !frame.IsAck() {
			c.framer.WritePing(true, frame.Data)
		}
	case *http2.RSTStreamFrame:
		c.end(frame.StreamID, frame.ErrCode.String())
	case *http2.GoAwayFrame:
		log.Fatalf("refused: %v", frame)
	}
}

func (c *connection) widen(frame *http2.WindowUpdateFrame) {
	if frame.StreamID != 0 {
		if a := c.calls[frame.StreamID]; a != nil {
			a.window += int(frame.Increment)
			c.push(a)
		}
		return
	}
	c.window += int(frame.Increment)
	waiting := c.blocked
	c.blocked = nil
	for _, a := range waiting {
		c.push(a)
	}
}

func (c *connection) settings(frame *http2.SettingsFrame) {
	if frame.IsAck() {
		return
	}
	if size, ok := frame.Value(http2.SettingInitialWindowSize); ok {
		for _, a := range c.calls {
			a.window += int(size) - c.fresh
		}
		c.fresh = int(size)
	}
	c.framer.WriteSettingsAck()
	for _, a := range c.calls {
		c.push(a)
	}
}

func (c *connection) data(frame *http2.DataFrame) {
	length := int(frame.Header().Length)
	c.figures.bytes += int64(length)
	if c.unacked += length; c.unacked > receiveWindow/4 {
		c.framer.WriteWindowUpdate(0, uint32(c.unacked))
		c.unacked = 0
	}
	a := c.calls[frame.StreamID]
	switch {
	case a == nil:
	case a.each != nil:
		a.messages(frame.Data())
	case a.wanted:
		a.reply = append(a.reply, frame.Data()...)
	}
}

// messages hands on the messages that a stream has received in full.
func (a *call) messages(data []byte) {
	if len(a.reply) > 0 {
		a.reply = append(a.reply, data...)
		data = a.reply
	}
	for len(data) >= 5 {
		end := 5 + int(binary.BigEndian.Uint32(data[1:]))
		if len(data) < end {
			break
		}
		a.each(data[5:end])
		data = data[end:]
	}
	a.reply = append(a.reply[:0], data...)
}

func (c *connection) end(stream uint32, status string) {
	if a := c.calls[stream]; a != nil {
		delete(c.calls, stream)
		a.rest = a.rest[:0]
		a.ended(status)
	}
}
