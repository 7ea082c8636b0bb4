package edge

import (
	"slices"
	"strings"
)

// contract are the services of the contract of 2020. It knows no tokens; TLS with client certificates guards its ports.
var contract = []string{"schedulerproto.Scheduler", "apiserverproto.APIServer", "nodeservoceproto.NodeService", "resourcemanagerproto.ResourceManager"}

// reading are the services that change nothing. Health and reflection are open, too, where no tokens are configured.
var reading = []string{"forewarm.v1.Forewarm", "forewarm.v1.Logs", "grpc.health.v1.Health",
	"grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}

// controlReads are the methods of Control that change nothing.
var controlReads = []string{"Config", "Audit", "Calendar", "Costs"}

const setMode = "/forewarm.v1.Control/SetMode"

// MethodNeed is the right that a gRPC method, as /package.Service/Method, takes. One that is not known takes Write.
func MethodNeed(method string) Need {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	switch {
	case slices.Contains(contract, service):
		return None
	case slices.Contains(reading, service), service == "forewarm.v1.Control" && slices.Contains(controlReads, name):
		return Read
	}
	return Write
}

// requestNeed lowers what a method takes where the request itself only asks: SetMode without a mode.
func requestNeed(method string, request any) Need {
	if r, ok := request.(interface{ GetMode() string }); ok && method == setMode && r.GetMode() == "" {
		return Read
	}
	return MethodNeed(method)
}

// PathNeed is the right that a page of the admin port takes: none to ask whether the process lives, and reading else.
func PathNeed(path string) Need {
	if path == "/healthz" || path == "/readyz" {
		return None
	}
	return Read
}
