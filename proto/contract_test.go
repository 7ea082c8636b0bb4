package proto_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	forewarmv1 "github.com/forewarm/forewarm/proto/forewarm/v1"
	"github.com/forewarm/forewarm/proto/minifaas/apiserverproto"
	"github.com/forewarm/forewarm/proto/minifaas/nodeservoceproto"
	"github.com/forewarm/forewarm/proto/minifaas/resourcemanagerproto"
	"github.com/forewarm/forewarm/proto/minifaas/schedulerproto"
)

// contracts lists, line by line, all that travels on the wire: a method is its
// gRPC path, what it takes and what it gives; a message is its name with its
// fields below it. The mini-faas ones are fixed by programs that exist already
// and change never. Ours grows only: add lines, and leave the old ones be.
var contracts = []struct {
	file    protoreflect.FileDescriptor
	service grpc.ServiceDesc
	want    string
}{
	{schedulerproto.File_minifaas_schedulerproto_scheduler_proto, schedulerproto.Scheduler_ServiceDesc, `
/schedulerproto.Scheduler/AcquireContainer schedulerproto.AcquireContainerRequest -> schedulerproto.AcquireContainerReply
/schedulerproto.Scheduler/ReturnContainer schedulerproto.ReturnContainerRequest -> schedulerproto.ReturnContainerReply
schedulerproto.AcquireContainerRequest
	1 request_id string
	2 account_id string
	3 function_name string
	4 function_config schedulerproto.FunctionConfig
schedulerproto.AcquireContainerReply
	1 node_id string
	2 node_address string
	3 node_service_port int64
	4 container_id string
schedulerproto.ReturnContainerRequest
	1 request_id string
	2 container_id string
	3 duration_in_nanos int64
	4 max_memory_usage_in_bytes int64
	5 error_code string
	6 error_message string
schedulerproto.ReturnContainerReply
schedulerproto.FunctionConfig
	1 timeout_in_ms int64
	2 memory_in_bytes int64
	3 handler string
`},
	{resourcemanagerproto.File_minifaas_resourcemanagerproto_resource_manager_proto, resourcemanagerproto.ResourceManager_ServiceDesc, `
/resourcemanagerproto.ResourceManager/ReserveNode resourcemanagerproto.ReserveNodeRequest -> resourcemanagerproto.ReserveNodeReply
/resourcemanagerproto.ResourceManager/ReleaseNode resourcemanagerproto.ReleaseNodeRequest -> resourcemanagerproto.ReleaseNodeReply
/resourcemanagerproto.ResourceManager/GetNodesUsage resourcemanagerproto.GetNodesUsageRequest -> resourcemanagerproto.GetNodesUsageReply
resourcemanagerproto.ReserveNodeRequest
	1 request_id string
	2 account_id string
resourcemanagerproto.ReserveNodeReply
	1 node resourcemanagerproto.NodeDesc
resourcemanagerproto.NodeDesc
	1 id string
	2 address string
	3 node_service_port int64
	4 memory_in_bytes int64
	5 reserved_time_timestamp_ms int64
	6 released_time_timestamp_ms int64
resourcemanagerproto.ReleaseNodeRequest
	1 request_id string
	2 id string
resourcemanagerproto.ReleaseNodeReply
resourcemanagerproto.GetNodesUsageRequest
	1 request_id string
resourcemanagerproto.GetNodesUsageReply
	1 nodes repeated resourcemanagerproto.NodeDesc
`},
	{nodeservoceproto.File_minifaas_nodeservoceproto_node_service_proto, nodeservoceproto.NodeService_ServiceDesc, `
/nodeservoceproto.NodeService/Reserve nodeservoceproto.ReserveRequest -> nodeservoceproto.ReserveReply
/nodeservoceproto.NodeService/CreateContainer nodeservoceproto.CreateContainerRequest -> nodeservoceproto.CreateContainerReply
/nodeservoceproto.NodeService/RemoveContainer nodeservoceproto.RemoveContainerRequest -> nodeservoceproto.RemoveContainerReply
/nodeservoceproto.NodeService/InvokeFunction nodeservoceproto.InvokeFunctionRequest -> stream nodeservoceproto.InvokeFunctionReply
/nodeservoceproto.NodeService/GetStats nodeservoceproto.GetStatsRequest -> nodeservoceproto.GetStatsReply
nodeservoceproto.ReserveRequest
	1 request_id string
	2 owner_account_id string
nodeservoceproto.ReserveReply
nodeservoceproto.FunctionMeta
	1 function_name string
	2 handler string
	3 timeout_in_ms int64
	4 memory_in_bytes int64
nodeservoceproto.CreateContainerRequest
	1 request_id string
	2 name string
	3 function_meta nodeservoceproto.FunctionMeta
nodeservoceproto.CreateContainerReply
	1 container_id string
nodeservoceproto.RemoveContainerRequest
	1 request_id string
	2 container_id string
nodeservoceproto.RemoveContainerReply
nodeservoceproto.InvokeFunctionRequest
	1 request_id string
	2 container_id string
	3 event bytes
	4 function_meta nodeservoceproto.FunctionMeta
nodeservoceproto.InvokeFunctionReply
	1 body bytes
	2 header nodeservoceproto.InvokeFunctionReply.Header
	3 footer nodeservoceproto.InvokeFunctionReply.Footer
nodeservoceproto.InvokeFunctionReply.Header
	1 error bytes
	2 handled bool
	3 status_code string
	4 headers map<string, nodeservoceproto.InvokeFunctionReply.Header.Value>
	5 max_mem_usage_in_bytes int64
	6 function_log string
nodeservoceproto.InvokeFunctionReply.Header.Value
	1 items repeated string
nodeservoceproto.InvokeFunctionReply.Footer
	1 duration_in_nanos int64
	2 invoke_exception string
	3 error string
nodeservoceproto.NodeStats
	1 total_memory_in_bytes int64
	2 memory_usage_in_bytes int64
	3 available_memory_in_bytes int64
	4 cpu_usage_pct double
	5 disk_total_in_bytes int64
	6 disk_avail_in_bytes int64
	7 disk_total_inodes int64
	8 disk_free_inodes int64
nodeservoceproto.ContainerStats
	1 container_id string
	2 total_memory_in_bytes int64
	3 memory_usage_in_bytes int64
	4 cpu_usage_pct double
nodeservoceproto.GetStatsRequest
	1 request_id string
nodeservoceproto.GetStatsReply
	1 node_stats nodeservoceproto.NodeStats
	2 container_stats_list repeated nodeservoceproto.ContainerStats
	3 live_id string
	4 owner_account_id string
`},
	{apiserverproto.File_minifaas_apiserverproto_apiserver_proto, apiserverproto.APIServer_ServiceDesc, `
/apiserverproto.APIServer/InvokeFunction apiserverproto.InvokeFunctionRequest -> apiserverproto.InvokeFunctionReply
/apiserverproto.APIServer/ListFunctions apiserverproto.ListFunctionsRequest -> apiserverproto.ListFunctionsReply
apiserverproto.InvokeFunctionRequest
	1 account_id string
	2 function_name string
	3 event bytes
apiserverproto.InvokeFunctionReply
	1 request_id string
	2 body bytes
	3 server_side_latency_in_ms int64
apiserverproto.ListFunctionsRequest
apiserverproto.ListFunctionsReply
	1 request_id string
	2 functions repeated apiserverproto.FunctionConfig
apiserverproto.FunctionConfig
	1 function_name string
	2 timeout_in_ms int64
	3 memory_in_bytes int64
	4 handler string
`},
	{forewarmv1.File_forewarm_v1_forewarm_proto, forewarmv1.Forewarm_ServiceDesc, `
/forewarm.v1.Forewarm/Explain forewarm.v1.ExplainRequest -> forewarm.v1.ExplainReply
/forewarm.v1.Forewarm/Forecasts forewarm.v1.ForecastsRequest -> forewarm.v1.ForecastsReply
/forewarm.v1.Forewarm/Decisions forewarm.v1.DecisionsRequest -> stream forewarm.v1.Decision
forewarm.v1.ExplainRequest
	1 function string
	2 limit uint32
	3 account string
forewarm.v1.ExplainReply
	1 decisions repeated forewarm.v1.Decision
	2 functions repeated forewarm.v1.FunctionState
forewarm.v1.ForecastsRequest
	1 function string
forewarm.v1.ForecastsReply
	1 forecasts repeated forewarm.v1.Forecast
	2 nodes forewarm.v1.NodeForecast
forewarm.v1.DecisionsRequest
	1 function string
	2 follow bool
	3 backlog uint32
forewarm.v1.Decision
	1 seq uint64
	2 at google.protobuf.Timestamp
	3 account string
	4 function string
	5 kind string
	6 node string
	7 container string
	8 text string
	9 reason forewarm.v1.Reason
forewarm.v1.Reason
	1 cause string
	2 model string
	3 level int32
	4 waiting int32
	5 leased int32
	6 ready int32
	7 starting int32
	8 want int32
	9 idle google.protobuf.Duration
	10 expected_in google.protobuf.Duration
	11 probability double
	12 lead google.protobuf.Duration
	13 kappa google.protobuf.Duration
	14 cost_hold double
	15 cost_drop double
	16 clip string
	17 horizon google.protobuf.Duration
	18 units int64
	19 memory_bytes int64
forewarm.v1.FunctionState
	1 account string
	2 function string
	3 calls uint64
	4 warm uint64
	5 waited uint64
	6 cold uint64
	7 containers_ready int32
	8 containers_starting int32
	9 leased int32
	10 waiting int32
	11 want int32
	12 next_expected_in google.protobuf.Duration
	13 text string
	14 start_time google.protobuf.Duration
	15 service_time google.protobuf.Duration
	16 next_known bool
	17 last_reason string
	18 wait_p50 google.protobuf.Duration
	19 wait_p99 google.protobuf.Duration
forewarm.v1.Forecast
	1 account string
	2 function string
	3 model string
	4 rate_per_second double
	5 demand_mean double
	6 demand_q90 double
	7 demand_q99 double
	8 horizon google.protobuf.Duration
	9 want int32
	10 next_expected_in google.protobuf.Duration
	11 next_known bool
	12 gaps_seen int64
forewarm.v1.NodeForecast
	1 nodes int32
	2 want int32
	3 memory_mean_bytes double
	4 memory_quantile_bytes double
	5 quantile double
	6 horizon google.protobuf.Duration
	7 text string
`},
}

