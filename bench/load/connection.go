package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"log"
	"net"
	"os"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	receiveWindow = 1 << 30
	bufferSize    = 256 << 10
)

// connection keeps `slots` requests in flight on one TCP connection. All of it runs in the goroutine of run.
type connection struct {
	net     net.Conn
	in      *bufio.Reader
	out     *bufio.Writer
	framer  *http2.Framer
	decoder *hpack.Decoder

	message   func() []byte
	slots     int
	limit     int  // stop after so many requests; 0: never
	streaming bool // the requests are streams that stay open, whose events are counted

	headers    []byte // the header block of every request but the first
	first      []byte
	nextStream uint32
	sent       int
	inFlight   int
	window     int // what may still be sent on the connection
	waiting    int // slots that wait for window
	unacked    int // bytes received that the server was not told of
	started    map[uint32]time.Time
	partial    map[uint32][]byte // messages of streams that have not fully arrived

	latencies []time.Duration
	bytes     int64
	events    int64
}

func dial(endpoint, path string, message func() []byte, slots int) *connection {
	socket, err := net.Dial("tcp", endpoint)
	if err != nil {
		log.Fatal(err)
	}
	c := &connection{
		net: socket, in: bufio.NewReaderSize(socket, bufferSize), out: bufio.NewWriterSize(socket, bufferSize),
		message: message, slots: slots, nextStream: 1, window: 65535,
		started: map[uint32]time.Time{}, partial: map[uint32][]byte{},
	}
	c.framer = http2.NewFramer(c.out, c.in)
	c.framer.SetReuseFrames()
	c.decoder = hpack.NewDecoder(4096, func(field hpack.HeaderField) {
		if field.Name == "grpc-status" && field.Value != "0" {
			log.Fatalf("grpc-status %s", field.Value)
		}
	})
	c.encodeHeaders(endpoint, path)
	return c
}

// encodeHeaders makes the header blocks. From the second on all fields are in the server's table, so that the block
// is the same for every request.
func (c *connection) encodeHeaders(endpoint, path string) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, target := range []*[]byte{&c.first, &c.headers} {
		block.Reset()
		for _, field := range [][2]string{
			{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", endpoint},
			{"content-type", "application/grpc"}, {"te", "trailers"},
		} {
			encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
		}
		*target = bytes.Clone(block.Bytes())
	}
}

// run sends and receives until everything is stopped, or the limit is reached.
func (c *connection) run() {
	defer c.net.Close()
	c.out.WriteString(http2.ClientPreface)
	c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: receiveWindow})
	c.framer.WriteWindowUpdate(0, receiveWindow)
	for range c.slots {
		c.send()
	}
	for c.limit == 0 || c.inFlight > 0 {
		if c.in.Buffered() == 0 {
			c.out.Flush()
		}
		frame, err := c.framer.ReadFrame()
		if err != nil {
			if stopped.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
				return
			}
			log.Fatal(err)
		}
		c.receive(frame)
	}
}

// send starts the next request, or leaves it waiting until the server opens the window.
func (c *connection) send() {
	if c.limit > 0 && c.sent == c.limit {
		return
	}
	if c.window < 1<<12+*size {
		c.waiting++
		return
	}
	message := c.message()
	block := c.headers
	if c.sent == 0 {
		block = c.first
	}
	data := binary.BigEndian.AppendUint32(make([]byte, 1, 5+len(message)), uint32(len(message)))
	data = append(data, message...)
	c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: c.nextStream, BlockFragment: block, EndHeaders: true})
	c.framer.WriteData(c.nextStream, !c.streaming, data)
	c.started[c.nextStream] = time.Now()
	c.window -= len(data)
	c.nextStream += 2
	c.sent++
	c.inFlight++
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
			c.finish(frame.StreamID)
		}
	case *http2.WindowUpdateFrame:
		if frame.StreamID == 0 {
			c.window += int(frame.Increment)
			for ; c.waiting > 0 && c.window >= 1<<12+*size; c.waiting-- {
				c.send()
			}
		}
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			c.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			c.framer.WritePing(true, frame.Data)
		}
	case *http2.RSTStreamFrame, *http2.GoAwayFrame:
		log.Fatalf("refused: %v", frame)
	}
}

func (c *connection) data(frame *http2.DataFrame) {
	length := int(frame.Header().Length)
	if measuring.Load() {
		c.bytes += int64(length)
	}
	if c.unacked += length; c.unacked > receiveWindow/4 {
		c.framer.WriteWindowUpdate(0, uint32(c.unacked))
		c.unacked = 0
	}
	if c.streaming {
		c.count(frame.StreamID, frame.Data())
	}
}

// count adds the events of the messages that a stream has received in full.
func (c *connection) count(stream uint32, data []byte) {
	buffer := append(c.partial[stream], data...)
	for len(buffer) >= 5 {
		end := 5 + int(binary.BigEndian.Uint32(buffer[1:]))
		if len(buffer) < end {
			break
		}
		if events := countEvents(buffer[5:end]); measuring.Load() {
			c.events += events
		}
		buffer = buffer[end:]
	}
	c.partial[stream] = bytes.Clone(buffer)
}

func (c *connection) finish(stream uint32) {
	if c.streaming {
		log.Fatal("the server closed a watch")
	}
	if measuring.Load() {
		c.latencies = append(c.latencies, time.Since(c.started[stream]))
	}
	delete(c.started, stream)
	c.inFlight--
	c.send()
}
