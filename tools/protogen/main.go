// Command protogen writes the Go code for every .proto file below a folder,
// each beside its source, and records in generated.sum what was made from what.
//
// It compiles with a library and runs the two code generators as tools of this
// module, so their versions are pinned in go.mod and nothing has to be
// installed. It writes only what it generates and never edits a .proto file.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// sumFile lies at the root. Its lines are those of sha256sum, sorted by path,
// for sources and generated files alike.
const sumFile = "generated.sum"

// generator is a protoc plugin that go.mod lists as a tool.
type generator struct {
	tool, parameter string
}

var generators = []generator{
	{"google.golang.org/protobuf/cmd/protoc-gen-go", "paths=source_relative"},
	{"google.golang.org/grpc/cmd/protoc-gen-go-grpc", "paths=source_relative"},
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("protogen: ")
	root := flag.String("root", "../proto", "folder that holds the .proto files; imports are relative to it")
	flag.Parse()
	if err := generate(context.Background(), *root); err != nil {
		log.Fatal(err)
	}
}

// generate brings all generated files below root, and the sum file, up to date.
func generate(ctx context.Context, root string) error {
	sources, err := find(root, ".proto")
	if err != nil {
		return err
	}
	files, err := compile(ctx, root, sources)
	if err != nil {
		return err
	}
	made := map[string][]byte{} // by path below root
	for _, g := range generators {
		if err := g.run(ctx, sources, files, made); err != nil {
			return fmt.Errorf("%s: %w", g.tool, err)
		}
	}
	if err := removeOrphans(root, made); err != nil {
		return err
	}
	for path, content := range made {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(path)), content, 0o644); err != nil {
			return err
		}
	}
	return writeSum(root, sources, made)
}

// find lists the files below root with the given ending, sorted, as slash
// paths relative to root.
func find(root, ending string) ([]string, error) {
	var paths []string
	fsys := os.DirFS(root)
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ending) {
			paths = append(paths, path)
		}
		return err
	})
	slices.Sort(paths)
	return paths, err
}

// compile returns the sources and all they import, each after its imports, as
// a plugin wants them.
func compile(ctx context.Context, root string, sources []string) ([]*descriptorpb.FileDescriptorProto, error) {
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{root}}),
		SourceInfoMode: protocompile.SourceInfoStandard, // comments go into the Go code
	}
	compiled, err := compiler.Compile(ctx, sources...)
	if err != nil {
		return nil, err
	}
	var files []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		for i := range fd.Imports().Len() {
			add(fd.Imports().Get(i).FileDescriptor)
		}
		files = append(files, protodesc.ToFileDescriptorProto(fd))
	}
	for _, fd := range compiled {
		add(fd)
	}
	return files, nil
}

// run adds to made what the generator makes of the sources.
func (g generator) run(ctx context.Context, sources []string, files []*descriptorpb.FileDescriptorProto, made map[string][]byte) error {
	request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: sources,
		Parameter:      &g.parameter,
		ProtoFile:      files,
	})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", g.tool)
	cmd.Stdin = bytes.NewReader(request)
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		return err
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(output, &response); err != nil {
		return err
	}
	if response.Error != nil {
		return fmt.Errorf("%s", response.GetError())
	}
	for _, f := range response.File {
		made[f.GetName()] = []byte(f.GetContent())
	}
	return nil
}

// removeOrphans deletes generated files whose source is gone.
func removeOrphans(root string, made map[string][]byte) error {
	old, err := find(root, ".pb.go")
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, ok := made[path]; ok {
			continue
		}
		if err := os.Remove(filepath.Join(root, filepath.FromSlash(path))); err != nil {
			return err
		}
	}
	return nil
}

// writeSum records the sources and the files made from them.
func writeSum(root string, sources []string, made map[string][]byte) error {
	var lines []string
	for _, path := range sources {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(path)))
		if err != nil {
			return err
		}
		lines = append(lines, sumLine(path, content))
	}
	for path, content := range made {
		lines = append(lines, sumLine(path, content))
	}
	slices.SortFunc(lines, func(a, b string) int { // by path, past the fixed-width sum
		return strings.Compare(a[2*sha256.Size:], b[2*sha256.Size:])
	})
	return os.WriteFile(filepath.Join(root, sumFile), []byte(strings.Join(lines, "")), 0o644)
}

func sumLine(path string, content []byte) string {
	return fmt.Sprintf("%x  %s\n", sha256.Sum256(content), path)
}