// TestContract compares both ways: what the generated code lacks and what it
// has beyond the contract are both wrong.
func TestContract(t *testing.T) {
	for _, tt := range contracts {
		t.Run(string(tt.file.Package()), func(t *testing.T) {
			if got := tt.file.Syntax(); got != protoreflect.Proto3 {
				t.Errorf("%s is %v, want proto3", tt.file.Path(), got)
			}
			got, want := describe(tt.file), qualify(tt.want)
			for _, line := range want {
				if !slices.Contains(got, line) {
					t.Errorf("the generated code lacks  %s", line)
				}
			}
			for _, line := range got {
				if !slices.Contains(want, line) {
					t.Errorf("the contract lacks  %s", line)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d lines described, %d in the contract: is one there twice?", len(got), len(want))
			}
		})
	}
}

// TestPathsServed looks at the stubs, whose paths are what a server answers to
// and which come from another generator than the descriptors.
func TestPathsServed(t *testing.T) {
	for _, tt := range contracts {
		want := map[string]bool{} // path -> server streams
		for _, line := range qualify(tt.want) {
			if path, _, _ := strings.Cut(line, " "); strings.HasPrefix(path, "/") {
				want[path] = strings.Contains(line, "-> stream ")
			}
		}
		if n := len(tt.service.Methods) + len(tt.service.Streams); n != len(want) {
			t.Errorf("%s serves %d methods, want %d", tt.service.ServiceName, n, len(want))
		}
		for _, m := range tt.service.Methods {
			path := "/" + tt.service.ServiceName + "/" + m.MethodName
			if streams, ok := want[path]; !ok || streams {
				t.Errorf("%s is served as unary; in the contract: %v, with a stream: %v", path, ok, streams)
			}
		}
		for _, s := range tt.service.Streams {
			path := "/" + tt.service.ServiceName + "/" + s.StreamName
			if streams, ok := want[path]; !ok || streams != s.ServerStreams || s.ClientStreams {
				t.Errorf("%s is served as a stream (server %v, client %v); in the contract: %v, server stream: %v",
					path, s.ServerStreams, s.ClientStreams, ok, streams)
			}
		}
	}
}

// qualify splits a contract into lines that mean the same in any order: a
// field gets its message's name in front.
func qualify(contract string) []string {
	var lines []string
	message := ""
	for line := range strings.Lines(strings.TrimPrefix(contract, "\n")) {
		line = strings.TrimSuffix(line, "\n")
		if field, ok := strings.CutPrefix(line, "\t"); ok {
			line = message + " " + field
		} else {
			message = line
		}
		lines = append(lines, line)
	}
	return lines
}

// describe lists what a file declares, in the manner of qualify. What the
// contract knows nothing of, such as an enum, gets a line that cannot match.
func describe(file protoreflect.FileDescriptor) []string {
	var lines []string
	for i := range file.Services().Len() {
		s := file.Services().Get(i)
		for j := range s.Methods().Len() {
			m := s.Methods().Get(j)
			lines = append(lines, fmt.Sprintf("/%s/%s %s%s -> %s%s", s.FullName(), m.Name(),
				stream(m.IsStreamingClient()), m.Input().FullName(), stream(m.IsStreamingServer()), m.Output().FullName()))
		}
	}
	lines = append(lines, describeMessages(file.Messages())...)
	if n := file.Enums().Len() + file.Extensions().Len(); n != 0 {
		lines = append(lines, fmt.Sprintf("%d enums or extensions", n))
	}
	return lines
}

func describeMessages(messages protoreflect.MessageDescriptors) []string {
	var lines []string
	for i := range messages.Len() {
		m := messages.Get(i)
		if m.IsMapEntry() { // stands in its field's type
			continue
		}
		lines = append(lines, string(m.FullName()))
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			lines = append(lines, fmt.Sprintf("%s %d %s %s", m.FullName(), f.Number(), f.Name(), fieldType(f)))
		}
		lines = append(lines, describeMessages(m.Messages())...)
		if n := m.Enums().Len() + m.Extensions().Len() + m.ReservedNames().Len() + m.ReservedRanges().Len(); n != 0 {
			lines = append(lines, fmt.Sprintf("%s: %d enums, extensions or reservations", m.FullName(), n))
		}
	}
	return lines
}

// fieldType gives a field's type as a .proto file would, label included.
func fieldType(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return fmt.Sprintf("map<%s, %s>", typeName(f.MapKey()), typeName(f.MapValue()))
	case f.IsList():
		return "repeated " + typeName(f)
	case f.HasOptionalKeyword():
		return "optional " + typeName(f)
	case f.ContainingOneof() != nil:
		return "oneof " + typeName(f)
	}
	return typeName(f)
}

func typeName(f protoreflect.FieldDescriptor) string {
	if m := f.Message(); m != nil {
		return string(m.FullName())
	}
	return f.Kind().String()
}

func stream(yes bool) string {
	if yes {
		return "stream "
	}
	return ""
}

// TestFilePaths wants paths that name the package: the registry of descriptors
// is one for the whole binary, and "scheduler.proto" alone may be taken.
func TestFilePaths(t *testing.T) {
	for _, tt := range contracts {
		pkg := strings.ReplaceAll(string(tt.file.Package()), ".", "/")
		if !strings.Contains("/"+tt.file.Path(), "/"+pkg+"/") {
			t.Errorf("%s does not name its package %s", tt.file.Path(), pkg)
		}
	}
}
