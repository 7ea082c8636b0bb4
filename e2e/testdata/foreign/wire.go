package main

import (
	"context"
	"fmt"
	"math"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// raw hands messages through as they are on the wire.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (raw) Name() string { return "proto" } // what the content type says

// handler answers one method, by its full name.
type handler func(ctx context.Context, method string, in fields) ([]byte, error)

// serve answers every unary call at l.
func serve(l net.Listener, h handler) *grpc.Server {
	s := grpc.NewServer(grpc.ForceServerCodec(raw{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		var in []byte
		if err := stream.RecvMsg(&in); err != nil {
			return err
		}
		f, err := parse(in)
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		out, err := h(stream.Context(), method, f)
		if err != nil {
			return err
		}
		return stream.SendMsg(&out)
	}))
	go s.Serve(l)
	return s
}

// fields are the values of a message by their numbers; of a repeated one, the last. Numbers are unsigned as on the wire.
type fields struct {
	text map[protowire.Number]string
	num  map[protowire.Number]uint64
}

func parse(b []byte) (fields, error) {
	f := fields{text: map[protowire.Number]string{}, num: map[protowire.Number]uint64{}}
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return f, protowire.ParseError(size)
		}
		b = b[size:]
		switch typ {
		case protowire.VarintType:
			f.num[n], size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			var v []byte
			v, size = protowire.ConsumeBytes(b)
			f.text[n] = string(v)
		default:
			return f, fmt.Errorf("field %d has wire type %d, which the contract does not use in requests", n, typ)
		}
		if size < 0 {
			return f, protowire.ParseError(size)
		}
		b = b[size:]
	}
	return f, nil
}

func text(b []byte, n protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func number(b []byte, n protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
}

func double(b []byte, n protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, n, protowire.Fixed64Type), math.Float64bits(v))
}

func message(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}
