// Package config says what can be configured for a scheduler, and reads it from
// flags, the environment and one YAML file, in that order of precedence.
//
// Every setting is one row of a table (settings.go): its name, form, default,
// flag, meaning, and whether it may change while the scheduler runs. Flags,
// names in the environment, the reading of the file, "config show", the
// difference between two configurations and docs/configuration.md all come from
// that row, so none of them can forget one.
//
// A configuration is taken as a whole or refused as a whole. A refusal lists
// every complaint with its place and with what to write instead. Names that
// nobody reads are complaints too, in the file and in the environment: a
// mistyped setting that is silently ignored shows up weeks later.
//
// The package knows none of the parts that it configures and prints no secret:
// tokens and keys are named by file, and passwords in URLs are masked.
package config
